"""Views of a batch, and synthetic negatives."""

from __future__ import annotations

import torch

from blemish.methods.anomem.views import (
    ImageView,
    at_places,
    box_mask,
    feature_view,
    random_boxes,
    random_crop,
    shared_places,
    spoil_features,
    spoil_images,
)


def ramp(height: int = 64, width: int = 64, count: int = 8) -> torch.Tensor:
    """Images whose first two channels are their own coordinates x and y."""
    y, x = torch.meshgrid(
        (torch.arange(height) + 0.5) / height * 2 - 1,
        (torch.arange(width) + 0.5) / width * 2 - 1,
        indexing="ij",
    )
    return torch.stack([x, y, 0 * x]).expand(count, 3, height, width)


def test_a_place_of_the_image_is_found_in_its_view() -> None:
    torch.manual_seed(0)
    images = ramp()
    first, second = (random_crop(images, smallest=0.3, flip=True) for _ in range(2))
    assert (first.flip < 0).any()
    assert (first.flip > 0).any()
    places = shared_places(first, second, 5)
    for crop in (first, second):
        inside = crop.to_view(places)
        assert (inside.abs() <= 1.25).all()
        shown = at_places(crop.of(images, (64, 64)), inside)  # (N, P, 3)
        within = (inside.abs() < 0.95).all(2)
        assert within.float().mean() > 0.7
        assert (shown[..., :2] - places).abs()[within].max() < 0.05
        back = crop.centre[:, None] + inside * crop.extent[:, None]
        assert torch.allclose(back, places, atol=1e-6)


def test_crops_stay_inside_and_differ() -> None:
    torch.manual_seed(1)
    crop = random_crop(torch.zeros(500, 1), smallest=0.3, flip=False)
    assert ((crop.centre.abs() + crop.half) <= 1 + 1e-6).all()
    area = crop.half.prod(1)
    assert 0.25 < area.min() < 0.4
    assert area.max() > 0.9
    assert (crop.flip == 1).all()
    assert crop.centre.unique(dim=0).shape[0] > 400


def test_image_views_are_images_and_grey_stays_grey() -> None:
    torch.manual_seed(2)
    grey = (255 * torch.rand(16, 1, 32, 32)).expand(16, 3, 32, 32)
    view, _ = ImageView(smallest=0.3, flip=True, blur=True)(grey)
    assert view.shape == grey.shape
    assert 0 <= view.min() <= view.max() <= 255
    assert (view - view.mean(1, keepdim=True)).abs().max() < 0.01
    again, _ = ImageView(smallest=0.3, flip=True, blur=True)(grey)
    assert not torch.equal(view, again)


def test_colours_are_jittered_image_by_image() -> None:
    torch.manual_seed(3)
    flat = torch.tensor([200.0, 100.0, 50.0]).view(1, 3, 1, 1).expand(64, 3, 8, 8)
    view, _ = ImageView(smallest=0.3, flip=True, blur=False)(flat)
    colours = view[:, :, 4, 4]
    assert (colours.unique(dim=0).shape[0]) > 40
    greyed = ((colours.amax(1) - colours.amin(1)) < 0.1).float().mean()
    assert 0.05 < greyed < 0.4  # 20 % on average


def test_feature_views_share_their_crop_and_keep_the_right_way_round() -> None:
    torch.manual_seed(4)
    levels = [ramp(32, 32), ramp(16, 16)]
    seen, crop = feature_view(levels, smallest=0.6)
    assert [tuple(s.shape) for s in seen] == [(8, 3, 16, 16), (8, 3, 16, 16)]
    assert (crop.flip == 1).all()
    clean = crop.of(levels[0], (16, 16))
    noise = (seen[0] - clean)[seen[0] != 0]
    assert 0.1 < noise.std() < 0.5


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


def test_an_image_is_turned_stretched_or_altered_inside_its_box_alone() -> None:
    torch.manual_seed(1)
    images = 255 * torch.rand(60, 3, 32, 32)
    ramp = 4.0 * torch.arange(32.0)
    across, down = ramp.expand(32, 32), ramp[:, None].expand(32, 32)
    images[:30] = torch.stack([across, down, across])
    spoilt, boxes = spoil_images(images)
    whole = (boxes == torch.tensor([0.0, 0.0, 1.0, 1.0])).all(1)
    turned, stretched = 0, 0
    for image, new, box, everywhere in zip(images, spoilt, boxes, whole, strict=True):
        if not everywhere:
            mask = box_mask(box[None], (32, 32))[0].bool().expand(3, 32, 32)
            assert torch.equal(new[~mask], image[~mask])
            continue
        quarters = [torch.rot90(image, k, (1, 2)) for k in (1, 2, 3)]
        if min(float((q - new).abs().max()) for q in quarters) < 0.05:
            turned += 1
        elif torch.equal(image[0, :, 0], image[0, :, 1] - 4):  # a ramp: its slope tells the factor
            slopes = (new[0, 16, 17] - new[0, 16, 15]) / 8, (new[1, 17, 16] - new[1, 15, 16]) / 8
            changed = [float(slope) for slope in slopes if abs(slope - 1) > 0.01]
            assert len(changed) == 1
            assert 1.25 <= max(changed[0], 1 / changed[0]) <= 2.0
            stretched += 1
    assert 10 < turned < 30
    assert 4 < stretched < 16


def test_features_are_altered_inside_the_same_box_of_all_levels() -> None:
    torch.manual_seed(2)
    levels = [torch.randn(20, 4, 32, 32), torch.randn(20, 6, 16, 16)]
    spoilt, boxes = spoil_features(levels)
    for level, new in zip(levels, spoilt, strict=True):
        mask = box_mask(boxes, (level.shape[2], level.shape[3])).bool().expand_as(level)
        assert torch.equal(new[~mask], level[~mask])
        assert (new[mask] != level[mask]).float().mean() > 0.95
