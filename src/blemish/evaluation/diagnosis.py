"""Diagnosis of a reconstruction method: why it finds or misses, by planted anomalies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blemish._names import unknown_name_message
from blemish._progress import Progress
from blemish.data.planted import KINDS, plant_anomaly
from blemish.data.sample import DataSet, Split, some_of_each
from blemish.data.sources import TrainingSource, load_input, training_data
from blemish.errors import ConfigError, DataError, ImageError
from blemish.evaluation.as_json import json_ready
from blemish.evaluation.diagnostic_measures import (
    Leakage,
    LeakageSum,
    Separability,
    Separation,
    separability,
    separation,
    total,
)
from blemish.methods.base import MethodOutput
from blemish.teachers.teacher import Teacher

if TYPE_CHECKING:
    from blemish.detector import Detector
    from blemish.inspector import Inspector

Pixels = NDArray[np.uint8]

_SPLITS: tuple[Split, ...] = ("test", "validation", "train")


class Rebuilds(Protocol):
    """What a method needs to be diagnosed: a bottleneck, and levels rebuilt from it."""

    teacher: Teacher

    def __call__(self, images: Tensor) -> MethodOutput:
        """Map and score of images ``(N, 3, H, W)``."""

    def standardise(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The teacher's levels as the bottleneck takes them."""

    def embed(self, levels: tuple[Tensor, ...]) -> Tensor:
        """The bottleneck's output ``(N, C, h, w)`` for standardised levels."""

    def rebuild(self, levels: tuple[Tensor, ...]) -> list[tuple[Tensor, Tensor]]:
        """Pairs of standardised level and its reconstruction, for the teacher's levels."""


@dataclass(frozen=True)
class ProductDiagnosis:
    """One product's figures."""

    product: str
    leakage: Leakage  # over all planted anomalies of the product
    planted: Separation  # scores of good images against those with planted anomalies
    real: Separation | None  # against those of defective images, where there are any


@dataclass(frozen=True)
class Diagnosis:
    """What the diagnostics found."""

    split: Split  # the good images are from
    products: tuple[ProductDiagnosis, ...]
    leakage: Leakage  # over all products and kinds of planted anomaly
    kinds: dict[str, Leakage]  # by kind of planted anomaly
    #: Of the products in the bottleneck's global average pool; ``None`` with a single product.
    bottleneck: Separability | None
    teacher: Separability | None  # the same in the teacher's deepest level, to compare with
    failures: tuple[tuple[Path, str], ...]  # path and reason of each image not readable


def diagnose(
    detector: Inspector,
    data: TrainingSource,
    *,
    layout: str = "auto",
    split: str = "auto",
    images: int = 25,
    seed: int = 0,
    progress: Progress | None = None,
) -> Diagnosis:
    """Diagnose a trained detector on the good images of a data set.

    Every kind of :mod:`blemish.data.planted` is planted once into every good image.

    Args:
        detector: Trained, of a method that rebuilds features.
        data: As for :meth:`blemish.detector.Detector.fit`.
        layout: Name of the layout, ``auto`` to recognise it.
        split: Where good images are taken from; ``auto``: the first of ``test``, ``validation``
            and ``train`` that has any.
        images: Largest number of good, and of defective, images per product; 0 takes all.
        seed: Draws the anomalies and the halves of the purity.
        progress: Where progress is shown.

    Raises:
        ConfigError: An exported model, a method without bottleneck or reconstruction, or an
            unknown split.
        DataError: No readable good images.

    Example:
        >>> import numpy as np
        >>> from blemish import Detector
        >>> from blemish.evaluation.diagnosis import diagnose
        >>> from blemish._progress import Progress
        >>> good = np.random.default_rng(0).integers(90, 110, (12, 64, 64, 3)).astype(np.uint8)
        >>> detector = Detector("rd", settings={"steps": 2, "batch_size": 4})
        >>> _ = detector.fit(good, false_alarm_rate=0.4, progress=Progress(quiet=True))
        >>> found = diagnose(detector, good, images=2)
        >>> found.split, len(found.leakage.copied), found.bottleneck is None
        ('train', 3, True)
    """
    if not hasattr(detector, "method"):
        raise ConfigError(
            "This is an exported model: its bottleneck cannot be looked into. Diagnose the trained "
            "model it was made from."
        )
    trained = cast("Detector", detector)
    method, preprocessing, name = trained.method, trained.preprocessing, trained.method_name
    if method is None or preprocessing is None:
        raise ConfigError("This detector is not trained yet. Call fit(), or Detector.load().")
    if preprocessing.tiling is not None:
        raise ConfigError(
            "This model sees pictures in tiles, of which the diagnostics know nothing. Diagnose "
            "one of the same method that is trained without --tile."
        )
    # Not by isinstance: from Python 3.12 on it does not see the teacher, which is a module's part.
    if not all(hasattr(method, part) for part in ("teacher", "standardise", "embed", "rebuild")):
        raise ConfigError(
            f"The method {name!r} does not rebuild features from a bottleneck, so "
            "there is no leakage to measure. Diagnostics work on rd, hfr, borad and logicrd."
        )
    if not method.stages():
        raise ConfigError(
            f"This {name!r} model was fitted without training, so that it rebuilds "
            "nothing. Diagnose one whose settings train a reconstruction."
        )
    rebuilding = cast("Rebuilds", method)
    data_set = training_data(data, layout=layout, bit_depth=preprocessing.bit_depth)
    chosen = _choose_split(data_set, split)
    samples = [s for s in data_set.split(chosen).samples if s.label is not None]
    if images < 0:
        raise ConfigError(f"{images} images per product were asked for; expected 0 (all) or more.")
    good = some_of_each([s for s in samples if s.is_good], images or len(samples))
    bad = some_of_each([s for s in samples if not s.is_good], images or len(samples))
    failures: list[tuple[Path, str]] = []
    measured: dict[str, _ProductMeasurements] = {}
    rng = np.random.default_rng(seed)
    progress = progress or Progress(quiet=True)
    for sample in progress.track([*good, *bad], "Diagnosing", len(good) + len(bad)):
        try:
            image = load_input(sample, preprocessing).pixels
        except ImageError as error:
            failures.append((sample.path, str(error)))
            continue
        of_product = measured.setdefault(sample.product, _ProductMeasurements())
        if sample.is_good:
            of_product.add_good(rebuilding, image, rng)
        else:
            of_product.add_defective(rebuilding, image)
    measured = {name: m for name, m in measured.items() if m.good}
    if not measured:
        reasons = "".join(f"\n  {reason}" for _, reason in failures[:5])
        raise DataError(f"{data_set.root}: no good image could be read.{reasons}")
    labels = [name for name, m in measured.items() for _ in m.embedded]
    embedded = np.stack([vector for m in measured.values() for vector in m.embedded])
    of_teacher = np.stack([vector for m in measured.values() for vector in m.of_teacher])
    return Diagnosis(
        split=chosen,
        products=tuple(
            ProductDiagnosis(
                name,
                total(m.leakage.values()).result(),
                separation(m.good, m.planted),
                separation(m.good, m.real) if m.real else None,
            )
            for name, m in measured.items()
        ),
        leakage=total(t for m in measured.values() for t in m.leakage.values()).result(),
        kinds={kind: total(m.leakage[kind] for m in measured.values()).result() for kind in KINDS},
        bottleneck=separability(embedded, labels, seed=seed),
        teacher=separability(of_teacher, labels, seed=seed),
        failures=tuple(failures),
    )


def diagnosis_json(found: Diagnosis) -> str:
    """All figures as indented JSON, ``null`` where a figure cannot be given."""
    content = asdict(found)
    content["failures"] = [{"path": str(path), "error": reason} for path, reason in found.failures]
    return json.dumps(json_ready(content), indent=1, allow_nan=False)


def _choose_split(data_set: DataSet, wanted: str) -> Split:
    """The split whose good images are looked at."""
    if wanted not in ("auto", *_SPLITS):
        raise ConfigError(unknown_name_message("split", wanted, ("auto", *_SPLITS)))
    for split in _SPLITS:
        asked = wanted in ("auto", split)
        if asked and any(s.is_good for s in data_set.split(split).samples):
            return split
    where = "" if wanted == "auto" else f" in its split {wanted!r}"
    raise DataError(
        f"{data_set.root} (layout {data_set.layout}) has no good images{where}. Diagnostics plant "
        "anomalies into good images; see `blemish data describe`."
    )


class _ProductMeasurements:
    """Scores, leakage sums and pooled vectors of one product's images."""

    def __init__(self) -> None:
        self.good: list[float] = []  # scores, and of the same images with a planted anomaly:
        self.planted: list[float] = []
        self.real: list[float] = []  # scores of defective images
        self.leakage: dict[str, LeakageSum] = {}  # by kind of planted anomaly
        self.embedded: list[NDArray[np.float32]] = []  # the bottleneck's global average pool (C,)
        self.of_teacher: list[NDArray[np.float32]] = []  # the same of the teacher's deepest level

    @torch.inference_mode()
    def add_good(self, method: Rebuilds, image: Pixels, rng: np.random.Generator) -> None:
        """Measure a good image ``(H, W, 3)``, and with every kind of anomaly planted into it."""
        planted, masks = zip(*(plant_anomaly(image, rng, kind=kind) for kind in KINDS), strict=True)
        images = _images(method, np.stack([image, *planted]))  # (1 + kinds, 3, H, W)
        score, *others = method(images).score.tolist()
        self.good.append(score)
        self.planted += others
        levels = tuple(method.teacher(images))
        pairs = method.rebuild(levels)
        clean = [(f[:1], s[:1]) for f, s in pairs]
        for row, (kind, mask) in enumerate(zip(KINDS, masks, strict=True), start=1):
            changed = [(f[row : row + 1], s[row : row + 1]) for f, s in pairs]
            at = torch.from_numpy(mask[None]).to(images.device)
            self.leakage.setdefault(kind, LeakageSum(len(pairs))).add(clean, changed, at)
        as_seen = method.standardise(tuple(level[:1] for level in levels))
        self.embedded.append(_pooled(method.embed(as_seen)))
        self.of_teacher.append(_pooled(as_seen[-1]))

    @torch.inference_mode()
    def add_defective(self, method: Rebuilds, image: Pixels) -> None:
        """Score a defective image ``(H, W, 3)``."""
        self.real += method(_images(method, np.stack([image]))).score.tolist()


def _images(method: Rebuilds, pixels: Pixels) -> Tensor:
    """``(N, H, W, 3)`` uint8 → ``(N, 3, H, W)`` where the method is."""
    device = next(method.teacher.parameters()).device
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device)


def _pooled(features: Tensor) -> NDArray[np.float32]:
    return features[0].float().mean((1, 2)).cpu().numpy()  # (C,)
