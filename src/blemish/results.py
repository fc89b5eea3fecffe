"""What blemish says of one image: the common language of prediction, reports and services."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from blemish._files import atomic_write
from blemish.errors import ConfigError
from blemish.stores.urls import shown

if TYPE_CHECKING:
    from PIL.Image import Image

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
class PartPose:
    """How the part of a picture lies against the reference of its product, and what is seen of it.

    Attributes:
        angle: Degrees by which it is turned about the picture's middle, clockwise.
        right, down: Shift after that, as shares of width and height.
        quality: Correlation with the reference once both are undone, up to 1.
        limit: The least that good pictures call for.
        fault: Why it cannot be aligned, or its part was not found, in a sentence; it is then judged
            as it lies, and its verdict is ``unsure``. Empty where all is well.
        box: Top, left, height and width in pixels of the frame that was looked at, once the picture
            is turned back; ``None``: the whole of it.

    Example:
        >>> from blemish.results import PartPose
        >>> PartPose(angle=-3.0, right=0.02, quality=0.97, limit=0.8).aligned
        True
    """

    angle: float = 0.0
    right: float = 0.0
    down: float = 0.0
    quality: float = 1.0
    limit: float = 0.0
    fault: str = ""
    box: tuple[int, int, int, int] | None = None

    @property
    def aligned(self) -> bool:
        """Whether it could be aligned, and its part was found."""
        return not self.fault

    @property
    def turned(self) -> bool:
        """Whether anything was undone."""
        return (self.angle, self.right, self.down) != (0.0, 0.0, 0.0)

    def to_dict(self) -> dict[str, Any]:
        """As plain values: aligned, the numbers, and where there is one the box."""
        names = ("angle", "right", "down", "quality", "limit")
        numbers = {name: round(getattr(self, name), 5) for name in names}
        box = {} if self.box is None else {"box": list(self.box)}
        return {"aligned": self.aligned, **numbers, **box}


@dataclass(frozen=True)
class Note:
    """How a picture is unlike those that were learned, so that its score may mean less.

    Attributes:
        kind: ``size``, ``shape``, ``channels``; ``depth`` of 16-bit values, ``pages`` that are not
            judged; or ``alignment`` where it cannot be aligned.
        sentence: What was found and what to do, with "it" for the picture.

    Example:
        >>> from blemish.results import Note
        >>> print(Note("size", "It is far smaller than the good pictures."))
        It is far smaller than the good pictures.
    """

    kind: Literal["size", "shape", "channels", "depth", "pages", "alignment"]
    sentence: str

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True, repr=False)
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
        rival: Another product that the model cannot tell it from, where none was named: the limits
            of both judge, and the stricter ones count. ``None`` where it is clear.
        notes: How the picture is unlike those that were learned; usually empty.
        image: Its pixels ``(H, W, 3)`` uint8 where they are in no file.
        bit_depth: Bits in use in 16-bit files, to read it again by.
        roi: ``(H, W)`` bool, the pixels that were looked at; the map has its lowest value at all
            others. ``None`` where all were.
        map_scale: Map values at 0 % and 100 % of the colours of its overlay; ``None`` without
            calibration.
        pose: How its part lies, from models that align pictures; ``None`` from others.

    Example:
        >>> import numpy as np
        >>> from blemish.results import Prediction
        >>> p = Prediction(path=None, product=None, score=0.3, anomaly_map=np.zeros((4, 6), "f4"))
        >>> p.verdict is None and p.anomaly_map.shape == (4, 6)
        True
        >>> p
        <Prediction: not calibrated, score 0.3>
    """

    path: Path | None
    product: str | None
    score: float
    anomaly_map: NDArray[np.float32]
    p_value: float | None = None
    verdict: Verdict | None = None
    branches: Mapping[str, Branch] = field(default_factory=dict)
    mask: NDArray[np.bool_] | None = None
    regions: tuple[Region, ...] = ()
    explanation: Explanation | None = None
    calibration: str | None = None
    recognised: str | None = None
    times_limit: float | None = None
    rival: str | None = None
    notes: tuple[Note, ...] = ()
    image: NDArray[np.uint8] | None = None
    bit_depth: int = 16
    map_scale: tuple[float, float] | None = None
    roi: NDArray[np.bool_] | None = None
    pose: PartPose | None = None

    def __repr__(self) -> str:
        of = [self.path.name] if self.path is not None else []
        of += [self.product] if self.product is not None else []
        parts = [self.verdict or "not calibrated", f"score {self.score:.4g}"]
        if self.p_value is not None:
            parts.append(f"p = {self.p_value:.3g}")
        if self.regions:
            count = f"{len(self.regions)} areas" if len(self.regions) > 1 else "1 area"
            parts.append(f"{count}, the worst at {self.regions[0].box}")
        parts += [f"note: {note.sentence}" for note in self.notes]
        return f"<Prediction{' of ' if of else ''}{', '.join(of)}: {', '.join(parts)}>"

    @property
    def map_values(self) -> NDArray[np.float32]:
        """The values ``(n,)`` of the anomaly map where the picture was looked at."""
        values = self.anomaly_map
        return values.ravel() if self.roi is None else values[self.roi]

    @property
    def looks_like(self) -> str | None:
        """The product it looks like where another one was named; ``None`` where all agrees."""
        return None if self.recognised == self.product else self.recognised

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pictures, as plain values for ``json``; a line of ``--json`` is this.

        Keys: path, product, recognised where the model knows it, rival where it doubts, verdict,
        score, p_value, times_limit, branches (name to score, p_value, verdict, times_limit),
        regions (box, area, peak, times_limit; the highest peak first), of a method with branches
        explanation (branch, box, sentence; ``None`` where none objects that has no map), with
        limits calibration, of a model that aligns pictures pose, and notes where there are any.
        Numbers that are not finite are ``None``.
        """
        branches: dict[str, dict[str, Any]] = {}
        for name, branch in self.branches.items():
            branches[name] = {"score": _finite(branch.score)}
            if branch.verdict is not None:
                branches[name].update(
                    p_value=branch.p_value, verdict=branch.verdict, times_limit=branch.times_limit
                )
        row: dict[str, Any] = {
            "path": None if self.path is None else shown(self.path),
            "product": self.product,
            **({} if self.recognised is None else {"recognised": self.recognised}),
            **({} if self.rival is None else {"rival": self.rival}),
            "verdict": self.verdict,
            "score": _finite(self.score),
            "p_value": self.p_value,
            "times_limit": self.times_limit,
            "branches": branches,
            "regions": [
                {**asdict(r), "box": list(r.box), "peak": _finite(r.peak)} for r in self.regions
            ],
        }
        if self.branches:
            row["explanation"] = None if self.explanation is None else asdict(self.explanation)
        if self.calibration is not None:
            row["calibration"] = self.calibration
        if self.pose is not None:
            row["pose"] = self.pose.to_dict()
        if self.notes:
            row["notes"] = [note.sentence for note in self.notes]
        return row

    def overlay(self, *, opacity: float = 0.6) -> Image:
        """The picture with its heat map, marked areas, boxes and a caption, as a PIL image.

        The colours mean the same in every picture of a product. The picture is read again from its
        file where it has one.

        Raises:
            ConfigError: There are no limits, which the colours are tied to, or no picture.
            ImageError: The file is not there any more, or cannot be read.
            DataError: The file holds another picture now.
        """
        from blemish.outputs.overlay import overlay_of

        return overlay_of(self, opacity=opacity)

    def save(self, path: str | Path) -> None:
        """Write it as the suffix says: the overlay (``.png``, ``.jpg``, ``.webp``), what
        :meth:`to_dict` gives (``.json``), or the anomaly map (``.npy``); whole or not at all.

        Raises:
            ConfigError: Another suffix, or a folder that cannot be written to; those of
                :meth:`overlay`.
        """
        suffix, content = Path(path).suffix.lower(), io.BytesIO()
        if suffix == ".json":
            text = json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=1)
            content.write(f"{text}\n".encode(errors="surrogateescape"))
        elif suffix == ".npy":
            np.save(content, self.anomaly_map, allow_pickle=False)
        elif suffix in _PICTURES:
            self.overlay().save(content, _PICTURES[suffix], quality=92)
        else:
            raise ConfigError(
                f"Cannot save a prediction as {path}: expected {', '.join(_PICTURES)} for the "
                "overlay, .json for what is said, or .npy for the anomaly map."
            )
        with atomic_write(path) as file:
            file.write(content.getvalue())

    def _repr_png_(self) -> bytes | None:
        """The overlay, where a notebook shows a prediction; ``None`` where there are no limits."""
        if self.map_scale is None:
            return None
        content = io.BytesIO()
        self.overlay().save(content, "PNG")
        return content.getvalue()


_PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def _finite(value: float) -> float | None:
    """A number JSON can hold: it knows neither NaN nor infinity."""
    return float(value) if math.isfinite(value) else None
