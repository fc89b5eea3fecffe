"""Labelled defects: which methods can use them."""

from __future__ import annotations

from blemish.errors import ConfigError
from blemish.methods.base import Method
from blemish.methods.registry import method_class, usable_methods


def check_labels_are_used(
    name: str, method: type[Method] | None = None, *, tiled: bool = False
) -> None:
    """Labelled defects are never dropped in silence: refused where a method cannot use them.

    ``method`` is the class where it is at hand; it may be one that no name leads to.

    Raises:
        ConfigError: The method learns from good images alone, or pictures are cut into tiles.
    """
    if not (method or method_class(name)).uses_labelled_anomalies:
        able = [other for other, known in usable_methods() if known.uses_labelled_anomalies]
        raise ConfigError(
            f"{name} learns from good images only and cannot use labelled defects. Leave them out, "
            f"or use a method that learns from them: {', '.join(able)}."
        )
    if tiled:
        raise ConfigError(
            "Labelled defects cannot train on tiles: which tile of a picture shows its defect is "
            "not known. Leave out the defects, or the tiles."
        )
