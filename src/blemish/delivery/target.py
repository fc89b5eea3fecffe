"""Target: where verdicts go and which of them, from one line of text.

``ADDRESS#OPTIONS``; the part behind ``#`` is ours and never leaves this machine.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from blemish._names import unknown_name_message
from blemish.calibration.parts import PartVerdict
from blemish.delivery.message import Message
from blemish.errors import ConfigError
from blemish.results import Prediction

_VERDICTS = ("ok", "unsure", "defect")
_SCHEMES = ("http", "https", "mqtt", "mqtts", "folder", "csv")
_OPTIONS = ("verdict", "product", "of", "every", "overlay")
_OF = ("picture", "part")


@dataclass(frozen=True)
class Target:
    """Where verdicts go, and which of them.

    Attributes:
        address: Of a webhook (``https://…``), a broker and topic (``mqtt://host/plant/line3``), a
            folder (``folder:PATH``) or a file (``csv:PATH``).
        verdicts: Those that are sent.
        products: Those that are sent; empty: all.
        of: ``picture`` or ``part``: those alone; empty: verdicts of both.
        every: Least seconds between two messages; what comes between is left out, and counted.
        overlay: Send the picture with heat map and boxes along.
    """

    address: str
    verdicts: frozenset[str] = frozenset(_VERDICTS)
    products: frozenset[str] = frozenset()
    of: str = ""
    every: float = 0.0
    overlay: bool = False

    @classmethod
    def parse(cls, text: str) -> Target:
        """A target from one line.

        Raises:
            ConfigError: Another kind of address, or an option or value that there is not.

        Example:
            >>> from blemish.delivery.target import Target
            >>> sorted(Target.parse("mqtt://broker/line3#verdict=defect,unsure&every=5").verdicts)
            ['defect', 'unsure']
        """
        address, _, options = text.partition("#")
        parts = urlsplit(address)
        here = parts.scheme in ("folder", "csv")
        if parts.scheme not in _SCHEMES or not (parts.netloc or here):
            raise ConfigError(
                f"{without_secrets(address)!r} is no target. Expected http(s)://… for a webhook, "
                "mqtt(s)://HOST/TOPIC for a broker, folder:PATH or csv:FILE."
            )
        if parts.scheme.startswith("mqtt") and not parts.path.strip("/"):
            raise ConfigError(
                f"{without_secrets(address)} names no topic. Expected mqtt://HOST/TOPIC."
            )
        if here and not parts.path:
            raise ConfigError(f"{address} names none. Expected folder:PATH or csv:FILE.")
        given = dict(parse_qsl(options, keep_blank_values=True))
        for name in given:
            if name not in _OPTIONS:
                raise ConfigError(unknown_name_message("option of a target", name, _OPTIONS))
        verdicts = frozenset(filter(None, given.get("verdict", ",".join(_VERDICTS)).split(",")))
        for verdict in verdicts - set(_VERDICTS):
            raise ConfigError(unknown_name_message("verdict", verdict, _VERDICTS))
        if not verdicts:
            raise ConfigError("verdict= of a target names none. Expected ok, unsure or defect.")
        of = given.get("of", "")
        if of and of not in _OF:
            raise ConfigError(unknown_name_message("kind of verdict", of, _OF))
        overlay = given.get("overlay", "0") not in ("0", "no", "false")
        if overlay and parts.scheme == "csv":
            raise ConfigError("A CSV file holds no pictures: leave overlay out of csv:FILE.")
        return cls(
            address,
            verdicts,
            frozenset(filter(None, given.get("product", "").split(","))),
            of,
            _seconds(given.get("every", "0")),
            overlay,
        )

    @property
    def name(self) -> str:
        """The address as it may be shown: without user and password."""
        return without_secrets(self.address)

    @property
    def key(self) -> str:
        """What its spool is called by: the same for the same address without its password."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:16]

    def wants(self, found: Message | Prediction | PartVerdict) -> bool:
        """Whether the verdict and the product are among those that are sent."""
        product = not self.products or found.product in self.products
        return product and (found.verdict or "ok") in self.verdicts


def without_secrets(address: str) -> str:
    """An address without user, password and query, for messages and logs."""
    parts = urlsplit(address)
    netloc = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, netloc, parts.path, "", ""))


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ConfigError(f"every={text} of a target is no time. Expected seconds, such as 10.")
    return value
