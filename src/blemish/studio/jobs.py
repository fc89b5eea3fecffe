"""Job queue: trainings and judgements one after the other, each a process of its own.

What is queued, runs or ran is in the project's database; a job's folder holds its order, its log,
its progress and its end. A studio that was killed finds all of it again: a process that still works
is waited for, one that went without a word is said to be interrupted and can be taken up again.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from blemish._progress import RECORD
from blemish.serving.history.database import Database
from blemish.serving.history.pictures import now
from blemish.serving.limits import RefusalError
from blemish.studio import worker
from blemish.studio.audit import Person, acting

State = Literal["waiting", "running", "done", "failed", "cancelled", "interrupted"]
_LOOK_SECONDS = 0.25
_LOG_BYTES = 64 * 1024  # of the end of a log are read
_ON_WINDOWS = sys.platform == "win32"


@dataclass(frozen=True)
class StudioJob:
    """One command, as the database knows it."""

    id: int
    kind: str
    title: str  # for people
    words: tuple[str, ...]  # of the command line, without ``blemish``
    facts: dict[str, Any]  # what belongs to it: the model it makes, the recipe, …
    state: State
    created: str
    started: str | None
    ended: str | None
    who: str
    message: str

    @property
    def command(self) -> str:
        """What would do the same on the command line, in the project's folder."""
        return shlex.join(["blemish", *self.words])


class Jobs:
    """The queue of a project.

    Args:
        database: The project's.
        project: Its folder, in which commands run.
        changed: Called with each job whose state has changed, from any thread.
    """

    def __init__(
        self,
        database: Database,
        project: Path,
        changed: Callable[[StudioJob], None] = lambda job: None,
    ) -> None:
        self._db, self.project, self._changed = database, project, changed
        self.folder = project / "jobs"
        self._wake = threading.Event()
        self._closing = False
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)

    def start(self) -> None:
        """Begin to work, first on what an earlier studio left behind."""
        self._thread.start()

    def close(self) -> None:
        """Stop to look after jobs. A process at work goes on; the next studio finds it."""
        self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def all(self, count: int = 200) -> list[StudioJob]:
        """The last jobs, the newest first."""
        rows = self._db.rows("SELECT * FROM jobs ORDER BY id DESC LIMIT ?", (count,))
        return [_job(dict(row)) for row in rows]

    def counts(self) -> dict[State, int]:
        """How many there are in each state."""
        rows = self._db.rows("SELECT state, count(*) FROM jobs GROUP BY state")
        return dict.fromkeys(get_args(State), 0) | {row[0]: row[1] for row in rows}

    def get(self, key: int) -> StudioJob:
        """One job; refused (404) where there is none."""
        rows = self._db.rows("SELECT * FROM jobs WHERE id = ?", (key if key < 2**63 else -1,))
        if not rows:
            raise RefusalError(404, "no_such_job", f"There is no job {key}.")
        return _job(dict(rows[0]))

    def add(self, kind: str, title: str, words: Sequence[str], facts: dict[str, Any]) -> StudioJob:
        """Queue a command."""
        key = self._db.run(
            "INSERT INTO jobs (kind, title, words, facts, state, created, who) "
            "VALUES (?, ?, ?, ?, 'waiting', ?, ?)",
            (kind, title, json.dumps(list(words)), json.dumps(facts), now(), str(acting.get())),
        )
        self._wake.set()
        self._changed(self.get(key))
        return self.get(key)

    def cancel(self, key: int, *, at_once: bool = False) -> StudioJob:
        """Stop a job: one that trains finishes its step and keeps what is needed to go on.

        Asked again it goes on stopping. ``at_once`` ends its process: what a training has done
        since its last checkpoint is lost.
        """
        with self._db.transaction():
            job = self.get(key)
            if job.state == "waiting":
                self._set(key, state="cancelled", ended=now(), message="Taken back.")
            elif job.state != "running":
                raise RefusalError(409, "not_running", "This job has ended already.")
        if job.state == "running":
            asked = bool(job.facts.get("cancelled"))
            self._set(key, facts=json.dumps({**job.facts, "cancelled": True}))
            if at_once or not asked:  # a second Ctrl-C would end it without its checkpoint
                self._interrupt(job, at_once=at_once)
        else:
            self._changed(self.get(key))
        return self.get(key)

    def again(self, key: int) -> StudioJob:
        """Take up a job that was stopped or failed: from its checkpoint, where there is one."""
        job = self.get(key)
        if job.state not in ("cancelled", "interrupted", "failed"):
            raise RefusalError(409, "not_stopped", "This job was not stopped.")
        words = [word for word in job.words if word != "--resume"]
        if self.can_go_on(job):
            words.append("--resume")
        facts = {name: value for name, value in job.facts.items() if name != "cancelled"}
        return self.add(job.kind, job.title, words, facts)

    def can_go_on(self, job: StudioJob) -> bool:
        """Whether a training left a checkpoint."""
        made = job.facts.get("makes")
        kept = (self.project / f"{made}.training").glob("stage*.ckpt")
        return job.kind == "train" and any(kept)

    def log(self, job: StudioJob) -> str:
        """The end of what the command has printed."""
        try:
            with (self.folder / str(job.id) / "log.txt").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_BYTES))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def progress(self, job: StudioJob) -> list[dict[str, Any]]:
        """What its tasks have said of themselves, one after the other."""
        try:
            text = (self.folder / str(job.id) / "progress.jsonl").read_text("utf-8")
        except OSError:
            return []
        lines = text.split("\n")[:-1]  # the last one may be under way
        return [json.loads(line) for line in lines]

    def _run(self) -> None:
        acting.set(Person(name="studio"))
        for job in reversed(self.all()):
            if job.state == "running":
                self._found_again(job)
        while not self._closing:
            first = "SELECT * FROM jobs WHERE state = 'waiting' ORDER BY id LIMIT 1"
            waiting = self._db.rows(first)
            if waiting:
                self._begin(_job(dict(waiting[0])))
            else:
                self._wake.wait(5)
                self._wake.clear()

    def _begin(self, job: StudioJob) -> None:
        folder = self.folder / str(job.id)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / worker.ORDER).write_text(json.dumps(job.words), "utf-8")
        with self._db.transaction():
            if self.get(job.id).state != "waiting":
                return
            self._set(job.id, state="running", started=now())
        self._changed(self.get(job.id))
        record = str((folder / "progress.jsonl").resolve())
        with (folder / "log.txt").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "blemish.studio.worker", str(folder.resolve())],
                cwd=self.project,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, RECORD: record, "PYTHONUNBUFFERED": "1", "COLUMNS": "100"},
                start_new_session=True,  # Ctrl-C for the studio is none for a training
            )
        if self.get(job.id).facts.get("cancelled"):  # while there was no process to be told
            self._interrupt(job)
        while not self._closing:
            try:
                self._process.wait(_LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            code, self._process = self._process.returncode, None
            self._end(job.id, code)
            return

    def _found_again(self, job: StudioJob) -> None:
        """A job that was at work when the studio before this one ended."""
        folder = self.folder / str(job.id)
        folder.mkdir(parents=True, exist_ok=True)
        while not self._closing:
            with worker.held(folder, seconds=0.1) as free:
                if free:
                    # One that is only just starting finds no order, and ends.
                    (folder / worker.ORDER).unlink(missing_ok=True)
                    break
            self._wake.wait(1.0)
            self._wake.clear()
        else:
            return
        self._end(job.id, None)

    def _end(self, key: int, code: int | None) -> None:
        """Write down how a process ended; ``code`` is unknown of one that was not our child."""
        result = self.folder / str(key) / worker.RESULT
        said = json.loads(result.read_text("utf-8"))["code"] if result.is_file() else None
        job = self.get(key)
        state, message = _outcome(job, said, code, self.log(job))
        self._set(key, state=state, ended=now(), message=message)
        if state == "done" and job.kind == "train":
            shutil.rmtree(self.project / f"{job.facts.get('makes')}.training", ignore_errors=True)
        self._changed(self.get(key))

    def _interrupt(self, job: StudioJob, *, at_once: bool = False) -> None:
        """Ask a job's process to stop, or end it with all that it has started."""
        folder = self.folder / str(job.id)
        pid = None if self._process is None else self._process.pid
        if pid is None:  # the child of an earlier studio
            with worker.held(folder, seconds=0.1) as gone:
                if gone or not (folder / worker.PROCESS).is_file():
                    return
            pid = json.loads((folder / worker.PROCESS).read_text("utf-8"))["pid"]
        with contextlib.suppress(ProcessLookupError):
            if _ON_WINDOWS:
                os.kill(pid, signal.SIGTERM)
            elif at_once:
                os.killpg(pid, signal.SIGKILL)  # it leads a session of its own
            else:
                os.kill(pid, signal.SIGINT)

    def _set(self, key: int, **values: str) -> None:
        names = ", ".join(f"{name} = ?" for name in values)
        change = f"UPDATE jobs SET {names} WHERE id = ?"  # noqa: S608  # names are ours
        self._db.run(change, (*values.values(), key))


def _outcome(job: StudioJob, said: int | None, code: int | None, log: str) -> tuple[State, str]:
    """State and sentence for how a command ended."""
    good = {0, 1} if job.kind == "judge" else {0}  # there 1 says: a defect was found
    if said in good:
        return "done", ""
    if job.facts.get("cancelled"):
        return "cancelled", "Stopped."
    if said is not None:
        errors = [line for line in log.splitlines() if line.startswith("Error: ")]
        return "failed", errors[-1][7:] if errors else f"It ended with exit code {said}."
    if code == -9:
        return "failed", (
            "Its process was killed by the system, as happens when memory runs out. The page, the "
            "pictures and all models are as they were. Choose a smaller input size or the speed "
            "fast, close other programs, and try again."
        )
    if code is None:
        return "interrupted", (
            "The computer or the studio stopped before this was finished. What was trained by then "
            "is kept where the method keeps checkpoints: go on with it."
        )
    return "failed", f"Its process ended without a word (exit code {code}). Its log may say why."


def _job(row: dict[str, Any]) -> StudioJob:
    words = tuple(json.loads(row.pop("words")))
    return StudioJob(words=words, facts=json.loads(row.pop("facts")), **row)
