"""``blemish methods``: which systems there are, and what each can be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blemish._progress import print_notes
from blemish.cli.common import need_training_packages

if TYPE_CHECKING:
    from blemish.methods.base import Method


def methods(
    name: Annotated[
        str | None, typer.Argument(help="A method, to see its settings and presets.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """List the methods, or the settings of one: types, ranges, defaults and presets."""
    need_training_packages("What methods there are")
    from blemish.errors import ConfigError
    from blemish.methods.registry import method_class, names

    if name is not None:
        _show(name, method_class(name), json=json)
        return
    rows: dict[str, dict[str, Any]] = {}
    for known in names():
        try:
            rows[known] = _facts(method_class(known))
        except ConfigError as error:
            rows[known] = {"error": str(error)}
    if json:
        _print_json(rows)
        return
    table = _table("method", "what it is", "paper", "learns from defects", "teacher")
    for known, facts in rows.items():
        if "error" not in facts:
            learns, teacher = facts["learns_from_labelled_defects"], facts["needs_teacher"]
            words = ("labelled ones too" if learns else "no", "yes" if teacher else "none")
            table.add_row(known, facts["summary"], facts["paper"], *words)
    _print(table)
    print_notes(facts["error"] for facts in rows.values() if "error" in facts)


def _facts(method: type[Method]) -> dict[str, Any]:
    """What the first two paragraphs of a method's module say, and what it needs."""
    import inspect
    import sys

    said = (inspect.getdoc(sys.modules[method.__module__]) or "").split("\n\n")
    paragraphs = [" ".join(part.split()) for part in said]
    summary = paragraphs[0] or (inspect.getdoc(method) or "").partition("\n")[0]
    return {
        "summary": summary,
        "paper": paragraphs[1] if len(paragraphs) > 1 else "",
        "learns_from_labelled_defects": method.uses_labelled_anomalies,
        "needs_teacher": method.uses_teacher,
        "class": f"{method.__module__}:{method.__qualname__}",
    }


def _show(name: str, method: type[Method], *, json: bool) -> None:
    from dataclasses import asdict

    from blemish.cli.speed_table import print_speeds
    from blemish.methods.settings import describe_settings, parse_settings
    from blemish.methods.speeds import MEASURED_ON

    facts, config_class = _facts(method), method.config_class
    settings = describe_settings(config_class)
    speeds = {name: asdict(speed) for name, speed in config_class.speeds.items()}
    brought = {
        preset: {"teacher": point.teacher, "input_size": [point.side, point.side]}
        for preset, point in config_class.preset_inputs.items()
    }
    presets: Mapping[str, dict[str, Any]] = {
        preset: parse_settings(config_class, {}, preset=preset).to_json()
        for preset in config_class.presets
    }
    if json:
        described = [setting._asdict() for setting in settings]
        dial = {
            "speeds": speeds,
            "speeds_measured": MEASURED_ON,
            "default_speed": config_class.default_speed,
        }
        content = {"method": name, **facts, "settings": described, "presets": presets}
        _print_json({**content, "preset_inputs": brought, **dial})
        return
    print(facts["summary"], facts["paper"], "", sep="\n")
    table = _table("setting", "takes", *presets, "what it is")
    for setting in settings:
        values = [_text(chosen[setting.name]) for chosen in presets.values()]
        shown = [values[0], *("" if value == values[0] else value for value in values[1:])]
        table.add_row(setting.name, setting.takes, *shown, setting.help)
    _print(table)
    print()
    for preset, point in config_class.preset_inputs.items():
        print(
            f"--preset {preset} brings along --teacher {point.teacher} --size {point.side}, which "
            "can be named otherwise.\n"
        )
    print_speeds(config_class)
    print()
    words, set_one = f"blemish fit --method {name}", f"--set {settings[0].name}=…"
    if len(presets) == 1:
        print(f"`{words} {set_one}` changes a setting.")
        return
    first, *_, last = presets
    print(
        f"`{words} --preset {last} {set_one}` starts from a preset and changes a setting. An empty "
        f"cell is as in {first}."
    )


def _text(value: object) -> str:
    """A value as ``--set`` takes it."""
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _print_json(content: object) -> None:
    import json

    print(json.dumps(content, indent=1, ensure_ascii=False))


def _table(*headings: str) -> Any:
    from rich.table import Table

    table = Table(header_style="bold", box=None, pad_edge=False)
    for number, heading in enumerate(headings):
        # A name or a value is never cut; sentences are.
        table.add_column(heading, no_wrap=number == 0, overflow="fold")
    return table


def _print(table: Any) -> None:
    from rich.console import Console

    Console().print(table)
