"""Senders: webhook, MQTT broker, folder, CSV file; each delivers one message, or says why not.

A webhook's body is signed where ``BLEMISH_WEBHOOK_SECRET`` is set: HMAC-SHA256 of the time stamp, a
dot and the body. User and password of a broker come with the address, or from
``BLEMISH_MQTT_USER`` and ``BLEMISH_MQTT_PASSWORD``.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import hmac
import io
import json
import os
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from blemish import __version__
from blemish._files import atomic_write
from blemish.delivery.target import Target
from blemish.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    import httpx

#: Seconds that one delivery may take.
PATIENCE = 10.0
_NEVER = frozenset(range(300, 500)) - {408, 425, 429}


class NotDeliveredError(Exception):
    """Why a message did not arrive, and whether it may later."""

    def __init__(self, reason: str, *, ever: bool = True) -> None:
        super().__init__(reason)
        self.ever = ever


class Sender(Protocol):
    """Delivers messages, one at a time, from one thread."""

    def send(self, identity: str, content: str) -> None:
        """Deliver a message; returns once it has arrived.

        Raises:
            NotDeliveredError: It has not, or nobody knows.
        """

    def close(self) -> None:
        """Let connections go."""


def sender_of(target: Target) -> Sender:
    """The sender of a target.

    Raises:
        MissingExtraError: Its library is not installed.
        ConfigError: A folder that cannot be made, or a file that cannot be written.
    """
    scheme = urlsplit(target.address).scheme
    if scheme == "folder":
        return FolderSender(_path(target))
    if scheme == "csv":
        return CsvSender(_path(target))
    mqtt = scheme.startswith("mqtt")
    return MqttSender(target.address) if mqtt else WebhookSender(target.address)


def _path(target: Target) -> Path:
    return Path(unquote(target.address.partition(":")[2]))


class WebhookSender:
    """POSTs JSON; any 2xx is arrival, redirects are not followed."""

    def __init__(self, address: str) -> None:
        try:
            import httpx
        except ModuleNotFoundError as error:
            raise MissingExtraError("Sending to a webhook", "delivery") from error
        self.address = address
        self._failure = httpx.HTTPError
        self._client: httpx.Client = httpx.Client(timeout=PATIENCE)
        self._secret = os.environ.get("BLEMISH_WEBHOOK_SECRET", "").encode()

    def send(self, identity: str, content: str) -> None:
        """POST one message."""
        body, stamp = content.encode(), str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"blemish/{__version__}",
            "X-Blemish-Id": identity,
            "X-Blemish-Time": stamp,
        }
        if self._secret:
            signed = hmac.new(self._secret, stamp.encode() + b"." + body, hashlib.sha256)
            headers["X-Blemish-Signature"] = f"sha256={signed.hexdigest()}"
        try:
            answer = self._client.post(self.address, content=body, headers=headers)
        except self._failure as error:
            raise NotDeliveredError(str(error) or type(error).__name__) from error
        if not answer.is_success:
            reason = f"the other side answered {answer.status_code} {answer.reason_phrase}"
            raise NotDeliveredError(reason, ever=answer.status_code not in _NEVER)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


class MqttSender:
    """Publishes with QoS 1; ``TOPIC/status`` holds ``online``, or by the last will ``offline``."""

    def __init__(self, address: str) -> None:
        try:
            from paho.mqtt import client as mqtt
            from paho.mqtt.enums import CallbackAPIVersion
        except ModuleNotFoundError as error:
            raise MissingExtraError("Sending to a broker", "delivery") from error
        parts = urlsplit(address)
        tls = parts.scheme == "mqtts"
        self._host = parts.hostname or "localhost"
        self._port = parts.port or (8883 if tls else 1883)
        self.topic = unquote(parts.path.strip("/"))
        self._status = f"{self.topic}/status"
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        user = unquote(parts.username or "") or os.environ.get("BLEMISH_MQTT_USER")
        if user:
            password = unquote(parts.password or "") or os.environ.get("BLEMISH_MQTT_PASSWORD")
            client.username_pw_set(user, password)
        if tls:
            client.tls_set()
        client.will_set(self._status, "offline", qos=1, retain=True)
        client.reconnect_delay_set(1, 30)
        self._connected, self._said = threading.Event(), ""
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        self._client, self._started = client, False

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._said = f"the broker refused: {reason}"
            return
        client.publish(self._status, "online", qos=1, retain=True)
        self._connected.set()

    def _on_disconnect(
        self, client: Any, data: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        self._connected.clear()
        self._said = f"disconnected: {reason}"

    def send(self, identity: str, content: str) -> None:
        """Publish one message and wait for the broker's word that it has it."""
        try:
            if not self._started:
                self._client.connect(self._host, self._port, keepalive=30)
                self._client.loop_start()
                self._started = True
            if not self._connected.wait(PATIENCE):
                raise NotDeliveredError(self._said or "no connection to the broker")
            sent = self._client.publish(self.topic, content, qos=1)
            sent.wait_for_publish(PATIENCE)
        except (OSError, ValueError, RuntimeError) as error:
            raise NotDeliveredError(str(error)) from error
        if not sent.is_published():
            raise NotDeliveredError(self._said or "the broker did not confirm")

    def close(self) -> None:
        """Say goodbye, which leaves ``offline`` behind."""
        if self._started:
            if self._connected.is_set():
                said = self._client.publish(self._status, "offline", qos=1, retain=True)
                said.wait_for_publish(1)
            self._client.disconnect()
            self._client.loop_stop()


class FolderSender:
    """Writes a JSON file per message, whole or not at all, and the overlay beside it as JPEG."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"Cannot write verdicts into {folder}: {error}.") from error

    def send(self, identity: str, content: str) -> None:
        """Write one message."""
        message = json.loads(content)
        overlay = message.pop("overlay", None)
        day = self.folder / message["time"][:10]
        name = re.sub(r"[^0-9A-Za-z]", "", message["time"][11:26]) + "-" + identity[:12]
        try:
            day.mkdir(parents=True, exist_ok=True)
            if overlay is not None:
                with atomic_write(day / f"{name}.jpg") as file:
                    file.write(base64.b64decode(overlay))
            with atomic_write(day / f"{name}.json") as file:
                file.write((json.dumps(message, ensure_ascii=False, indent=1) + "\n").encode())
        except (OSError, ConfigError) as error:
            raise NotDeliveredError(str(error)) from error

    def close(self) -> None:
        """Nothing is held."""


class CsvSender:
    """Appends a line per message: its plain fields, and how many regions are marked.

    A line that was cut off by a power cut is ended, so that the next is a line of its own.
    """

    COLUMNS = (
        *("time", "id", "model", "path", "part", "taken", "product", "verdict", "score", "p_value"),
        *("times_limit", "regions", "alarm", "left_out", "views"),
    )

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a"):
                pass
        except OSError as error:
            raise ConfigError(f"Cannot write verdicts into {path}: {error}.") from error

    def send(self, identity: str, content: str) -> None:
        """Write one line; it is on the disk when this returns."""
        message = json.loads(content)
        message["regions"] = len(message["regions"])
        line = io.StringIO()
        rows = csv.writer(line, lineterminator="\n")
        try:
            with self.path.open("a+b") as file:
                if file.tell() == 0:
                    rows.writerow(self.COLUMNS)
                else:
                    file.seek(-1, os.SEEK_END)
                    line.write("" if file.read(1) == b"\n" else "\n")
                rows.writerow([message.get(name) for name in self.COLUMNS])
                file.write(line.getvalue().encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise NotDeliveredError(str(error)) from error

    def close(self) -> None:
        """Nothing is held."""
