"""What blemish says of one image: the common language of prediction, reports and services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Verdict = Literal["ok", "unsure", "defect"]
#: The product of a picture that shows none of those the model knows; its verdict is ``unsure``.
UNKNOWN_PRODUCT = "unknown product"


@dataclass(frozen=True)
class Region:
    """One connected anomalous area.

    Attributes:
        box: Left, top, right, bottom in pixels of the source image; right and bottom exclusive.
        area: Number of pixels above the limit.
        peak: Largest value of the anomaly map inside.
        times_limit: How far the peak is beyond the map's limit, counted from the background of good
            maps: always above 1; ``None`` where that is not known.

    Example:
        >>> from blemish.results import Region
        >>> Region(box=(4, 2, 10, 9), area=31, peak=1.7).box
        (4, 2, 10, 9)
    """

    box: tuple[int, int, int, int]
    area: int
    peak: float
    times_limit: float | None = None


@dataclass(frozen=True)
class Explanation:
    """Why a branch without a map of its own objects, in a form a line worker can use.

    Attributes:
        branch: The branch that is explained.
        box: Left, top, right, bottom in pixels of the source image; right and bottom exclusive.
        sentence: What to look at, in plain words.

    Example:
        >>> from blemish.results import Explanation
        >>> Explanation("logical", (4, 2, 10, 9), "Look at the marked area.").box
        (4, 2, 10, 9)
    """

    branch: str
    box: tuple[int, int, int, int]
    sentence: str


@dataclass(frozen=True)
class Branch:
    """What one branch of a method says, such as LogicRD's ``logical``.

    Attributes:
        score: Raw, unbounded; higher is worse.
        p_value, verdict: At the calibrated rates; ``None`` where its limits are not known.
        times_limit: How far beyond its limit, as in :class:`Prediction`.

    Example:
        >>> from blemish.results import Branch
        >>> Branch(score=1.2, p_value=0.01, verdict="defect").verdict
        'defect'
    """

    score: float
    p_value: float | None = None
    verdict: Verdict | None = None
    times_limit: float | None = None


@dataclass(frozen=True)
class Prediction:
    """The answer for one image. NumPy only, so that it crosses every border.

    Attributes:
        path: The image's file, or ``None`` for an array given directly.
        product: The product by whose limits it is judged: the one that was named, else the one
            that the model recognised, which may be :data:`UNKNOWN_PRODUCT`; ``None`` where there is
            neither.
        score: Raw anomaly score, unbounded; higher is worse. Metrics use this one.
        anomaly_map: ``(H, W)`` float32 at the *source image's* size, raw, higher is worse.
        p_value: Share of good parts at least this odd, in (0, 1]; ``None`` without calibration.
        verdict: ``ok``, ``unsure`` or ``defect``; ``None`` without calibration.
        branches: What each branch of the method says, by name; empty where it has none.
        mask: ``(H, W)`` bool, pixels above the calibrated map limit; ``None`` without calibration.
        regions: Connected areas of ``mask``, the highest peak first.
        explanation: Where to look when the logical branch objects; ``None`` when it does not.
        calibration: Version of the limits that judged it, see
            :attr:`blemish.calibration.limits.Calibration.version`; ``None`` without calibration.
        recognised: The product that the model takes it for, whatever was named; ``None`` from
            models that recognise none.
        times_limit: How far beyond, which a p-value of few good images does not tell: 0 at the
            median of the good scores, 1 at the limit, 3 three times as far from the median as the
            limit is. Comparable between products, which scores are not; ``None`` where the limit
            is not above the median, and without calibration.

    Example:
        >>> import numpy as np
        >>> from blemish.results import Prediction
        >>> p = Prediction(path=None, product=None, score=0.3, anomaly_map=np.zeros((4, 6), "f4"))
        >>> p.verdict is None and p.anomaly_map.shape == (4, 6)
        True
    """

    path: Path | None
    product: str | None
    score: float
    anomaly_map: NDArray[np.float32] = field(repr=False)
    p_value: float | None = None
    verdict: Verdict | None = None
    branches: Mapping[str, Branch] = field(default_factory=dict)
    mask: NDArray[np.bool_] | None = field(default=None, repr=False)
    regions: tuple[Region, ...] = ()
    explanation: Explanation | None = None
    calibration: str | None = None
    recognised: str | None = None
    times_limit: float | None = None

    @property
    def looks_like(self) -> str | None:
        """The product it looks like where another one was named; ``None`` where all agrees."""
        return None if self.recognised == self.product else self.recognised
