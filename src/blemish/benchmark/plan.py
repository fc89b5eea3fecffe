"""Benchmark plan: from what is asked for to the list of runs, each with its identity."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from blemish import __version__
from blemish._names import unknown_name_message
from blemish.benchmark.environment import code_fingerprint, data_fingerprints
from blemish.benchmark.protocols import CLASS_PROTOCOLS, PROTOCOLS, Unit, plan_units
from blemish.benchmark.rows import without_paths
from blemish.data.layouts import Folders, read_data_set
from blemish.data.layouts.roles import FOLDER_ROLES
from blemish.data.sample import DataSet
from blemish.detector import Detector
from blemish.errors import BlemishError, ConfigError
from blemish.evaluation.evaluator import Evaluator
from blemish.methods.registry import method_class
from blemish.teachers.teacher import check_teacher_name
from blemish.training.devices import resolve_precision


@dataclass(frozen=True)
class BenchmarkOptions:
    """What to measure.

    Attributes:
        methods: Names of the systems.
        data: Data sets, each ``PATH`` or ``NAME=PATH``; the name stands in the results.
        protocol: See :mod:`blemish.benchmark.protocols`.
        seeds: One model per seed and unit.
        settings: Settings of the methods; ``METHOD.NAME`` for one of them only.
        preset: What the settings start from, such as ``paper``; every method has it.
        layout: Layout of the data.
        good, defects, masks, test: Folders in the data sets and what they hold; see
            :class:`blemish.data.layouts.Folders`.
        products: Categories to use; empty: all.
        classes, known, ratios: See :func:`blemish.benchmark.protocols.plan_units`.
        speed, teacher, teacher_weights, size: As for :class:`blemish.Detector`; ``None`` is each
            method's own.
        hold_out: Share of the good training images that calibrates where the data set has no
            validation images; ``None`` as for :meth:`blemish.Detector.fit`.
        group: What part, strip or lot images are of: an expression, ``auto`` or ``none``, as for
            :meth:`blemish.Detector.fit`.
        false_alarm_rate: Of the operating point.
        device, precision: As for :meth:`blemish.Detector.fit`.
        histogram: Pixel metrics in bounded memory.
        compatibility: ``ader`` adds pixel F1-max as the framework ADer computes it.
    """

    methods: tuple[str, ...]
    data: tuple[str, ...]
    protocol: str = "one_for_all"
    seeds: tuple[int, ...] = (0,)
    settings: tuple[tuple[str, str], ...] = ()
    preset: str = "light"
    layout: str = "auto"
    good: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    ratios: tuple[float, ...] = ()
    speed: str | None = None
    teacher: str | None = None
    teacher_weights: str = "pretrained"
    size: int | tuple[int, int] | None = None
    hold_out: float | None = None
    group: str = "auto"
    false_alarm_rate: float = 0.01
    device: str = "auto"
    precision: str = "32-true"
    histogram: bool = False
    compatibility: str = "none"


def check_options(options: BenchmarkOptions) -> None:
    """Find what no run could work with, before the first one starts.

    Raises:
        ConfigError: Naming the option, what it was and what is expected.
    """
    if options.protocol not in PROTOCOLS:
        raise ConfigError(unknown_name_message("protocol", options.protocol, PROTOCOLS))
    if options.teacher is not None:
        check_teacher_name(options.teacher)
    for what, values in (
        ("--method", options.methods),
        ("--data", options.data),
        ("--seeds", options.seeds),
    ):
        if not values:
            raise ConfigError(f"{what} names nothing. Give at least one, several with commas.")
        twice = [value for value in values if values.count(value) > 1]
        if twice:
            raise ConfigError(f"{what} names {twice[0]} twice; each counts once.")
    if any(seed < 0 for seed in options.seeds):
        raise ConfigError(f"--seeds {min(options.seeds)}: expected whole numbers from 0.")
    if options.hold_out is not None and not 0 <= options.hold_out < 1:
        raise ConfigError(f"--hold-out {options.hold_out:g}: expected a share in [0, 1).")
    if options.group.endswith(".csv"):
        raise ConfigError(
            f"--group {options.group}: a benchmark takes no table, which its results could not "
            "name. Expected an expression that is found in file names, auto or none."
        )
    if not 0 < options.false_alarm_rate <= 0.5:
        raise ConfigError(
            f"--false-alarm-rate {options.false_alarm_rate:g}: expected a share in (0, 0.5]."
        )
    if options.products and options.protocol in CLASS_PROTOCOLS:
        raise ConfigError(
            f"{options.protocol} tests on all classes: choose the normal ones with --classes, "
            "not --products."
        )
    # Refuses what cannot be had.
    Evaluator(histogram=options.histogram, compatibility=options.compatibility)  # type: ignore[arg-type]
    for name, _ in options.settings:
        method, dot, _ = name.rpartition(".")
        if dot and method not in options.methods:
            raise ConfigError(unknown_name_message("method in --set", method, options.methods))


def named_data(data: Sequence[str]) -> list[tuple[str, str]]:
    """Name and path of each data set.

    Raises:
        ConfigError: Two of one name, or a name that could not be one of a folder.
    """
    named = []
    for text in data:
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            name, path = Path(text).resolve().name or "data", text
        named.append((name, path))
    names = [name for name, _ in named]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"Two data sets are called {name}. Name them: --data first=PATH,second=PATH."
            )
        if not name or "/" in name or "\\" in name:
            raise ConfigError(f"--data: {name!r} is no name. Expected PATH or NAME=PATH.")
    return named


def command_line(options: BenchmarkOptions, out: str) -> str:
    """The command that asks for this, with paths cut to their last part."""
    data = []
    for name, path in named_data(options.data):
        last = Path(path).name or name
        data.append(last if last == name else f"{name}={last}")
    words = []
    for option in fields(options):
        value = getattr(options, option.name)
        flag = "--method" if option.name == "methods" else "--" + option.name.replace("_", "-")
        if option.name == "data":
            words += [flag, ",".join(data)]
        elif option.name == "settings":
            words += [word for name, given in value for word in ("--set", f"{name}={given}")]
        elif option.name in FOLDER_ROLES:
            words += [word for folder in value for word in (flag, Path(folder).name)]
        elif isinstance(value, bool):
            words += [flag] * value
        elif option.name in ("methods", "protocol", "seeds") or value != option.default:
            words += [flag, _text(option.name, value)]
    return shlex.join(["blemish", "benchmark", *words, "--out", Path(out).resolve().name])


def _text(name: str, value: Any) -> str:
    if name == "teacher_weights":
        return Path(value).name
    items = value if isinstance(value, tuple) else (value,)
    texts = [f"{item:g}" if isinstance(item, float) else str(item) for item in items]
    return ("x" if name == "size" else ",").join(texts)


@dataclass(frozen=True)
class RunSpec:
    """One run: one model, trained and measured in a process of its own."""

    identity: dict[str, Any]  # everything that decides the figures, and no path of the machine
    changed: dict[str, Any]  # the settings that are not the method's defaults
    method_module: str  # whose source belongs to the identity
    data_path: str  # on this machine, as the next one
    teacher_weights: str
    unreadable: str = ""  # why the data set cannot be read
    folders: dict[str, list[str]] = field(default_factory=dict)  # by role, on this machine

    @property
    def run(self) -> str:
        """Digest of the identity."""
        canonical = json.dumps(self.identity, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    @property
    def unit(self) -> Unit:
        content = self.identity["protocol"]
        return Unit(
            content["name"],
            tuple(content["categories"]),
            tuple(content["known"]),
            content["ratio"],
        )

    @property
    def title(self) -> str:
        """The run in words, for progress and messages."""
        identity, unit = self.identity, self.unit
        words = [identity["method"], identity["data"]["name"], unit.protocol]
        if unit.protocol != "one_for_all":
            words += unit.categories
        if unit.protocol == "unbalanced":
            words.append(f"ratio {unit.ratio:g}")
        return " · ".join([*words, f"seed {identity['seed']}"])


def plan_runs(options: BenchmarkOptions) -> list[RunSpec]:
    """The runs in the order in which they are done; those that share features are neighbours.

    A data set that cannot be read gives runs that will fail with the reason; the others go on.

    Raises:
        ConfigError: Anything about the options that no run could work with.
    """
    check_options(options)
    detectors = {name: detector_for(options, name) for name in options.methods}
    weights = _weights_identity(options.teacher_weights)
    runs: list[RunSpec] = []
    for name, path in named_data(options.data):
        source = _read_source(options, name, path)
        for seed in options.seeds:
            for unit in source.units:
                for method, detector in detectors.items():
                    _check_labelled(method, unit)
                    config = detector.config
                    identity = _identity(options, source, unit)
                    identity |= {"method": method, "config": config.to_json(), "seed": seed}
                    identity["size"] = options.size or detector.input.image_size
                    identity["teacher"] = {"name": str(detector.teacher), "weights": weights}
                    module = method_class(method).__module__
                    identity["code"] = {"version": __version__, "sources": code_fingerprint(module)}
                    defaults = type(config)().to_json()
                    changed = {k: v for k, v in config.to_json().items() if v != defaults[k]}
                    runs.append(
                        RunSpec(
                            json.loads(json.dumps(identity)),  # tuples as a reader finds them
                            json.loads(json.dumps(changed)),
                            module,
                            path,
                            options.teacher_weights,
                            source.unreadable,
                            _folders(options),
                        )
                    )
    return runs


@dataclass(frozen=True)
class _Source:
    """One data set: its units, what identifies it, and why it cannot be read."""

    name: str
    layout: str
    fingerprints: dict[str, str]
    units: list[Unit]
    unreadable: str = ""


def _identity(options: BenchmarkOptions, source: _Source, unit: Unit) -> dict[str, Any]:
    """The part of a run's identity that does not depend on method and seed."""
    protocol = asdict(unit)
    protocol["name"] = protocol.pop("protocol")
    # The class protocols test on all classes, the others on their own categories alone.
    used = source.fingerprints
    if unit.protocol not in CLASS_PROTOCOLS:
        used = {category: used[category] for category in unit.categories}
    return {
        "data": {"name": source.name, "layout": source.layout, "fingerprints": used},
        "protocol": protocol,
        "preset": options.preset,
        "speed": options.speed,
        "hold_out": options.hold_out,
        "group": options.group,
        "false_alarm_rate": options.false_alarm_rate,
        "histogram": options.histogram,
        "compatibility": options.compatibility,
        "device": options.device,
        "precision": resolve_precision(options.precision, options.device),
    }


def detector_for(options: BenchmarkOptions, method: str) -> Detector:
    """What the options make of one of their methods; nothing is read or trained."""
    own: dict[str, Any] = {}
    for name, value in sorted(options.settings, key=lambda item: "." in item[0]):
        owner, _, setting = name.rpartition(".")
        if owner in ("", method):
            own[setting] = value
    return Detector(
        method,
        speed=options.speed,
        teacher=options.teacher,
        teacher_weights=options.teacher_weights,
        image_size=options.size,
        preset=options.preset,
        settings=own,
    )


def _weights_identity(weights: str) -> str:
    if weights in ("pretrained", "random"):
        return weights
    try:
        with Path(weights).open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(2**20):
                digest.update(block)
    except OSError as error:
        raise ConfigError(f"Cannot read the teacher weights {weights}: {error}.") from error
    return f"{Path(weights).name} sha256:{digest.hexdigest()[:16]}"


def _read_source(options: BenchmarkOptions, name: str, path: str) -> _Source:
    try:
        data_set = chosen_data(path, options.layout, options.products, _folders(options))
        units = plan_units(
            data_set,
            options.protocol,
            classes=options.classes,
            known=options.known,
            ratios=options.ratios,
        )
    except ConfigError:
        raise
    except BlemishError as error:
        reason = without_paths(str(error), root=Path(path), name=name)
        return _Source(name, options.layout, {}, [Unit(options.protocol, ())], reason)
    return _Source(name, data_set.layout, data_fingerprints(data_set), units)


def _folders(options: BenchmarkOptions) -> dict[str, list[str]]:
    return {role: list(getattr(options, role)) for role in FOLDER_ROLES if getattr(options, role)}


def chosen_data(
    path: str, layout: str, products: Sequence[str], folders: Mapping[str, Sequence[str]]
) -> DataSet:
    """A data set restricted to some of its categories; empty: all.

    Raises:
        ConfigError: A category that is not there.
        DataError: The data set cannot be read.
    """
    data_set = read_data_set(Folders(path, **folders) if folders else path, layout=layout)
    for product in products:
        if product not in data_set.products:
            reasons = [p for p in data_set.problems if p.startswith(f"{product}:")]
            raise ConfigError(
                " ".join([unknown_name_message("product", product, data_set.products), *reasons])
            )
    if not products:
        return data_set
    others = tuple(f"{name}:" for name in data_set.products if name not in products)
    problems = tuple(p for p in data_set.problems if not p.startswith(others or "\0"))
    return replace(data_set.of_products(products), problems=problems)


def _check_labelled(method: str, unit: Unit) -> None:
    """Labelled anomalies are never dropped in silence."""
    if unit.ratio > 0 and not method_class(method).uses_labelled_anomalies:
        raise ConfigError(
            f"The method {method} learns from good images alone and cannot use the labelled "
            f"anomalies of the protocol unbalanced (ratio {unit.ratio:g}). Choose a method that "
            "uses them, or --ratios 0 for its figure without any."
        )


def code_changed(run: RunSpec) -> bool:
    """Whether the sources behind a run are no longer those it was planned with."""
    return bool(run.identity["code"]["sources"] != code_fingerprint(run.method_module))
