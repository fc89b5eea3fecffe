"""Mean residual and features of held-out good pictures, taken one by one in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


class HeldOutResiduals:
    """What is usual in the residuals of one product, and what departs from it in good pictures.

    The first residuals are kept, and their mean is what is usual; each of them is then measured by
    the others' mean, as a new picture will be. Of all later ones the two features alone stay.

    Args:
        timestep: ``(1,)`` that the residuals are taken at.
        residual: Picture ``(1, 3, H, W)`` → residual ``(1, 1, H, W)``.
        summary: Residual without what is usual → features ``(1, 2)``.
        keep: Residuals that are kept; 0: nothing is usual.
    """

    def __init__(
        self,
        timestep: Tensor,
        residual: Callable[[Tensor], Tensor],
        summary: Callable[[Tensor], Tensor],
        keep: int,
    ) -> None:
        self.timestep = timestep
        self._residual, self._summary, self._keep = residual, summary, keep
        self._usual: Tensor | None = None  # (1, 1, H, W)
        self._kept: list[Tensor] = []
        self._features: list[Tensor] = []

    def add(self, image: Tensor) -> None:
        """Take a picture ``(1, 3, H, W)`` in."""
        residual = self._residual(image)
        if self._keep:
            self._kept.append(residual)
            if len(self._kept) == self._keep:
                self._settle()
            return
        if self._usual is None:
            self._usual = torch.zeros_like(residual)
        self._features.append(self._summary(residual - self._usual))

    def finish(self) -> tuple[Tensor, Tensor]:
        """The mean residual ``(1, 1, H, W)`` and the features ``(N, 2)``, once all are in."""
        self._settle()
        assert self._usual is not None
        return self._usual, torch.cat(self._features)

    def _settle(self) -> None:
        count, self._keep = len(self._kept), 0
        if not count:
            return
        residuals = torch.cat(self._kept)
        self._kept.clear()
        self._usual = residuals.mean(0, keepdim=True)
        for one in residuals:  # minus the mean of the others
            apart = (one[None] - self._usual) * (count / max(count - 1, 1))
            self._features.append(self._summary(apart))


def by_product(
    pictures: Iterable[tuple[str, Tensor]],
    start: Callable[[list[Tensor]], HeldOutResiduals],
    *,
    enough: int,
) -> tuple[dict[str, HeldOutResiduals], list[str]]:
    """Residuals of each product's pictures ``(1, 3, H, W)``, which come in any order.

    Products of fewer than ``enough`` pictures share one, where these are enough together or are
    all there is, and have none otherwise; notes say so.

    Args:
        pictures: Name of the product, and picture.
        start: Makes the residuals of a product from its first pictures.
        enough: How many these are.
    """
    found: dict[str, HeldOutResiduals] = {}
    waiting: list[tuple[str, Tensor]] = []
    for name, picture in pictures:
        if name in found:
            found[name].add(picture)
            continue
        waiting.append((name, picture))
        own = [picture for product, picture in waiting if product == name]
        if len(own) == enough:
            found[name] = start(own)
            waiting = [one for one in waiting if one[0] != name]
    few = list(dict.fromkeys(name for name, _ in waiting))
    several = bool(found) or len(few) > 1
    together = not found or len(waiting) >= enough
    if together and waiting:
        found |= dict.fromkeys(few, start([picture for _, picture in waiting]))
    how = "together" if together else "as the product that each picture is most like"
    note = (
        f"{', '.join(few)}: fewer than {enough} good images that the network does not train on. "
        f"They have no forest of their own and are judged {how}. Give some {6 * enough} good "
        "images of each product: about a quarter are held out."
    )
    return found, [note] if few and several else []
