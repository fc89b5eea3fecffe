"""Learning on: more good images, or a new product, for a finished model, without its old images.

The method adds them (:meth:`blemish.methods.base.Method.learn`); here images that it knows are
left out, its limits take in those that are new, and the old model stays until all of it is done.
"""

from __future__ import annotations

import copy
import math
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from blemish._progress import Important, Progress
from blemish.calibration import Calibration, CalibrationRecord, calibrate
from blemish.calibration.limits import Limits
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import DataSet, Sample, some_of_each
from blemish.errors import ConfigError, DataError
from blemish.inspection.good_groups import GoodGroups
from blemish.inspection.good_records import good_records
from blemish.inspection.learned_images import LEARNED_IMAGES, packed
from blemish.inspection.learned_pictures import LearnedPictures
from blemish.inspection.pipeline import judge_samples
from blemish.methods.base import Batch, Method
from blemish.methods.registry import usable_methods
from blemish.training.batches import TrainingBatches, training_batches
from blemish.training.label_check import suspects_among, suspects_note
from blemish.training.method_network import MethodNetwork, ready_torch
from blemish.training.new_images import identity, new_images, sizes_of, some, split_new
from blemish.training.options import TrainingOptions
from blemish.training.out_of_fold import out_of_fold_records

_TOGETHER = 16  # images that a method sees at a time
_NAMED = 3  # images that a sentence names
_JUDGED = 32  # new images of a product that the model before judges


class LimitChange(NamedTuple):
    """Limits of a product before and after; ``None`` where there are none."""

    product: str
    before: Limits | None
    after: Limits | None


@dataclass(frozen=True)
class LearnReport:
    """What :meth:`Detector.learn` did.

    Example:
        >>> import numpy as np
        >>> from blemish import Detector
        >>> from blemish._progress import Progress
        >>> quiet, rng = Progress(quiet=True), np.random.default_rng(0)
        >>> make = lambda low: rng.integers(low, low + 9, (20, 64, 64, 3)).astype(np.uint8)
        >>> nuts, caps = make(50), make(150)
        >>> detector = Detector().fit(nuts, false_alarm_rate=0.1, progress=quiet)
        >>> report = detector.learn(caps, product="cap", progress=quiet)
        >>> detector.products, report.images, report.limits[1].after.n
        (('product', 'cap'), {'cap': 20}, 20)
    """

    images: Mapping[str, int]  # good ones that were learned, by product
    new_products: tuple[str, ...]
    known: int  # images that the model knew already, and repeated ones
    limits: tuple[LimitChange, ...]  # of every product
    failures: tuple[tuple[Path, str], ...]  # path and reason of images that cannot be read
    notes: tuple[str, ...]  # what the user should know, one sentence each
    seconds: float  # wall time
    groups: Mapping[str, Any] = field(default_factory=dict)  # as of blemish.training.sides
    pictures: LearnedPictures | None = None  # what the new ones had in common
    digests: tuple[bytes, ...] = field(default=(), repr=False)  # of those that were learned
    doubtful: bool = False  # whether some of them are perhaps not good, or of another product

    def added_to(self, training: Mapping[str, Any], options: TrainingOptions) -> dict[str, Any]:
        """What the model file says of the training, and now of this as well."""
        learned = [
            {"product": product, "images": count, "seed": options.seed}
            for product, count in self.images.items()
        ]
        groups = dict(training.get("groups", {}))
        for product, new in self.groups.items():
            names = [*groups.get(product, {}).get("names", []), *new["names"]]
            groups[product] = {"by": new["by"], "names": sorted(set(names))}
        pictures = LearnedPictures.from_json(training.get("pictures"))
        if pictures is not None and self.pictures is not None:
            pictures = pictures.joined(self.pictures)
        return {
            **training,
            "groups": groups,
            LEARNED_IMAGES: packed(self.digests, training.get(LEARNED_IMAGES, "")),
            "pictures": None if pictures is None else pictures.to_json(),
            "learned": [*training.get("learned", []), *learned],
        }


class _Again:
    """Batches of some of the images, which can be gone through again and again."""

    def __init__(self, data: TrainingBatches, rows: Sequence[int], progress: Progress) -> None:
        self.data, self.rows, self.progress = data, rows, progress

    def __iter__(self) -> Iterator[Batch]:
        batches = self.data.in_order(self.rows, _TOGETHER)
        return self.progress.track(batches, "Learning", math.ceil(len(self.rows) / _TOGETHER))


def check_learns_on(name: str, method: type[Method]) -> None:
    """A trained network would forget what it is not shown again.

    Raises:
        ConfigError: The method cannot add to what it has learned.
    """
    if not method.learns:
        able = ", ".join(other for other, known in usable_methods() if known.learns)
        raise ConfigError(
            f"{name} cannot learn on: its weights would forget the images that it is not shown "
            "again. Fit again with the old and the new images, or use a method that can: "
            f"{able}."
        )


def learn_more(
    method: Method,
    preprocessing: Preprocessing,
    calibration: Calibration | None,
    data_set: DataSet,
    *,
    product: str | None,
    group: str,
    trained: Mapping[str, Any],
    options: TrainingOptions,
    progress: Progress,
) -> tuple[Method, Calibration | None, LearnReport]:
    """Add the good training images of a data set to a copy of a method, and to its limits.

    The good validation images join the limits alone; of a method that does not measure each image
    by the others so does a share of the training images. ``trained`` are the groups that the method
    was trained on, by product (:mod:`blemish.training.sides`): of these no image calibrates.

    Raises:
        ConfigError: It cannot be told which product the images show.
        DataError: No good image, none that can be read, or one only of a new product.
    """
    started = time.monotonic()
    ready_torch()
    new, known, notes = new_images(method, calibration, data_set, product)
    if not new:
        return method, calibration, LearnReport({}, (), known, (), (), tuple(notes), 0.0)
    unknown = [s.product for s in new if s.product not in method.products]
    if preprocessing.alignment is not None and unknown:
        raise ConfigError(
            f"This model aligns pictures and has no reference for a new product, {unknown[0]!r}. "
            "Train again with it: blemish fit … --align."
        )
    split = split_new(method, preprocessing, new, group, trained, options.seed)
    failures: list[tuple[Path, str]] = []
    # Of a group that has trained: by which they would be measured, as nothing new is.
    old = [s for s in (*split.kept, *split.held) if _has_trained(s, trained)]
    familiar = {identity(sample) for sample in old} - {""}
    if old:
        notes.append(
            f"{len(old)} images are of groups that were learned before, and do not calibrate: "
            f"{some(old)}."
        )
    learned = copy.deepcopy(method)
    notes, records = [*data_set.problems, *notes, *split.notes], []
    counts: dict[str, int] = {}
    doubtful = False
    # Of two looks the units stay: the scores behind the old limits are told in them.
    units = None if preprocessing.tiling is None else preprocessing.tiling.coarse
    with torch.random.fork_rng(devices=[]), tempfile.TemporaryDirectory() as folder:
        data = training_batches(
            learned,
            split.kept,
            preprocessing,
            Path(options.cache_dir or folder),
            options.cache_budget_gib * 2**30,
            progress=progress,
            failures=failures,
            seed=options.seed,
            workers=options.workers,
        )
        if not len(data):
            raise DataError(f"None of the images can be read. {failures[0][1]}")
        for name in dict.fromkeys(sample.product for sample in data.samples):
            rows = [row for row, sample in enumerate(data.samples) if sample.product == name]
            counts[name] = len({data.samples[row].path for row in rows})  # not of tiles
            if name not in method.products and counts[name] < 2:
                raise DataError(
                    f"One readable good image of the new product {name} was found; at least 2 are "
                    "needed, and some 20 for useful limits."
                )
            torch.manual_seed(options.seed)  # for each product, as if it were learned alone
            with torch.inference_mode():
                learned.learn(_Again(data, rows, progress), name)
            found = learned.out_of_fold()
            if found is not None:
                records += [
                    record
                    for record in out_of_fold_records(found, data, rows, units)
                    if record.image not in familiar
                ]
            odd = suspects_among(
                learned, [(data, rows)], found=found, seed=options.seed, progress=progress
            )
            said = learned.notes()
            doubtful |= bool(odd) or any(isinstance(note, Important) for note in said)
            notes += [*said, *suspects_note(odd, split.kept, verb="learn")]
    learned = learned.eval()
    if split.held:
        records += good_records(
            partial(judge_samples, MethodNetwork(learned), preprocessing),
            GoodGroups([s for s in split.held if identity(s) not in familiar], "auto", {}),
            progress=progress,
            on_error=lambda path, error: failures.append((path, str(error))),
        )
    limits = calibration
    if calibration is None:
        notes.append("The model has no limits, as before: blemish calibrate sets them.")
    elif records:
        # A batch of one kind vouches for itself once it is learned: the model before judges it too.
        same = [s for s in split.kept if s.product in calibration.products]
        judged = good_records(
            partial(judge_samples, MethodNetwork(method), preprocessing),
            GoodGroups(some_of_each(same, _JUDGED), "none", {}),
            progress=progress,
            on_error=lambda path, error: None,  # said above
        )
        mostly = _mostly_defects(calibration, judged)
        others = [record for record in records if record.product not in mostly]
        once = [*mostly.values(), *_once_defects(calibration, others)]
        doubtful |= bool(once)
        notes += once
        limits = calibrate(records, current=calibration, how="join")
        notes += limits.notes(learned=method.cross_fits)
    report = LearnReport(
        images=counts,
        new_products=tuple(name for name in counts if name not in method.products),
        known=known,
        limits=tuple(
            LimitChange(name, _limits(calibration, name), _limits(limits, name))
            for name in learned.products
        ),
        failures=tuple(failures),
        notes=tuple(notes),
        seconds=time.monotonic() - started,
        groups=split.groups,
        digests=tuple(split.learned.values()),
        doubtful=doubtful,
        pictures=LearnedPictures.of(
            split.kept, sizes_of(split.kept), bit_depth=preprocessing.bit_depth
        ),
    )
    return learned, limits, report


def _has_trained(sample: Sample, trained: Mapping[str, Any]) -> bool:
    names = trained.get(sample.product, {}).get("names", ())
    return sample.together is not None and sample.together in names


def _limits(calibration: Calibration | None, product: str) -> Limits | None:
    known = calibration is not None and product in calibration.products
    return calibration.limits(product) if calibration is not None and known else None


def _mostly_defects(before: Calibration, judged: Sequence[CalibrationRecord]) -> dict[str, str]:
    """A note on each product of which the model before takes most new good images for defects."""
    notes: dict[str, str] = {}
    for product in dict.fromkeys(record.product for record in judged):
        assert product is not None  # they are of a data set
        own = [record for record in judged if record.product == product]
        above = sum(record.score > before.limits(product).defect for record in own)
        if above * 2 > len(own) > 1:
            notes[product] = Important(
                f"The model before takes {above} of {len(own)} new good images of {product} for "
                "defects. Where they show another product, name it with --product; where they are "
                f"defects, do not learn them: as good ones of {product} they are found no more."
            )
    return notes


def _once_defects(before: Calibration, records: Sequence[CalibrationRecord]) -> list[str]:
    """What the old limits say of new good images: one that is far out may be no good part."""
    odd: dict[str, list[CalibrationRecord]] = {}
    of = Counter(record.product for record in records)
    for record in sorted(records, key=lambda record: -record.score):
        if record.product in before.products:
            assert record.product is not None
            if record.score > before.limits(record.product).defect:
                odd.setdefault(record.product, []).append(record)
    notes: list[str] = []
    for product, found in odd.items():
        are, them = ("is a defect", "it") if len(found) == 1 else ("are defects", "them")
        names = ", ".join(r.image.rpartition("#")[0] or "?" for r in found[:_NAMED])
        notes.append(
            Important(
                f"By the limits before, {len(found)} of the {of[product]} new good images of "
                f"{product} {are}: {names}{', …' if len(found) > _NAMED else ''}. Look at {them}: "
                "a defect that is learned as good is found no more."
            )
        )
    return notes
