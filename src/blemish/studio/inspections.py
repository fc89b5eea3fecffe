"""Opened models: each with its history, its routes and a process for its network.

A model's history lies where ``blemish serve`` keeps it, ``MODEL.state``: both show the same. A few
are open at once; the one that was not asked for longest is closed. Those on the line stay open.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from blemish.calibration import Calibration
from blemish.delivery.courier import Couriers
from blemish.errors import BlemishError
from blemish.serving.events import Events
from blemish.serving.history.database import Database
from blemish.serving.history.pictures import PictureHistory
from blemish.serving.history.trend_log import Alarm, TrendLog
from blemish.serving.history.versions import CalibrationVersion, CalibrationVersions
from blemish.serving.http.app import inspection_app
from blemish.serving.http.middleware import ServerMetrics
from blemish.serving.limits import RefusalError, ServeLimits
from blemish.serving.live import LiveInspection
from blemish.serving.model import open_served
from blemish.serving.service import InspectionService
from blemish.studio.audit import Audit
from blemish.studio.line import LineOrder, Lines
from blemish.studio.own_process import Opener, OwnProcess

log = logging.getLogger("blemish.serve")

_OPEN = 2  # models at once that are not on the line; each has all its weights in memory


@dataclass(frozen=True)
class Inspection:
    """An opened model."""

    network: OwnProcess
    database: Database
    service: InspectionService
    app: FastAPI
    live: LiveInspection | None = None
    couriers: Couriers | None = None

    @property
    def on_the_line(self) -> bool:
        """Whether it looks at a camera, or tells somebody."""
        return self.live is not None or self.couriers is not None

    async def close(self) -> None:
        """Finish what was accepted and let the process and the history go."""
        if self.live is not None:
            await self.live.close()
        self.service.events.close()
        await self.service.close()
        if self.couriers is not None:
            await asyncio.to_thread(self.couriers.__exit__)
        self.network.close()
        self.database.close()


class Inspections:
    """The opened models of a project, by name."""

    def __init__(
        self, project: Path, limits: ServeLimits, audit: Audit, opener: Opener = open_served
    ) -> None:
        self._models, self._limits, self._audit = project / "models", limits, audit
        self._opener = opener
        self.lines = Lines(project)
        self.problems: dict[str, str] = {}  # why a model is not on the line although it should be
        self._open: OrderedDict[str, Inspection] = OrderedDict()
        self._lock, self._setting = asyncio.Lock(), asyncio.Lock()

    def file(self, name: str) -> Path:
        """The file of a model; refused (404) where there is none."""
        path = self._models / f"{name}.blemish"
        if not name or "/" in name or "\\" in name or name.startswith(".") or not path.is_file():
            raise RefusalError(404, "no_such_model", f"There is no model {name[:60]!r} here.")
        return path

    async def get(self, name: str) -> Inspection:
        """The model of a name, opened where it is not yet."""
        path = self.file(name)
        async with self._lock:
            if name not in self._open:
                others = [key for key, one in self._open.items() if not one.on_the_line]
                for oldest in others[: max(0, len(others) + 1 - _OPEN)]:
                    await self._open.pop(oldest).close()
                opened = self._open[name] = await asyncio.to_thread(self._opened, path)
                if opened.live is not None:
                    opened.live.start()
            self._open.move_to_end(name)
            return self._open[name]

    def on_the_line(self, name: str) -> Inspection | None:
        """The model of a name, where it is open and on the line."""
        found = self._open.get(name)
        return found if found is not None and found.on_the_line else None

    def metrics(self) -> dict[str, ServerMetrics]:
        """What the open models count, by name."""
        return {name: found.service.metrics for name, found in list(self._open.items())}

    def camera_of(self, name: str) -> str | None:
        """What the camera of a model is called, where it looks at one."""
        found = self._open.get(name)
        return None if found is None or found.live is None else found.live.grabber.camera.name

    async def start_lines(self) -> None:
        """Open what was on the line when the studio ended."""
        for name in self.lines.names():
            try:
                await self.get(name)
            except (BlemishError, RefusalError) as error:
                self.problems[name] = str(error)
                log.warning("%s is not on the line: %s", name, error)

    async def put_on_line(self, name: str, order: LineOrder | None) -> None:
        """Have a model look and tell as ordered from now on, or no more.

        Refused (422) where that cannot be opened: it then goes on as before.
        """
        if order is None and name in self.lines.names():  # also where its model has gone
            was = self._ordered(name)
            before = "" if was is None else was.shown
            self.lines.put(name, None)
            self.problems.pop(name, None)
            await self.close(name)
            self._audit.note("line changed", name, before, "taken off the line")
            return
        self.file(name)
        if order is None:
            return
        self.lines.line(order)
        async with self._setting:
            was = self._ordered(name)
            self.lines.put(name, order)
            problem = await self._open_again(name)
            if problem:
                self.lines.put(name, was)
                await self._open_again(name)
                raise RefusalError(422, "no_line", problem)
        self._audit.note("line changed", name, "" if was is None else was.shown, order.shown)

    def _ordered(self, name: str) -> LineOrder | None:
        try:
            return self.lines.get(name)
        except BlemishError:  # what cannot be read is set anew
            return None

    async def _open_again(self, name: str) -> str:
        """Open a model anew; why it is not on the line as ordered, where it is not."""
        self.problems.pop(name, None)
        await self.close(name)
        try:
            await self.get(name)
        except (BlemishError, RefusalError) as error:
            if name in self.lines.names():
                self.problems[name] = str(error)
            return str(error)
        return self.problems.get(name, "")

    async def close(self, name: str | None = None) -> None:
        """Close one model, or all."""
        async with self._lock:
            for each in [name] if name else list(self._open):
                inspection = self._open.pop(each, None)
                if inspection is not None:
                    await inspection.close()

    def end_streams(self) -> None:
        """Let the pages go that listen to a model: a server that stops waits for them."""
        for inspection in list(self._open.values()):
            inspection.service.events.close()

    def _opened(self, path: Path) -> Inspection:
        network = OwnProcess(path, self._opener)
        try:
            database = Database.open(path.with_name(f"{path.name}.state"), network.model.identity)
        except BlemishError:
            network.close()
            raise
        limits, name, events = network.model.calibration, path.stem, Events()
        versions = _AuditedVersions(database, limits, events, audit=self._audit, model=name)
        line = couriers = live = None
        try:
            order = self.lines.get(name)
            line = None if order is None else self.lines.line(order)
            couriers = None if line is None else line.couriers(path, log.warning)
        except (BlemishError, RefusalError) as error:  # the model can be inspected all the same
            self.problems[name] = str(error)

        def ring(alarm: Alarm) -> None:
            events.publish("alarm", product=alarm.product, sentence=alarm.sentence)
            self._audit.note("drift alarm", name, "", alarm.sentence)
            if couriers is not None:
                couriers.tell(alarm.product, alarm.sentence)

        service = InspectionService(
            network.model,
            PictureHistory(database, self._limits, events.publish),
            versions,
            limits=self._limits,
            metrics=ServerMetrics(),
            delivery=couriers,
            events=events,
            trend=TrendLog(database, versions, ring),
        )
        if line is not None and line.camera is not None and name not in self.problems:
            try:
                live = line.camera.open(service)
            except BlemishError as error:
                self.problems[name] = str(error)
        service.warm_up()
        app = inspection_app(service, live=live)
        return Inspection(network, database, service, app, live, couriers)


class _AuditedVersions(CalibrationVersions):
    """Versions whose every change is written into the project's log."""

    def __init__(
        self,
        database: Database,
        from_model: Calibration | None,
        events: Events,
        *,
        audit: Audit,
        model: str,
    ) -> None:
        super().__init__(database, from_model, events.publish)
        self._audit, self._model = audit, model

    def put(self, calibration: Calibration, **said: Any) -> CalibrationVersion:
        after = super().put(calibration, **said)
        self._note(self.get(after.parent or after.version), after)
        return after

    def activate(self, version: int, *, expected: int | None = None) -> CalibrationVersion:
        before = self.active
        after = super().activate(version, expected=expected)
        self._note(before, after)
        return after

    def undo(self, *, expected: int | None = None) -> CalibrationVersion:
        before = self.active
        after = super().undo(expected=expected)
        self._note(before, after)
        return after

    def written(self, version: CalibrationVersion) -> None:
        super().written(version)
        after = f"calibration {version.version}: {version.note}"
        self._audit.note("limits written into the model", self._model, "", after)

    def _note(self, before: CalibrationVersion, after: CalibrationVersion) -> None:
        self._audit.note("limits changed", self._model, described(before), described(after))


def described(version: CalibrationVersion) -> str:
    """Limits in a line, for the log."""
    calibration = version.calibration
    if calibration is None:
        return f"calibration {version.version}: no limits"
    products: list[str | None] = [*calibration.products] or [None]
    limits = [(product, calibration.limits(product).defect) for product in products[:5]]
    said = ", ".join(f"{product or 'all'} {value:.4g}" for product, value in limits)
    more = ", …" if len(products) > len(limits) else ""
    rate = f"{100 * calibration.false_alarm_rate:.3g} %"
    return f"calibration {version.version} ({version.note}): defect above {said}{more}, {rate}"
