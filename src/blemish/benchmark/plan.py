"""From what was asked to the list of runs, each with the identity that makes it repeatable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from blemish import __version__
from blemish._names import unknown_name_message
from blemish.benchmark.fingerprint import code_fingerprint, data_fingerprints
from blemish.benchmark.options import BenchmarkOptions, check_options, named_data
from blemish.benchmark.protocols import CLASS_PROTOCOLS, Unit, plan_units
from blemish.benchmark.public_text import without_paths
from blemish.data.layouts import read_data_set
from blemish.data.sample import DataSet
from blemish.errors import BlemishError, ConfigError
from blemish.methods.registry import method_class
from blemish.methods.settings import MethodConfig, parse_settings


@dataclass(frozen=True)
class RunSpec:
    """One run: one model, trained and measured in a process of its own.

    Attributes:
        identity: Everything that decides the figures; no path of the machine is in it.
        run: Digest of the identity.
        changed: The settings that are not the method's defaults.
        method_module: Module of the method, whose source belongs to the identity.
        data_path, teacher_weights: Where data and weights are on this machine.
        unreadable: Why the data set cannot be read, or nothing.
    """

    identity: dict[str, Any]
    changed: dict[str, Any]
    method_module: str
    data_path: str
    teacher_weights: str
    unreadable: str = ""

    @property
    def run(self) -> str:
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

    def to_json(self) -> dict[str, Any]:
        """For the run's own process."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> RunSpec:
        return cls(**content)


def plan_runs(options: BenchmarkOptions) -> list[RunSpec]:
    """The runs in the order in which they are done; those that share features are neighbours.

    A data set that cannot be read gives runs that will fail with the reason; the others go on.

    Raises:
        ConfigError: Anything about the options that no run could work with.

    Example: see :func:`blemish.benchmark.runner.run_benchmark`.
    """
    check_options(options)
    configs = {name: _config(options, name) for name in options.methods}
    weights = _weights_identity(options.teacher_weights)
    runs: list[RunSpec] = []
    for name, path in named_data(options.data):
        source = _read_source(options, name, path)
        for seed in options.seeds:
            for unit in source.units:
                for method, config in configs.items():
                    _check_labelled(method, unit)
                    identity = _identity(options, source, unit)
                    identity |= {"method": method, "config": config.to_json(), "seed": seed}
                    identity["teacher"] = {"name": options.teacher, "weights": weights}
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
        "size": options.size,
        "hold_out": options.hold_out,
        "false_alarm_rate": options.false_alarm_rate,
        "histogram": options.histogram,
        "device": options.device,
        "precision": options.precision,
    }


def _config(options: BenchmarkOptions, method: str) -> MethodConfig:
    own: dict[str, Any] = {}
    for name, value in sorted(options.settings, key=lambda item: "." in item[0]):
        owner, _, setting = name.rpartition(".")
        if owner in ("", method):
            own[setting] = value
    return parse_settings(method_class(method).config_class, own)


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
        data_set = chosen_data(path, options.layout, options.products)
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


def chosen_data(path: str, layout: str, products: Sequence[str]) -> DataSet:
    """A data set restricted to some of its categories; empty: all.

    Raises:
        ConfigError: A category that is not there.
        DataError: The data set cannot be read.
    """
    data_set = read_data_set(path, layout=layout)
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
