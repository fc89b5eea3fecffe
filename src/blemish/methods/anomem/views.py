"""Random views of whole batches, in torch: SimCLR's augmentations, and views on features.

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

    Example:
        >>> import torch
        >>> from blemish.methods.anomem.views import Crop
        >>> crop = Crop(torch.tensor([[0.5, 0.0]]), torch.tensor([[0.5, 0.5]]), -torch.ones(1, 1))
        >>> place = torch.tensor([[[1.0, 0.5]]])
        >>> crop.to_view(place).tolist(), crop.to_image(crop.to_view(place)).equal(place)
        ([[[-1.0, 1.0]]], True)
    """

    centre: Tensor
    half: Tensor
    flip: Tensor

    def to_view(self, places: Tensor) -> Tensor:
        """Places in the image ``(N, P, 2)`` → the same places in the view."""
        return (places - self.centre[:, None]) / self.extent[:, None]

    def to_image(self, places: Tensor) -> Tensor:
        """The inverse of :meth:`to_view`."""
        return self.centre[:, None] + places * self.extent[:, None]

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
    """A crop of ``smallest``..1 of the area and an aspect of 3/4..4/3, for each image of a batch.

    Args:
        like: ``(N, …)``: gives the number of images and the device.
        smallest: Smallest share of the area.
        flip: Whether half of the views are mirrored.
    """
    n, device = len(like), like.device
    area = smallest + (1 - smallest) * torch.rand(n, device=device)
    aspect = torch.exp((2 * torch.rand(n, device=device) - 1) * 0.2877)  # log(4/3)
    half = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], 1).clamp_max(1.0)
    centre = (2 * torch.rand(n, 2, device=device) - 1) * (1 - half)
    mirrored = (torch.rand(n, 1, device=device) < 0.5) & flip
    return Crop(centre, half, torch.where(mirrored, -1.0, 1.0))


def shared_places(first: Crop, second: Crop, count: int) -> Tensor:
    """Random places ``(N, count, 2)`` of the image that both views show.

    Where two views do not overlap, the places lie between them.
    """
    low = torch.maximum(first.centre - first.half, second.centre - second.half)
    high = torch.minimum(first.centre + first.half, second.centre + second.half)
    share = torch.rand(len(low), count, 2, device=low.device)
    return low[:, None] + share * (high - low)[:, None]


def at_places(maps: Tensor, places: Tensor) -> Tensor:
    """Values of maps ``(N, C, H, W)`` at the nearest positions of places ``(N, P, 2)``.

    Returns:
        ``(N, P, C)``.
    """
    found = F.grid_sample(
        maps, places[:, :, None], mode="nearest", padding_mode="border", align_corners=False
    )  # (N, C, P, 1)
    return found.squeeze(3).transpose(1, 2)


class ImageView:
    """SimCLR's augmentation of images ``(N, 3, H, W)``, 0..255.

    Random resized crop, mirroring, colour jitter (brightness, contrast, saturation, hue) for 80 %
    of the images, grey for 20 %, and a blur of half of them where ``blur`` is set.

    Args:
        smallest: Smallest share of the area that a crop shows.
        blur: Whether to blur; SimCLR leaves it out on small images.

    Example:
        >>> import torch
        >>> from blemish.methods.anomem.views import ImageView
        >>> view, crop = ImageView(smallest=0.3, blur=False)(255 * torch.rand(2, 3, 32, 48))
        >>> tuple(view.shape), 0 <= float(view.min()), float(view.max()) <= 255
        ((2, 3, 32, 48), True, True)
    """

    def __init__(self, *, smallest: float, blur: bool) -> None:
        self.smallest = smallest
        self.blur = GaussianBlur(1.0) if blur else None

    def __call__(self, images: Tensor) -> tuple[Tensor, Crop]:
        crop = random_crop(images, smallest=self.smallest, flip=True)
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

    Example:
        >>> import torch
        >>> from blemish.methods.anomem.views import feature_view
        >>> view, crop = feature_view([torch.randn(2, 4, 32, 32)], smallest=0.6)
        >>> tuple(view[0].shape)
        (2, 4, 16, 16)
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
