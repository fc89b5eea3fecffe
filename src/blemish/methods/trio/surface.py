"""Surfaces: products whose pictures show the same nearly everywhere, told from good pictures alone.

A worn or woven surface has no layout: what its quarters hold on the whole is light, wear and
chance, and the layout's branch adds noise to the score. Whether that is so, who knows what can go
wrong knows; that it may be is told from how little of what varies depends on the place.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from blemish.methods.trio.pictures import ProductPictures
from blemish.methods.trio.place_gaussian import PlaceGaussian
from blemish.teachers.efficientnet_lite import NAMES
from blemish.teachers.teacher import AND

#: Share of the features' variance that lies between places, up to which pictures look like those of
#: a surface: fabric, brushed metal and commutators have 0.15 to 0.20, a tray of loose parts 0.51,
#: a board, bottles, pills, cookies and figures 0.71 and more.
SURFACE = 1 / 3
#: Positions at the border that do not count: what the teacher pads with is the same everywhere.
_BORDER = 2
#: Good pictures below which the share is not known well enough.
_FEWEST = 20


def share_of_place(gaussian: PlaceGaussian, group: int, size: tuple[int, int]) -> float:
    """Share of the variance of good pictures' features that is between the means of places.

    ``size`` ``(h, w)`` is the places'.
    """
    mean = gaussian.mean[group].double()  # (D, J)
    down, across = (slice(edge, side - edge) for side in size for edge in [min(_BORDER, side // 4)])
    inner = mean.view(-1, *size)[:, down, across].flatten(1)
    # Shrinking keeps the trace of a covariance.
    within = float(torch.linalg.inv(gaussian.whiten[group].double()).square().sum()) / len(mean)
    pictures = max(1.0, float(gaussian.sums[group, 0].mean()))
    between = float(inner.var(1).mean()) - within / pictures
    return max(0.0, between) / max(1e-12, between + within)


def surface_notes(
    gaussian: PlaceGaussian,
    groups: Sequence[ProductPictures],
    size: tuple[int, int],
    teacher: str,
) -> list[str]:
    """A sentence about every product that looks like a surface, whose layout counts in the score.

    Tiles do not tell: each shows a part of a picture.
    """
    deeper, networks = "", teacher.split(AND)
    if set(networks) <= set(NAMES):  # at their usual levels
        asked = AND.join(f"{network}@8-16-32" for network in networks)
        deeper = (
            f" Where defects are larger than the grain, --teacher {asked} may tell more apart: "
            "measure with some of them."
        )
    shares: dict[str, float] = {}  # of the kind of picture that depends most on the place
    for g, group in enumerate(groups):
        if group.whole and len(group.part) >= _FEWEST:
            share = share_of_place(gaussian, g, size)
            shares[group.product] = max(share, shares.get(group.product, 0.0))
    return [
        f"{product or 'Training'}: what these pictures show depends little on the place "
        f"({share:.0%} of what varies; of parts it is more than half), as of a surface. Where "
        "nothing can be missing or misplaced, --set layout_weight=0 leaves the layout out, which "
        f"on surfaces is noise.{deeper}"
        for product, share in shares.items()
        if share <= SURFACE
    ]
