from __future__ import annotations

import torch

from blemish.methods.anomem.views import (
    box_mask,
    random_boxes,
    spoil_features,
    spoil_images,
)


def test_boxes_have_the_area_asked_for() -> None:
    torch.manual_seed(0)
    boxes = random_boxes(torch.zeros(300, 1), smallest=0.05, largest=0.2)
    assert (boxes >= 0).all()
    assert (boxes <= 1).all()
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    assert area.min() > 0.045
    assert area.max() < 0.21
    measured = box_mask(boxes, (200, 200)).mean((1, 2, 3))
    assert (measured - area).abs().max() < 0.01


def test_an_image_is_turned_or_altered_inside_its_box_alone() -> None:
    torch.manual_seed(1)
    images = 255 * torch.rand(40, 3, 32, 32)
    spoilt, boxes = spoil_images(images)
    turned = (boxes == torch.tensor([0.0, 0.0, 1.0, 1.0])).all(1)
    assert 8 < int(turned.sum()) < 32
    for image, new, box, whole in zip(images, spoilt, boxes, turned, strict=True):
        if whole:
            quarters = [torch.rot90(image, k, (1, 2)) for k in (1, 2, 3)]
            assert min(float((q - new).abs().max()) for q in quarters) < 0.05
        else:
            mask = box_mask(box[None], (32, 32))[0].bool().expand(3, 32, 32)
            assert torch.equal(new[~mask], image[~mask])
            assert not torch.allclose(new[mask], image[mask])


def test_features_are_altered_inside_the_same_box_of_all_levels() -> None:
    torch.manual_seed(2)
    levels = [torch.randn(20, 4, 32, 32), torch.randn(20, 6, 16, 16)]
    spoilt, boxes = spoil_features(levels)
    for level, new in zip(levels, spoilt, strict=True):
        mask = box_mask(boxes, (level.shape[2], level.shape[3])).bool().expand_as(level)
        assert torch.equal(new[~mask], level[~mask])
        assert (new[mask] != level[mask]).float().mean() > 0.95
