"""Studio: a project's folder with all that works on it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from blemish.errors import ConfigError
from blemish.serving.events import Events
from blemish.serving.history.pictures import now
from blemish.serving.limits import RefusalError, ServeLimits
from blemish.serving.model import open_served
from blemish.studio import orders
from blemish.studio.audit import Audit
from blemish.studio.comparison import compared, read_verdicts
from blemish.studio.database import open_project
from blemish.studio.inspections import Inspections
from blemish.studio.intake import Intake
from blemish.studio.jobs import Jobs, StudioJob
from blemish.studio.models import ProjectModels
from blemish.studio.own_process import Opener
from blemish.studio.pictures import ProjectPictures
from blemish.studio.thumbnails import Thumbnails


class Studio:
    """A project, opened: close it in the end.

    Raises:
        ConfigError: The folder cannot be made or written, or another studio has it open.
    """

    def __init__(self, folder: Path, limits: ServeLimits, opener: Opener = open_served) -> None:
        self.folder = folder = folder.resolve()
        try:
            for name in ("pictures", "models", "judged"):
                (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"Cannot keep a project in {folder} ({error}). Name a folder that can be written."
            ) from error
        self.limits, self.events = limits, Events()
        self.database = open_project(folder)
        self.audit = Audit(self.database)
        self.pictures = ProjectPictures(folder)
        self.thumbnails = Thumbnails(folder, limits.pixels)
        self.intake = Intake(self.database, self.pictures, self.thumbnails, limits)
        self.models = ProjectModels(folder)
        self.inspections = Inspections(folder, limits, self.audit, opener)
        self.jobs = Jobs(self.database, folder, self._changed)

    def end_streams(self) -> None:
        """Let all pages go that listen."""
        self.events.close()
        self.inspections.end_streams()

    def close(self) -> None:
        """Let the project go; what works goes on and is found again."""
        self.jobs.close()
        self.database.close()

    def train(self, order: orders.TrainOrder) -> StudioJob:
        """Queue a training."""
        pictures, left_out = self.pictures.all(), self.pictures.left_out()
        command = orders.training(order, pictures, self.folder, left_out)
        made = command.facts["makes"]
        if any(job.facts.get("makes") == made for job in self._unfinished()):
            raise RefusalError(
                409, "name_taken", f"{order.name} is being trained already. Choose another name."
            )
        job = self._add(command)
        self.audit.note("training ordered", order.name, "", job.command)
        return job

    def judge(self, model: str) -> StudioJob:
        """Queue that a model judges all pictures of the project."""
        path = self.inspections.file(model)
        if not self.pictures.all():
            raise RefusalError(409, "no_pictures", "There are no pictures to judge.")
        self._table(model).unlink(missing_ok=True)
        return self._add(orders.judging(f"models/{path.name}"))

    def teach(self, model: str, order: orders.TeachOrder) -> StudioJob:
        """Queue that good pictures are added to a model, as a new model; or only a look at it."""
        self.inspections.file(model)
        products = {path.split("/")[0] for path in order.paths}
        if len(products) > 1:
            raise RefusalError(
                422,
                "several_products",
                f"Found pictures of {', '.join(sorted(products))}; teach one product at a time.",
            )
        files, gone = [self.pictures.file(path) for path in order.paths], self.pictures.left_out()
        for path, file in zip(order.paths, files, strict=True):
            if path.split("/")[1] != "good" or f"{path.split('/')[0]}/{file.name}" in gone:
                raise RefusalError(
                    422,
                    "not_good",
                    f"{path[:200]} is not marked as good, or is left out of learning. Mark it, or "
                    "leave it out of what is taught.",
                )
        product = products.pop()
        folder = self._folder_of(files, product)
        place = folder.relative_to(self.folder).as_posix()
        # Also apart from what is being made: two that are taught at once are two models.
        taken = {job.facts.get("makes") for job in self._unfinished()}
        names = (f"models/{model}-{number}.blemish" for number in range(2, 10_000))
        made = next(n for n in names if n not in taken and not (self.folder / n).exists())
        words = ["learn", f"models/{model}.blemish", place, "--product", product]
        words += ["--out", made] if order.write else ["--dry-run"]
        title = f"Teach {model} {len(files)} pictures" + ("" if order.write else ", only a look")
        facts: dict[str, object] = {"model": f"models/{model}.blemish", "paths": order.paths}
        facts |= {"looks": not order.write}
        if order.write:
            facts |= {"makes": made}
            self.audit.note("teaching ordered", model, "", f"{made}: {len(files)} pictures")
        return self._add(orders.Command(kind="teach", title=title, words=words, facts=facts))

    def compare(self, models: Sequence[str]) -> dict[str, Any]:
        """Two models, from the tables of what they judged; those that are missing are named."""
        tables = {name: self._table(name) for name in models if self.inspections.file(name)}
        pictures = self.pictures.all()
        missing = [name for name, table in tables.items() if not table.is_file()]
        if missing:
            return {"missing": missing}
        verdicts = {name: read_verdicts(table) for name, table in tables.items()}
        learned = {name: self._learned(name) for name in models}
        answer = compared(verdicts, [picture.path for picture in pictures], learned)
        not_judged = sum(
            any(picture.called not in said for said in verdicts.values()) for picture in pictures
        )
        times = {name: self._milliseconds(name) for name in models}
        return {"missing": [], "not_judged": not_judged, "milliseconds": times, **answer}

    def _table(self, model: str) -> Path:
        return self.folder / "judged" / f"{model}.csv"

    def _learned(self, model: str) -> set[str]:
        made = f"models/{model}.blemish"
        for job in self.jobs.all(10_000):
            if job.facts.get("makes") == made and job.state == "done":
                if job.kind == "train":
                    return set(job.facts["learned"])
                added = {f"{p.split('/')[0]}/{p.split('/')[-1]}" for p in job.facts["paths"]}
                return added | self._learned(Path(str(job.facts["model"])).stem)
        return set()

    def _milliseconds(self, model: str) -> float | None:
        """Time per picture when it judged the project, its start not counted."""
        for job in self.jobs.all(10_000):
            if job.kind == "judge" and Path(job.facts["model"]).stem == model:
                last = self.jobs.progress(job)[-1:]
                if job.state == "done" and last and last[0]["done"]:
                    return float(1000 * last[0]["seconds"] / last[0]["done"])
        return None

    def _unfinished(self) -> list[StudioJob]:
        return [job for job in self.jobs.all() if job.state in ("waiting", "running")]

    def _add(self, command: orders.Command) -> StudioJob:
        return self.jobs.add(command.kind, command.title, command.words, dict(command.facts))

    def _changed(self, job: StudioJob) -> None:
        self.events.publish("jobs", id=job.id, state=job.state)
        made = job.facts.get("makes")
        if made and job.state == "done":
            self.audit.note("model made", Path(made).stem, "", job.command)

    def _folder_of(self, files: Sequence[Path], product: str) -> Path:
        """A folder with nothing but these good pictures in it, as links where the disk has them."""
        name = now().replace(":", "").replace(".", "-")
        folder = self.folder / "taught" / name / product / "good"
        folder.mkdir(parents=True)
        for file in files:
            try:
                os.link(file, folder / file.name)
            except OSError:
                shutil.copy2(file, folder / file.name)
        (folder.parents[1] / "pictures.json").write_text(
            json.dumps([file.name for file in files]), "utf-8"
        )
        return folder
