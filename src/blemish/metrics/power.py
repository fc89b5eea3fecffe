"""Power at a limit: defects found, good parts stopped, and what the ROC offers for that price.

A limit is set before the test images are seen, so it stops whatever share of the good ones it
does. Beside the defects that it finds stands what the best threshold finds that stops no more of
them: ranking decides the one, calibration the difference.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from blemish.errors import DataError
from blemish.metrics.inputs import scores_and_labels
from blemish.metrics.ranking import NAN, Ranking


class Power(NamedTuple):
    """Counts at a limit. A share of nothing is ``nan``.

    Example:
        >>> from blemish.metrics import Power
        >>> Power(found=2, defective=4, stopped=1, good=10, offered=3).wasted
        0.25
    """

    found: int  # defective and above the limit
    defective: int
    stopped: int  # good and above the limit
    good: int
    offered: int  # defects found by the best single threshold that stops no more good images

    @property
    def found_share(self) -> float:
        """Share of the defects that are found: the recall at the limit."""
        return self.found / self.defective if self.defective else NAN

    @property
    def stopped_share(self) -> float:
        """Share of the good images that are stopped: the realised false-alarm rate."""
        return self.stopped / self.good if self.good else NAN

    @property
    def roc_recall(self) -> float:
        """Recall of the ROC at the realised false-alarm rate; ``nan`` if one class is missing."""
        return self.offered / self.defective if self.defective and self.good else NAN

    @property
    def wasted(self) -> float:
        """``roc_recall`` less ``found_share``: what the place of the limit costs."""
        return self.roc_recall - self.found_share


def power(scores: ArrayLike, labels: ArrayLike, *, limits: ArrayLike) -> Power:
    """Power at given limits, and what the ROC of these images offers at the realised rate.

    With m good images above the limit, ``offered`` is the largest number of defects at or above
    any one threshold that has at most m good images at or above it. A defect that ties with a
    good image is reached only together with it. This is the exact ROC curve, read as a step: no
    interpolation, and no threshold that would need chance to break a tie. It is an oracle, chosen
    on the very images that it is measured on; no calibration can promise it.

    With one limit for all images ``found`` is never above ``offered``. With a limit per image it
    can be, for one threshold is then not the same thing.

    Args:
        scores: ``(N,)`` raw scores, higher is worse.
        labels: ``(N,)`` bool or 0/1, 1 is defective.
        limits: One, or ``(N,)`` one per image; an image is stopped if its score is above. From
            calibration, never from these labels; infinite where nothing, or all, is stopped.

    Raises:
        DataError: On a NaN score or limit, other labels, or different lengths.

    Example:
        >>> from blemish.metrics import power
        >>> power([1, 2, 3, 4, 2.5, 3.5, 9], [0, 0, 0, 0, 1, 1, 1], limits=3.7)
        Power(found=1, defective=3, stopped=1, good=4, offered=2)
    """
    values, defective = scores_and_labels(scores, labels)
    bounds = np.asarray(limits, np.float64)
    if bounds.shape not in ((), values.shape):
        raise DataError(
            f"Limits have shape {bounds.shape} and scores {values.shape}; expected one limit for "
            "all images or one for each."
        )
    if np.isnan(bounds).any():
        raise DataError("A limit is NaN; expected numbers on the scale of the scores.")
    above = values > bounds  # (N,)
    stopped = int(np.count_nonzero(above & ~defective))
    return Power(
        found=int(np.count_nonzero(above & defective)),
        defective=int(np.count_nonzero(defective)),
        stopped=stopped,
        good=int(np.count_nonzero(~defective)),
        offered=Ranking.from_scores(values, defective).found_with(stopped),
    )
