"""Speeds: the one dial of a user, a teacher and an input size by the name of a point between both.

A method's config names its points (``speeds``) as it names its presets; :data:`SPEEDS` are those of
a config that names none. What was measured with a point stands with it, and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

from blemish._names import unknown_name_message
from blemish.data.images.preprocess import MULTIPLE, choose_input_size
from blemish.errors import ConfigError

if TYPE_CHECKING:
    from blemish.methods.base import Method
    from blemish.methods.settings import MethodConfig

#: Where :attr:`Speed.image_auroc` and :attr:`Speed.found_at_5` were measured, to say beside them.
MEASURED_ON = "on eleven development products"
#: Side of a close look in that of the look at the whole, and of pictures that are worth it.
_CLOSE, _LARGE = 5 / 3, 1.5


@dataclass(frozen=True)
class Speed:
    """A point of the dial.

    Attributes:
        teacher: Name of the teacher.
        side: The input has at most about this number squared of pixels.
        image_auroc: Mean image AUROC that the method had with it, where it was measured.
        found_at_5: Share of the defects that it found where 5 % of good pictures are stopped.
        square: The input is that square whatever the pictures' shape, as papers have it.

    Example:
        >>> from blemish.methods.settings import MethodConfig
        >>> from blemish.methods.speeds import SPEEDS
        >>> config, best = MethodConfig(), SPEEDS["best"]
        >>> best.input_size(config, [(900, 900)]), best.input_size(config, [(64, 64)])
        ((384, 384), (128, 128))
    """

    teacher: str
    side: int
    image_auroc: float | None = None
    found_at_5: float | None = None
    square: bool = False

    def measured(self, *, image_auroc: float, found_at_5: float) -> Speed:
        """The same point with what a method had with it, :data:`MEASURED_ON`."""
        return replace(self, image_auroc=image_auroc, found_at_5=found_at_5)

    @property
    def close(self) -> int:
        """The same as ``side`` of a close look, beside one at the whole of ``side``² pixels."""
        return round(_CLOSE * self.side / MULTIPLE) * MULTIPLE

    def are_large(self, sizes: Sequence[tuple[int, int]]) -> bool:
        """Whether a close look at pictures of sizes ``(H, W)`` sees more."""
        return median(math.sqrt(tall * wide) for tall, wide in sizes) >= _LARGE * self.side

    def input_size(self, config: MethodConfig, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
        """``(H, W)`` of the input for images of sizes ``(H, W)``: their shape, at most doubled."""
        if self.square:
            return self.side, self.side
        settled = config.settled(sizes)
        most = self.close if settled.looks_twice else self.side
        side = settled.input_side(max(map(max, sizes)), most)
        return choose_input_size(sizes, side=side)


SPEEDS = {
    "fast": Speed("efficientnet_lite0", 256),
    "balanced": Speed("efficientnet_lite0", 384),
    "best": Speed("efficientnet_lite2", 384),
}
#: What the papers' protocol has, where the dial is not turned.
PROTOCOL = Speed("efficientnet_lite0", 256)


@dataclass(frozen=True)
class ChosenSpeed:
    """A point of the dial, or what a preset brings along, and what of it counts.

    Attributes:
        name: Of the point; ``None``: the dial is not used.
        point: Its teacher and size, used where no others are named.
        keeps: What of it counts: ``teacher``, ``input size``, both or nothing.
        note: What the user should know; empty where all of what was asked for counts.
    """

    name: str | None
    point: Speed
    keeps: tuple[str, ...] = ()
    note: str = ""

    def to_json(self) -> dict[str, Any] | None:
        """What the model file says of it; ``None`` where nothing of the dial counts."""
        return {"name": self.name, "keeps": list(self.keeps)} if self.keeps else None


def choose_speed(
    method: type[Method],
    name: str | None,
    preset: str = "light",
    *,
    teacher: object = None,
    image_size: object = None,
) -> ChosenSpeed:
    """The point of a method's dial by name; a teacher or size that is named besides wins over it.

    Without a name it is what the ``preset`` brings along, or the method's ``default_speed``; a
    method that has neither keeps to :data:`PROTOCOL`.

    Raises:
        ConfigError: The dial has no such point; the message has the nearest.
    """
    config = method.config_class
    brought = config.preset_inputs.get(preset)
    chosen = config.default_speed if name is None else str(name)
    if name is None and brought is not None:
        chosen, point = None, brought
    elif chosen is None:
        return ChosenSpeed(None, PROTOCOL)
    elif chosen not in config.speeds:
        raise ConfigError(unknown_name_message("speed", chosen, config.speeds))
    else:
        point = config.speeds[chosen]
    if not method.uses_teacher:
        point = replace(point, teacher="none")
    lost = {}
    if teacher not in (None, point.teacher):
        lost["teacher"] = "another teacher is named"
    elif point.teacher == "none":
        lost["teacher"] = "the method has no teacher"
    if image_size is not None:
        lost["input size"] = "an input size is named"
    size = f"{point.side}×{point.side}" if point.square else f"about {point.side}²"
    left = {"teacher": point.teacher, "input size": size}
    keeps = tuple(part for part in left if part not in lost)
    counts = f"only the {keeps[0]} ({left[keeps[0]]})" if keeps else "nothing"
    why = " and ".join(lost.values())
    if chosen is None:
        note = f"Of what the preset {preset!r} brings along, {counts} is left: {why}."
        return ChosenSpeed(None, point, note=note if lost else "")
    if name is None:
        return ChosenSpeed(chosen, point, keeps) if keeps else ChosenSpeed(None, PROTOCOL)
    notes = []
    if lost:
        notes.append(f"Of the speed {chosen!r} {counts} is left: {why}.")
    if brought is not None:
        notes.append(
            f"The speed {chosen!r} wins over {brought.teacher} at {brought.side}×{brought.side}, "
            f"which the preset {preset!r} brings along."
        )
    return ChosenSpeed(chosen, point, keeps, " ".join(notes))
