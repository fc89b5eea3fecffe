"""Random views of whole batches: SimCLR's augmentations, views on features, synthetic negatives.

Coordinates are normalised to −1..1 over the image, x before y, as torch's samplers take them. Every
image of a batch has its own random numbers, drawn from torch's generator.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from blemish.nn.anomaly_map import GaussianBlur


@dataclass(frozen=True)
class Crop:
    """Where a view lies in its image, for each image of a batch.

    Attributes:
        centre: ``(N, 2)``.
        half: Half of its extent ``(N, 2)``, in (0, 1].
        flip: ``(N, 1)``: −1 where left and right are exchanged, else 1.
    """

    centre: Tensor
    half: Tensor
    flip: Tensor

    def to_view(self, places: Tensor) -> Tensor:
        """Places in the image ``(N, P, 2)`` → the same places in the view."""
        return (places - self.centre[:, None]) / self.extent[:, None]

    @property
    def extent(self) -> Tensor:
        """Half extent with the flip as its sign ``(N, 2)``."""
        return torch.cat([self.half[:, :1] * self.flip, self.half[:, 1:]], 1)

    def of(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """The view of maps ``(N, C, H, W)`` at a size ``(h, w)``."""
        theta = torch.cat([torch.diag_embed(self.extent), self.centre[..., None]], 2)  # (N, 2, 3)
        grid = F.affine_grid(theta, [len(maps), 1, *size], align_corners=False)
        return F.grid_sample(maps, grid, padding_mode="reflection", align_corners=False)


def random_crop(like: Tensor, *, smallest: float, flip: bool) -> Crop:
    """A crop of ``smallest``..1 of the area and an aspect of 3/4..4/3 per image of ``like (N, …)``.

    Half of them are mirrored where ``flip`` is set.
    """
    n, device = len(like), like.device
    area = smallest + (1 - smallest) * torch.rand(n, device=device)
    aspect = torch.exp((2 * torch.rand(n, device=device) - 1) * 0.2877)  # log(4/3)
    half = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], 1).clamp_max(1.0)
    centre = (2 * torch.rand(n, 2, device=device) - 1) * (1 - half)
    mirrored = (torch.rand(n, 1, device=device) < 0.5) & flip
    return Crop(centre, half, torch.where(mirrored, -1.0, 1.0))


def shared_places(first: Crop, second: Crop, count: int) -> Tensor:
    """Random places ``(N, count, 2)`` that both views show, or between two that do not overlap."""
    low = torch.maximum(first.centre - first.half, second.centre - second.half)
    high = torch.minimum(first.centre + first.half, second.centre + second.half)
    share = torch.rand(len(low), count, 2, device=low.device)
    return low[:, None] + share * (high - low)[:, None]


def at_places(maps: Tensor, places: Tensor) -> Tensor:
    """Values ``(N, P, C)`` of maps ``(N, C, H, W)`` nearest to places ``(N, P, 2)``."""
    found = F.grid_sample(
        maps, places[:, :, None], mode="nearest", padding_mode="border", align_corners=False
    )  # (N, C, P, 1)
    return found.squeeze(3).transpose(1, 2)


class ImageView:
    """SimCLR's augmentation of images ``(N, 3, H, W)``, 0..255.

    Random resized crop, mirroring where ``flip`` is set, colour jitter (brightness, contrast,
    saturation, hue) for 80 % of the images, grey for 20 %, and a blur of half of them where
    ``blur`` is set; SimCLR leaves it out on small images. A crop shows ``smallest``..1 of the area.
    """

    def __init__(self, *, smallest: float, flip: bool, blur: bool) -> None:
        self.smallest, self.flip = smallest, flip
        self.blur = GaussianBlur(1.0) if blur else None

    def __call__(self, images: Tensor) -> tuple[Tensor, Crop]:
        crop = random_crop(images, smallest=self.smallest, flip=self.flip)
        view = crop.of(images, (images.shape[2], images.shape[3]))
        view = _jitter(view)
        if self.blur is not None:
            blurred = self.blur.to(view.device)(view.flatten(0, 1)[:, None]).view_as(view)
            strength = torch.rand(_each(view), device=view.device)
            view = view + (blurred - view) * strength * _some(view, 0.5)
        return view, crop


def _jitter(images: Tensor) -> Tensor:
    """Colour jitter and grey, as in SimCLR at strength ½."""
    chosen = _some(images, 0.8)

    def factor(strength: float) -> Tensor:
        drawn = 1 + strength * (2 * torch.rand(_each(images), device=images.device) - 1)
        return torch.where(chosen, drawn, 1.0)

    images = images * factor(0.4)  # brightness
    mean = images.mean((1, 2, 3), keepdim=True)
    images = mean + (images - mean) * factor(0.4)  # contrast
    weights = images.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    grey = (images * weights).sum(1, keepdim=True)
    images = grey + (images - grey) * factor(0.4)  # saturation
    images = _turn_hue(images, (factor(0.1) - 1) * 2 * torch.pi)
    grey = (images * weights).sum(1, keepdim=True)
    images = torch.where(_some(images, 0.2), grey.expand_as(images), images)
    return images.clamp(0.0, 255.0)


def _turn_hue(images: Tensor, angle: Tensor) -> Tensor:
    """Turn colours about the grey axis (Rodrigues' formula); grey stays as it is."""
    cos, sin = angle.cos(), angle.sin()  # (N, 1, 1, 1)
    along = images.mean(1, keepdim=True)
    across = (images.roll(1, 1) - images.roll(-1, 1)) / 3**0.5
    return images * cos + across * sin + along * (1 - cos)


def _each(batch: Tensor) -> tuple[int, int, int, int]:
    return (len(batch), 1, 1, 1)


def _some(batch: Tensor, share: float) -> Tensor:
    return torch.rand(_each(batch), device=batch.device) < share


def feature_view(
    levels: list[Tensor], *, smallest: float, largest_side: int = 16
) -> tuple[list[Tensor], Crop]:
    """A view made on standardised features, where no image is at hand.

    The same crop of all levels, never mirrored (a teacher's features of a mirrored part are no
    mirrored features, and a part the wrong way round is a defect), with Gaussian noise of a
    deviation up to ½ and a tenth of the channels silenced.

    Args:
        levels: ``(N, C_l, H_l, W_l)`` with channels of unit deviation.
        smallest: Smallest share of the area that a crop shows.
        largest_side: Positions per side at which a level is sampled at most.
    """
    crop = random_crop(levels[0], smallest=smallest, flip=False)
    seen = []
    for level in levels:
        size = (min(level.shape[2], largest_side), min(level.shape[3], largest_side))
        view = crop.of(level, size)
        strength = 0.5 * torch.rand(_each(view), device=view.device)
        view = view + strength * torch.randn_like(view)
        kept = torch.rand(len(view), view.shape[1], 1, 1, device=view.device) >= 0.1
        seen.append(view * kept)
    return seen, crop


def random_boxes(like: Tensor, *, smallest: float, largest: float) -> Tensor:
    """One rectangle per image of ``like (N, …)``: left, top, right, bottom in 0..1, ``(N, 4)``.

    ``smallest`` and ``largest`` are shares of the image's area.
    """
    n, device = len(like), like.device
    area = smallest + (largest - smallest) * torch.rand(n, device=device)
    aspect = torch.exp((2 * torch.rand(n, device=device) - 1) * 1.1)  # 1/3..3
    size = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], 1).clamp_max(0.95)
    corner = torch.rand(n, 2, device=device) * (1 - size)
    return torch.cat([corner, corner + size], 1)


def box_mask(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """1 where a position's centre lies in its image's box: ``(N, 4)`` → ``(N, 1, H, W)``."""
    height, width = size
    y = (torch.arange(height, device=boxes.device) + 0.5).view(1, -1, 1) / height
    x = (torch.arange(width, device=boxes.device) + 0.5).view(1, 1, -1) / width
    left, top, right, bottom = (boxes[:, i].view(-1, 1, 1) for i in range(4))
    inside = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    return inside[:, None].float()


def _donors(maps: Tensor, shift: Tensor) -> Tensor:
    """The maps of the next image of the batch, moved by a share ``(2,)`` of their size."""
    rows, columns = (int(float(s) * side) for s, side in zip(shift, maps.shape[2:], strict=True))
    return maps.roll((rows, columns), (2, 3)).roll(1, 0)


def spoil_images(images: Tensor) -> tuple[Tensor, Tensor]:
    """Synthetic negatives: a third is turned, a third is stretched, a third has a foreign patch.

    Turns are by 90, 180 or 270 degrees; width or height is stretched or shrunk by a factor of 1.25
    to 2. Images are ``(N, 3, H, W)``, 0..255. Beside them come boxes ``(N, 4)`` around what is
    wrong: all of a turned or stretched image.
    """
    n, device = len(images), images.device
    boxes = random_boxes(images, smallest=0.05, largest=0.3)
    mask = box_mask(boxes, (images.shape[2], images.shape[3]))
    donors = _donors(images, torch.rand(2))
    gain = 0.5 + torch.rand(n, 1, 1, 1, device=device)
    pasted = images + mask * ((donors * gain).clamp_max(255.0) - images)
    kind = torch.randint(3, (n,), device=device)
    angle = torch.randint(1, 4, (n,), device=device) * (torch.pi / 2) * (kind == 0)
    factor = 1.25 + 0.75 * torch.rand(n, device=device)
    factor = torch.where(torch.rand(n, device=device) < 0.5, factor, 1 / factor)
    factor = torch.where(kind == 1, factor, 1.0)
    wide = torch.rand(n, device=device) < 0.5
    across, along = torch.where(wide, factor, 1.0), torch.where(wide, 1.0, factor)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros(n, device=device)
    theta = torch.stack([across * cos, -sin, zero, sin, along * cos, zero], 1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    paste = kind == 2
    everything = torch.tensor([[0.0, 0.0, 1.0, 1.0]], device=device)
    return (
        torch.where(paste.view(-1, 1, 1, 1), pasted, moved),
        torch.where(paste.view(-1, 1), boxes, everything),
    )


def spoil_features(levels: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    """Inside one box per image: noise on half of the images, features of another place on the rest.

    Levels are ``(N, C_l, H_l, W_l)`` with channels of unit deviation. Beside them come the boxes
    ``(N, 4)``, the same on all levels.
    """
    boxes = random_boxes(levels[0], smallest=0.005, largest=0.1)
    noisy = torch.rand(len(boxes), 1, 1, 1, device=boxes.device) < 0.5
    strength = 0.5 + 1.5 * torch.rand(len(boxes), 1, 1, 1, device=boxes.device)
    shift = torch.rand(2)
    spoilt = []
    for level in levels:
        mask = box_mask(boxes, (level.shape[2], level.shape[3]))
        wrong = torch.where(
            noisy, level + strength * torch.randn_like(level), _donors(level, shift)
        )
        spoilt.append(level + mask * (wrong - level))
    return spoilt, boxes
