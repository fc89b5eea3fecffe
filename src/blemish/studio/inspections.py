"""Opened models: each with its history, its routes and a process for its network.

A model's history lies where ``blemish serve`` keeps it, ``MODEL.state``: both show the same. A few
are open at once; the one that was not asked for longest is closed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from blemish.calibration import Calibration
from blemish.errors import BlemishError
from blemish.serving.events import Events
from blemish.serving.history.database import Database
from blemish.serving.history.pictures import PictureHistory
from blemish.serving.history.trend_log import Alarm, TrendLog
from blemish.serving.history.versions import CalibrationVersion, CalibrationVersions
from blemish.serving.http.app import inspection_app
from blemish.serving.http.middleware import ServerMetrics
from blemish.serving.limits import RefusalError, ServeLimits
from blemish.serving.model import open_served
from blemish.serving.service import InspectionService
from blemish.studio.audit import Audit
from blemish.studio.own_process import Opener, OwnProcess

_OPEN = 2  # models at once; each has all its weights in memory


@dataclass(frozen=True)
class Inspection:
    """An opened model."""

    network: OwnProcess
    database: Database
    service: InspectionService
    app: FastAPI

    async def close(self) -> None:
        """Finish what was accepted and let the process and the history go."""
        self.service.events.close()
        await self.service.close()
        self.network.close()
        self.database.close()


class Inspections:
    """The opened models of a project, by name."""

    def __init__(
        self, project: Path, limits: ServeLimits, audit: Audit, opener: Opener = open_served
    ) -> None:
        self._models, self._limits, self._audit = project / "models", limits, audit
        self._opener = opener
        self._open: OrderedDict[str, Inspection] = OrderedDict()
        self._lock = asyncio.Lock()

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
                while len(self._open) >= _OPEN:
                    _, oldest = self._open.popitem(last=False)
                    await oldest.close()
                self._open[name] = await asyncio.to_thread(self._opened, path)
            self._open.move_to_end(name)
            return self._open[name]

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

        def ring(alarm: Alarm) -> None:
            events.publish("alarm", product=alarm.product, sentence=alarm.sentence)
            self._audit.note("drift alarm", name, "", alarm.sentence)

        service = InspectionService(
            network.model,
            PictureHistory(database, self._limits, events.publish),
            versions,
            limits=self._limits,
            metrics=ServerMetrics(),
            events=events,
            trend=TrendLog(database, versions, ring),
        )
        service.warm_up()
        return Inspection(network, database, service, inspection_app(service))


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
