"""Line: what a model of a project looks at and whom it tells, as people set it on the page.

A file for each model in ``lines/``. A page is no terminal: programs as cameras are refused,
pictures come from inside the project, files go into its ``verdicts/``, and of FFmpeg's options only
those of a picture are taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from pydantic import BaseModel, Field, ValidationError

from blemish._files import atomic_write
from blemish.cameras.trigger import parse_trigger
from blemish.data.grouping import name_pattern
from blemish.delivery.courier import Couriers
from blemish.delivery.target import Target, without_secrets
from blemish.errors import ConfigError
from blemish.serving.limits import RefusalError
from blemish.serving.live import KeepRule, LiveInspection, LiveSource

#: Seconds for what waits to be delivered when a line is stopped; the rest stays in the spool.
_PATIENCE = 3.0
#: FFmpeg's options that say what a picture is like or how a stream comes; others open files.
_OPTIONS = frozenset(
    {"video_size", "framerate", "pixel_format", "input_format", "rtsp_transport"}
    | {"analyzeduration", "probesize", "buffer_size", "fflags", "timeout"}
)
_STREAMS = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp", "rtp", "srt")


class LineOrder(BaseModel):
    """A model on the line: at least a camera or somebody to tell."""

    source: str = Field("", max_length=500, description="as --source of serve; empty: no camera")
    trigger: str = Field("all", max_length=40, description="as --trigger")
    keep: str = Field("not-ok", max_length=40, description="as --keep-live")
    product: str | None = Field(None, max_length=200, description="null: as recognised")
    part_id: str = Field("", max_length=200, description="as --part-id; empty: no name says it")
    views: int = Field(1, ge=1, le=1000, description="as --views")
    send: list[str] = Field([], max_length=8, description="as --send, one each")

    @property
    def shown(self) -> str:
        """In a line, without passwords."""
        looks = f"looks at {without_secrets(self.source)} ({self.trigger})" if self.source else ""
        tells = ", ".join(without_secrets(text.partition("#")[0]) for text in self.send)
        return "; ".join(filter(None, (looks, tells and f"tells {tells}")))


@dataclass(frozen=True)
class Line:
    """What a project's folder allows of an order, ready to be opened."""

    camera: LiveSource | None
    targets: tuple[str, ...]

    def couriers(self, model: Path, on_note: Callable[[str], None]) -> Couriers | None:
        """Who brings the verdicts of a model file; ``None`` where nobody is told.

        Raises:
            ConfigError: A spool is in use, a folder cannot be written.
            MissingExtraError: A target's library is not installed.
        """
        if not self.targets:
            return None
        folder = model.with_name(f"{model.name}.spool")
        return Couriers(
            self.targets, model=model.name, folder=folder, on_note=on_note, patience=_PATIENCE
        )


class Lines:
    """The orders of a project."""

    def __init__(self, project: Path) -> None:
        self._project, self._folder = project.resolve(), project / "lines"

    def names(self) -> list[str]:
        """The models on the line."""
        return sorted(path.stem for path in self._folder.glob("*.json"))

    def get(self, name: str) -> LineOrder | None:
        """What was ordered of a model.

        Raises:
            ConfigError: Its file says nothing that can be understood.
        """
        path = self._file(name)
        try:
            return LineOrder.model_validate_json(path.read_bytes()) if path.is_file() else None
        except (OSError, ValidationError) as error:
            raise ConfigError(f"{path} cannot be read. Set it on the page anew.") from error

    def put(self, name: str, order: LineOrder | None) -> None:
        """Write an order down; ``None``: the model is on the line no more."""
        path = self._file(name)
        if order is None:
            path.unlink(missing_ok=True)
            return
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with atomic_write(path) as file:
            Path(file.name).chmod(0o600)  # a camera's or broker's password may stand in it
            file.write(order.model_dump_json(indent=1).encode())

    def line(self, order: LineOrder) -> Line:
        """What is to be opened; refused (422) where it cannot be understood or reaches outside.

        A folder that pictures shall come from is made where there is none.
        """
        try:
            source = self._source(order.source.strip())
            texts = (text.strip() for text in order.send)
            targets = tuple(self._target(text) for text in texts if text)
            if not source and not targets:
                raise ConfigError("Found neither a camera nor anybody to tell. Name one of them.")
            parse_trigger(order.trigger)
            KeepRule.parse(order.keep)
            name_pattern(order.part_id, "--part-id")
        except (ConfigError, ValueError) as error:
            raise RefusalError(422, "no_line", str(error)) from error
        how = (order.trigger, order.keep, order.product, order.part_id or None, order.views)
        return Line(LiveSource(source, *how) if source else None, targets)

    def _source(self, text: str) -> str:
        plain, _, options = text.partition("#")
        kind, colon, rest = plain.partition(":")
        if not text or (kind == "camera" and rest) or (kind in _STREAMS and rest.startswith("//")):
            strange = sorted({name for name, _ in parse_qsl(options)} - _OPTIONS)
            if strange:
                raise ConfigError(
                    f"Found the option {strange[0][:40]} of a camera; expected "
                    f"{', '.join(sorted(_OPTIONS))}."
                )
            return text
        if kind == "python" and colon:
            raise ConfigError(
                "A program is no camera for a page: start blemish serve --source python:… for it."
            )
        if colon:
            raise ConfigError(
                f"Found {without_secrets(plain)[:80]!r}; expected camera:0, a stream such as "
                "rtsp://HOST/PATH or udp://HOST:PORT, or a folder or video inside the project."
            )
        path = self._inside(plain, self._project)
        if path.suffix and not path.exists():
            raise ConfigError(f"Found no {plain[:80]} inside the project. Copy it there first.")
        if not path.exists():
            path.mkdir(parents=True)
        return str(path)

    def _target(self, text: str) -> str:
        Target.parse(text)
        address, sharp, options = text.partition("#")
        scheme = urlsplit(address).scheme
        if scheme not in ("folder", "csv"):
            return text
        path = self._inside(unquote(address.partition(":")[2]), self._project / "verdicts")
        return f"{scheme}:{quote(str(path))}{sharp}{options}"

    def _inside(self, text: str, folder: Path) -> Path:
        path = (folder / text).resolve()
        if not path.is_relative_to(folder) or path == self._project:
            raise ConfigError(
                f"Found {text[:80]!r}, which is not inside the project; expected a path below its "
                f"{'folder' if folder == self._project else folder.name + '/'}. Others are for "
                "blemish serve --source and --send."
            )
        return path

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def line_state(live: LiveInspection | None) -> dict[str, object]:
    """How a camera goes, without its last pictures."""
    if live is None:
        return {}
    return {name: value for name, value in live.state().items() if name != "last"}
