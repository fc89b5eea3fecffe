"""Job orders: what people ask for on the page, checked, and the command of blemish that does it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from blemish.serving.limits import RefusalError
from blemish.studio.pictures import ProjectPicture

Recipe = Literal["instant", "standard", "logical", "few"]
_METHODS: dict[Recipe, str] = {
    "instant": "patchcore",
    "standard": "trio",
    "logical": "logicrd",
    "few": "trio",
}
#: Good pictures of a product below which learning makes no sense, and labelled defects for ``few``.
FEWEST_GOOD, FEWEST_DEFECTS = 5, 3
_NAME = re.compile(r"[^\W_][\w.+-]{0,59}")


class TrainOrder(BaseModel):
    """A training as the page asks for it."""

    recipe: Recipe
    name: str = Field(max_length=60, description="of the model, without its suffix")
    products: list[str] = Field([], max_length=500, description="none: all")
    speed: Literal["fast", "balanced", "best"] | None = None
    size: int | None = Field(None, ge=32, le=2048, description="input side in pixels")
    false_alarm_rate: float = Field(0.01, gt=0, le=0.5)
    seed: int = 0
    steps: int | None = Field(None, ge=1, le=1_000_000, description="of methods that are trained")
    teacher_weights: Literal["pretrained", "random"] = "pretrained"


class TeachOrder(BaseModel):
    """Good pictures for a finished model."""

    paths: list[str] = Field(min_length=1, max_length=5000)
    write: bool = Field(False, description="write a new model; else only show the limits")


class Command(BaseModel):
    """A job that can be queued."""

    kind: str
    title: str
    words: list[str]
    facts: dict[str, object]


def model_file(name: str) -> str:
    """Where a model of this name lies; refused (422) where it cannot be a file's name."""
    name = name.strip().removesuffix(".blemish")
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise RefusalError(
            422,
            "bad_name",
            f"{name[:60]!r} is no name for a model: begin with a letter or number, and use "
            "letters, numbers, dots, plus, minus and underscores, at most 60.",
        )
    return f"models/{name}.blemish"


def training(
    order: TrainOrder,
    pictures: Sequence[ProjectPicture],
    project: Path,
    left_out: Sequence[str],
) -> Command:
    """``blemish fit`` of a project's pictures; refused (409, 422) where they are not enough."""
    made = model_file(order.name)
    if (project / made).exists():
        raise RefusalError(
            409, "name_taken", f"There is a model {order.name} already. Choose another name."
        )
    gone = set(left_out)
    good = [p for p in pictures if p.role == "good" and p.called not in gone]
    products = order.products or sorted({p.product for p in good})
    counts = {name: sum(p.product == name for p in good) for name in products}
    few = [f"{name} has {count}" for name, count in counts.items() if count < FEWEST_GOOD]
    if few or not counts:
        raise RefusalError(
            409,
            "too_few",
            f"At least {FEWEST_GOOD} good pictures of each product are needed; "
            f"{', '.join(few) or 'none is marked as good'}. Mark some, or leave the product out.",
        )
    words = ["fit"]
    for name in products:
        words += ["--good", f"{name}=pictures/{name}/good"]
    words += ["--out", made, "--method", _METHODS[order.recipe]]
    if order.recipe == "few":
        words += _labelled(pictures, products)
    for name in products:
        region = f"regions/{name}.json"
        if (project / region).is_file():
            words += ["--roi", f"{name}={region}"]
    for picture in pictures:
        if picture.called in gone and picture.role == "good" and picture.product in products:
            words += ["--leave-out", picture.called]
    if order.speed and order.recipe in ("standard", "few"):
        words += ["--speed", order.speed]
    if order.size:
        words += ["--size", str(order.size)]
    if order.steps and order.recipe != "instant":
        words += ["--set", f"steps={order.steps}"]
    if order.teacher_weights != "pretrained":
        words += ["--teacher-weights", order.teacher_weights]
    words += ["--false-alarm-rate", f"{order.false_alarm_rate:g}", "--seed", str(order.seed)]
    facts = {
        "makes": made,
        "recipe": order.recipe,
        "products": products,
        "pictures": sum(counts.values()),
        "learned": [p.called for p in good if p.product in products],
    }
    return Command(kind="train", title=f"Train {order.name}", words=words, facts=facts)


def _labelled(pictures: Sequence[ProjectPicture], products: Sequence[str]) -> list[str]:
    words = []
    for name in products:
        count = sum(p.product == name and p.role == "defect" for p in pictures)
        if count < FEWEST_DEFECTS:
            raise RefusalError(
                409,
                "too_few_defects",
                f"To learn from defects at least {FEWEST_DEFECTS} of each product are needed; "
                f"{name} has {count}. Mark more, or choose another way to learn.",
            )
        words += ["--labelled", f"pictures/{name}/defect"]
    return words


def judging(model: str) -> Command:
    """``blemish predict`` of all pictures of the project, for comparing."""
    name = Path(model).stem
    words = ["predict", model, "pictures", "--csv", f"judged/{name}.csv", "--rows", "0"]
    return Command(kind="judge", title=f"Judge with {name}", words=words, facts={"model": model})
