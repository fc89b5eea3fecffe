"""Protocols: what one model is trained on and what it is tested on.

``one_for_all``  one model for all categories.
``per_category`` one model for each category.
``one_class``    a classification data set: one class is good, the others are the defects.
``unbalanced``   the same with a few labelled anomalies of known classes in training (the protocol
                 of Deep SAD: Ruff et al., ICLR 2020).

Training and test part are separate data sets, so that nothing of the test part can reach training
or calibration; good validation images go with the training part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from blemish._names import unknown_name_message
from blemish.data.sample import DataSet, Sample, hold_out
from blemish.errors import ConfigError, DataError

PROTOCOLS = ("one_for_all", "per_category", "one_class", "unbalanced")
#: Protocols over classification data sets, in which nothing is defective before relabelling.
CLASS_PROTOCOLS = ("one_class", "unbalanced")


@dataclass(frozen=True)
class Unit:
    """What one model is trained for."""

    protocol: str
    #: What it is trained for and reports on; in the class protocols the one normal class.
    categories: tuple[str, ...]
    known: tuple[str, ...] = ()  # ``unbalanced``: classes whose labelled anomalies may train
    ratio: float = 0.0  # ``unbalanced``: share of labelled anomalies in the training set


@dataclass(frozen=True)
class Parts:
    """The data of one unit."""

    training: DataSet  # samples of the splits train and validation, none of test
    test: DataSet  # labelled samples of the split test, none of the others
    #: ``unbalanced``: the good test samples and the anomalies of classes training never saw.
    unseen: DataSet | None = None


def plan_units(
    data_set: DataSet,
    protocol: str,
    *,
    classes: Sequence[str] = (),
    known: Sequence[str] = (),
    ratios: Sequence[float] = (),
) -> list[Unit]:
    """The models a protocol trains on a data set, in order.

    Args:
        data_set: Restricted to the categories wanted.
        protocol: One of :data:`PROTOCOLS`.
        classes: Normal classes by name or number; empty: each class in turn.
        known: ``unbalanced``: the known anomaly classes. A class that is the normal one of a unit
            is none of its anomalies.
        ratios: ``unbalanced``: shares of labelled anomalies in the training set, in [0, 1).

    Raises:
        ConfigError: Unknown protocol or class, or options that do not belong to the protocol.
        DataError: A class protocol on a data set with defects, or with one class only.
    """
    if protocol not in PROTOCOLS:
        raise ConfigError(unknown_name_message("protocol", protocol, PROTOCOLS))
    if classes and protocol not in CLASS_PROTOCOLS:
        raise ConfigError(
            f"--classes belongs to the protocols {' and '.join(CLASS_PROTOCOLS)}; the protocol is "
            f"{protocol}. To choose categories give --products."
        )
    if (known or ratios) and protocol != "unbalanced":
        raise ConfigError(f"--known and --ratios belong to unbalanced; the protocol is {protocol}.")
    if protocol == "one_for_all":
        return [Unit(protocol, data_set.products)]
    if protocol == "per_category":
        return [Unit(protocol, (product,)) for product in data_set.products]
    _check_classes(data_set, protocol)
    normal = _class_names(data_set, classes) or data_set.products
    if protocol == "one_class":
        return [Unit(protocol, (name,)) for name in normal]
    anomalies = _class_names(data_set, known)
    if not anomalies or not ratios:
        raise ConfigError(
            "unbalanced needs the known anomaly classes and their shares of the training set: "
            "give --known 1,2 and --ratios 0,0.01,0.05,0.1,0.2."
        )
    for ratio in ratios:
        if not 0 <= ratio < 1:
            raise ConfigError(f"--ratios {ratio:g}: expected a share of at least 0 and below 1.")
    alone = [name for name in normal if set(anomalies) == {name}]
    if alone:
        raise ConfigError(
            f"The only known anomaly class, {alone[0]}, is also a normal class. Name another one "
            "with --known, or choose the normal classes with --classes."
        )
    return [Unit(protocol, (n,), anomalies, ratio) for n in normal for ratio in ratios]


def split_parts(data_set: DataSet, unit: Unit, *, seed: int, hold_out_share: float) -> Parts:
    """Training and test part of one unit.

    Args:
        data_set: As given to :func:`plan_units`.
        unit: One of its units.
        seed: Seed of the draw of labelled anomalies (``unbalanced``).
        hold_out_share: Share of the good training images that will be set aside for calibration;
            the ratio of labelled anomalies refers to those that remain.

    Raises:
        DataError: The known classes have fewer images than the ratio asks for.
    """
    if unit.protocol not in CLASS_PROTOCOLS:
        chosen = data_set.of_products(unit.categories)
        labelled = chosen.split("test").where(lambda s: s.label is not None)
        return Parts(chosen.split("train", "validation"), labelled)
    (normal,) = unit.categories
    good = data_set.of_products([normal])
    test = [_relabelled(s, normal) for s in data_set.split("test").samples]
    training = list(good.split("train", "validation").samples)
    if unit.protocol == "one_class":
        return Parts(_with(data_set, training), _with(data_set, test))
    known = [name for name in unit.known if name != normal]
    kept, _ = hold_out(good.split("train").samples, hold_out_share, seed)
    training += _labelled_anomalies(data_set, normal, known, unit.ratio, len(kept), seed)
    unseen = [s for s in test if s.is_good or s.defect_kind not in known]
    return Parts(_with(data_set, training), _with(data_set, test), _with(data_set, unseen))


def labelled_anomalies(parts: Parts) -> list[Sample]:
    """The labelled anomalies of a training part."""
    return [s for s in parts.training.samples if s.label == 1 and s.split == "train"]


def anomaly_count(normal: int, ratio: float) -> int:
    """Labelled anomalies that make up a share ``ratio`` of a set with ``normal`` others."""
    return round(ratio / (1.0 - ratio) * normal)


def _labelled_anomalies(
    data_set: DataSet, normal: str, known: Sequence[str], ratio: float, kept: int, seed: int
) -> list[Sample]:
    """As many of each known class, drawn without replacement; the first take the remainder."""
    wanted = anomaly_count(kept, ratio)
    drawn: list[Sample] = []
    for position, name in enumerate(known):
        share = wanted // len(known) + (position < wanted % len(known))
        pool = data_set.of_products([name]).split("train").samples
        if share > len(pool):
            raise DataError(
                f"A ratio of {ratio:g} needs {share} labelled anomalies of class {name}, which has "
                f"{len(pool)} training images. Lower --ratios or name more classes with --known."
            )
        number = data_set.products.index(name)
        rows = np.random.default_rng([seed, number]).permutation(len(pool))[:share]
        drawn += [_relabelled(pool[row], normal) for row in sorted(rows)]
    return drawn


def _relabelled(sample: Sample, normal: str) -> Sample:
    """The sample as one of the product ``normal``: good if it is of that class, else a defect."""
    if sample.product == normal:
        return sample
    return replace(sample, product=normal, label=1, defect_kind=sample.product)


def _with(data_set: DataSet, samples: Iterable[Sample]) -> DataSet:
    return replace(data_set, samples=tuple(samples))


def _check_classes(data_set: DataSet, protocol: str) -> None:
    defective = sum(sample.label == 1 for sample in data_set.samples)
    classes = data_set.products
    if defective or len(classes) < 2:
        found = (
            f"{defective} defective images"
            if defective
            else f"{len(classes)} class ({', '.join(classes)})"
        )
        raise DataError(
            f"{data_set.root} (layout {data_set.layout}) holds {found}; {protocol} needs a "
            "classification data set with two classes or more and no defects, such as MNIST, "
            "Fashion-MNIST or CIFAR-10. For inspection images take one_for_all or per_category."
        )


def _class_names(data_set: DataSet, asked: Sequence[str]) -> tuple[str, ...]:
    """Class names from names or numbers, each once; a name wins over a number."""
    names = data_set.products
    found = []
    for text in asked:
        if text in names:
            found.append(text)
        elif text.isdecimal() and int(text) < len(names):
            found.append(names[int(text)])
        else:
            known = [f"{number} ({name})" for number, name in enumerate(names)]
            raise ConfigError(unknown_name_message("class", text, known))
    return tuple(dict.fromkeys(found))
