"""Inference service: from uploaded files to judged pictures, each step where it belongs.

Decoding and drawing run in a thread pool, the network in a thread of its own (``batching.py``), and
the event loop only passes things on. What is accepted is finished, also when the client goes away
or the server is told to stop; what does not fit is refused before any of its pixels is touched.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.calibration import Calibration
from blemish.data.images.appearance import Appearance, appearance
from blemish.data.images.reading import OnNote
from blemish.data.sample import Sample
from blemish.errors import BlemishError, ConfigError
from blemish.inspection.network import NetworkOutput
from blemish.inspection.prediction import make_prediction
from blemish.inspection.tiling import TiledAnswer
from blemish.results import Note, PartPose, Prediction
from blemish.runtime.cores import usable_cores
from blemish.serving.batching import BatchQueue
from blemish.serving.decoding import decoded
from blemish.serving.drawing import (
    drawn_anew,
    map_png,
    pack_map,
    shown_as_it_is,
    thumbnail,
    unpack_map,
)
from blemish.serving.events import Events
from blemish.serving.history.pictures import Contents, Picture, PictureHistory
from blemish.serving.history.trend_log import TrendLog
from blemish.serving.history.versions import CalibrationVersion, CalibrationVersions
from blemish.serving.http.middleware import ServerMetrics
from blemish.serving.limits import Admission, RefusalError, ServeLimits
from blemish.serving.model import ServedModel
from blemish.serving.order import Delivery, Judged, Look, NotJudged, Order, Upload
from blemish.serving.parts import ServedParts
from blemish.serving.regions import prepared
from blemish.serving.viewport import Box, Viewport

Result = TypeVar("Result")


class _Facts(NamedTuple):
    """What is kept of a picture while the network looks at it, beside its file."""

    size: tuple[int, int]  # (H, W)
    named: str | None  # the product, where somebody said it
    pose: PartPose | None
    look: Appearance
    notes: tuple[Note, ...]  # how it is unlike those that were learned


class InspectionService:
    """Judges uploads with one model, at the calibration in force."""

    def __init__(
        self,
        model: ServedModel,
        pictures: PictureHistory,
        versions: CalibrationVersions,
        *,
        limits: ServeLimits,
        metrics: ServerMetrics,
        delivery: Delivery | None = None,
        events: Events | None = None,
        trend: TrendLog | None = None,
    ) -> None:
        self.model, self.trend = model, trend
        self.events = events or Events()
        self._delivery = delivery
        self.parts = ServedParts(versions, delivery)
        self.pictures = pictures
        self.versions = versions
        self.limits, self.metrics = limits, metrics
        self.admission = Admission(limits)
        self._tiled = model.preprocessing.tiling is not None
        # Of each picture that is accepted as many tiles wait as fit one pass.
        capacity = limits.queue * (limits.batch if self._tiled else 1)
        self.queue = BatchQueue(model.network, batch=limits.batch, capacity=capacity)
        # Decoded pictures are the largest thing in memory: as many at once as there are threads.
        self._threads = ThreadPoolExecutor(max(2, usable_cores()), "pictures")
        # Pictures drawn for the page have the memory of these few at most.
        self._drawing = threading.BoundedSemaphore(2)
        self._viewport = Viewport()
        self.ready = False

    def warm_up(self) -> None:
        """Empty pictures, alone and together, so that the first clients do not pay for them."""
        blank = np.zeros((*self.model.preprocessing.size, 3), np.uint8)
        count = min(self.limits.batch + 1, self.limits.queue)
        for judged in [self.queue.submit(blank) for _ in range(count)]:
            judged.result()
        self.ready = True

    async def close(self) -> None:
        """Finish what was accepted, then let the threads go."""
        self.ready = False
        for end in (self.queue.close, self._threads.shutdown, self.parts.close):
            await asyncio.to_thread(end)
        if self.trend is not None:
            await asyncio.to_thread(self.trend.close)

    def check_order(self, order: Order) -> Order:
        """The order with its product filled in where there is only one, or a refusal."""
        product = self.check_product(order.product or None)
        known = self.model.products
        if order.map is not None and self.versions.active.calibration is None:
            raise RefusalError(
                409,
                "not_calibrated",
                "A map has colours only where there are limits, and this model is not calibrated.",
            )
        if product is None and len(known) == 1:
            product = known[0]
        return order.model_copy(update={"product": product})

    def check_product(self, product: str | None) -> str | None:
        """The product, or a refusal (422) where the model does not know it."""
        known = self.model.products
        if product is not None and product not in known:
            raise RefusalError(
                422,
                "no_such_product",
                f"Found the product {product[:60]!r}. This model knows "
                f"{', '.join(known) or 'none'}; leave it out if you do not know.",
            )
        return product

    async def judge(
        self,
        uploads: Sequence[Upload],
        order: Order,
        *,
        look: Look | None = None,
        after: asyncio.Task[None] | None = None,
    ) -> list[Judged | NotJudged]:
        """Judge the images of one request, in order and all by the same calibration.

        ``look`` is shown each of them, and says whether it is kept. Nothing is kept, counted or
        sent before ``after`` is done. Refused (503) where too many images wait already, or (504)
        where it took too long.
        """
        self.admission.enter(len(uploads))
        active = self.versions.active
        tasks = [asyncio.create_task(self._judge(u, order, active, look, after)) for u in uploads]
        try:
            _, late = await asyncio.wait(tasks, timeout=self.limits.answer_seconds)
        finally:
            for task in tasks:
                task.cancel()  # what has not begun does not begin
            self.admission.leave(len(uploads), time.monotonic())
        if late:
            raise RefusalError(
                504,
                "too_slow",
                f"There was no answer after {self.limits.answer_seconds:g} seconds (--timeout).",
            )
        return [task.result() for task in tasks]

    def calibrated(self) -> Calibration:
        """The limits in force, for what needs some; refused (409) where there are none."""
        calibration = self.versions.active.calibration
        if calibration is None:
            raise RefusalError(
                409,
                "not_calibrated",
                "This model is not calibrated. Mark pictures of good parts and recalibrate, or "
                f"run: blemish calibrate {self.model.name} GOOD_DIR",
            )
        return calibration

    def again(self, picture: Picture, calibration: Calibration | None) -> Prediction:
        """The prediction of a kept picture by other limits, without the network."""
        departure = self.pictures.departure(picture.id)
        answer = NetworkOutput(
            unpack_map(self.pictures.contents(picture.id, "map"))[None],
            np.array([picture.score]),
            {name: np.array([score]) for name, score in picture.branches.items()},
            None if departure is None else unpack_map(departure)[None],
            None if picture.recognised is None else (picture.recognised,),
            None if picture.rival is None else (picture.rival,),
        )
        named = picture.named or picture.recognised is None
        with self._drawing:
            return self._prediction(
                answer, picture.product if named else None, picture.size, calibration, picture.pose
            )

    def shown(self, picture: Picture) -> tuple[bytes, str]:
        """A kept picture as a browser can show it, and its type."""
        content = self.pictures.contents(picture.id, "source")
        as_it_is = shown_as_it_is(content)
        if as_it_is is not None:
            return as_it_is
        with self._drawing:
            return drawn_anew(self.pixels(Upload(picture.name, content)))

    def piece(self, picture: Picture, box: Box, *, longest: int) -> bytes:
        """A piece of a kept picture as JPEG, as large as it is to be seen."""

        def decode() -> NDArray[np.uint8]:
            content = self.pictures.contents(picture.id, "source")
            return self.pixels(Upload(picture.name, content))

        return self._viewport.piece(picture.id, decode, box.check(picture.size), longest=longest)

    async def _judge(
        self,
        upload: Upload,
        order: Order,
        active: CalibrationVersion,
        look: Look | None,
        after: asyncio.Task[None] | None,
    ) -> Judged | NotJudged:
        try:
            pixels, facts = await self._in_thread(lambda: self._prepare(upload, order))
            answer = await self._answer(pixels)
            del pixels
            if after is not None:
                await asyncio.wait([after])
            judged = await self._in_thread(
                lambda: self._finish(upload, facts, answer, order, active, look)
            )
        except RefusalError as refusal:
            self.metrics.count_error(refusal.code)
            return NotJudged(upload.name, _apart(refusal))
        except BlemishError as error:
            self.metrics.count_error("model")
            return NotJudged(upload.name, RefusalError(500, "model", str(error)))
        self.metrics.count_verdict(judged.prediction.verdict)
        return judged

    async def _answer(self, pixels: NDArray[np.uint8]) -> NetworkOutput:
        """The network's answer for one picture; tiles wait in turn with those of other pictures."""
        grid = self.model.preprocessing.grid((pixels.shape[0], pixels.shape[1]))
        whole = TiledAnswer(grid, self.model.preprocessing.tiling)
        for first in range(0, len(grid), self.limits.batch):
            places = range(first, min(first + self.limits.batch, len(grid)))
            waiting = [self.queue.submit(grid.cut(pixels, place)) for place in places]
            outputs = await asyncio.gather(*map(asyncio.wrap_future, waiting))
            for place, output in zip(places, outputs, strict=True):
                whole.add(place, output)
        return whole.output()

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _prepare(self, upload: Upload, order: Order) -> tuple[NDArray[np.uint8], _Facts]:
        # What somebody said of this very file holds until somebody says otherwise.
        said = self.pictures.named_product(upload.digest) if order.keep else None
        notes: list[Note] = []
        image, named = self.pixels(upload, on_note=notes.append), order.product or said
        seen = prepared(self.model.preprocessing, image, named, upload.name)
        size = (image.shape[0], image.shape[1])
        if self.model.pictures is not None:
            notes += self.model.pictures.notes(size, None, named)
        return seen.pixels, _Facts(size, named, seen.pose, appearance(image), tuple(notes))

    def pixels(self, upload: Upload, on_note: OnNote | None = None) -> NDArray[np.uint8]:
        """The pixels ``(H, W, 3)`` of an upload, as the model sees them before resizing."""
        if upload.pixels is not None:
            return upload.pixels
        depth = self.model.preprocessing.bit_depth
        most = self.limits.pixels
        return decoded(upload.content, upload.name, bit_depth=depth, most=most, on_note=on_note)

    def _finish(
        self,
        upload: Upload,
        facts: _Facts,
        answer: NetworkOutput,
        order: Order,
        active: CalibrationVersion,
        look: Look | None,
    ) -> Judged:
        size, named, pose = facts.size, facts.named, facts.pose
        prediction = self._prediction(answer, named, size, active.calibration, pose, facts.notes)
        if not math.isfinite(prediction.score):
            raise ConfigError(f"The score is {prediction.score}: the model does not work.")
        keep = order.keep or (look is not None and look(answer, prediction))
        png = key = not_kept = None
        if order.map is not None or keep:
            # Decoded a second time: keeping the pixels of all that wait would need no bound less
            # than the queue times the largest picture.
            image = self.pixels(upload)
            if order.map is not None and active.calibration is not None:
                scale = active.calibration.limits(prediction.product).map_scale
                png = map_png(order.map, image, prediction, scale)
            if keep:
                try:
                    key = self._keep(
                        *(upload, image, answer, prediction, active.version),
                        named=named is not None,
                    )
                except RefusalError as refusal:  # the verdict is no worse for it
                    self.metrics.count_error(refusal.code)
                    not_kept = _apart(refusal)
        # The maps of all images of a large request would not fit into memory.
        small = replace(
            prediction,
            path=None,
            anomaly_map=np.zeros((0, 0), np.float32),
            mask=None,
            roi=None,
            regions=tuple(r for r in prediction.regions if math.isfinite(r.peak)),
        )
        if self.trend is not None:
            self.trend.add(small, facts.look, upload.name, active)
        if self._delivery is not None:
            self._delivery.take(
                replace(small, path=Path(upload.name)),
                part=order.part,
                views=order.views,
                taken=upload.taken,
                draw=lambda: self._overlay(upload, prediction, active),
            )
        return Judged(upload.name, small, size, active.version, key, png, not_kept)

    def _overlay(
        self, upload: Upload, prediction: Prediction, active: CalibrationVersion
    ) -> Image.Image:
        limits = active.calibration and active.calibration.limits(prediction.product)
        with self._drawing:
            pixels, scale = self.pixels(upload), limits.map_scale if limits else None
            return replace(prediction, image=pixels, map_scale=scale).overlay()

    def _keep(
        self,
        upload: Upload,
        image: NDArray[np.uint8],
        answer: NetworkOutput,
        prediction: Prediction,
        version: int,
        *,
        named: bool,
    ) -> int:
        picture = Picture(
            digest=upload.digest,
            product=prediction.product,
            name=upload.name,
            size=(image.shape[0], image.shape[1]),
            score=prediction.score,
            peak=float(prediction.anomaly_map.max()),
            map_low=float(np.median(prediction.map_values)),
            branches={name: branch.score for name, branch in prediction.branches.items()},
            verdict=prediction.verdict,
            version=version,
            recognised=prediction.recognised,
            # Of no weight now, but where the name is taken back.
            rival=(answer.rivals[0] or None) if answer.rivals else None,
            named=named,
            pose=prediction.pose,
        )
        contents = Contents(
            upload.file,
            thumbnail(image),
            pack_map(answer.maps[0]),
            None if answer.departures is None else pack_map(answer.departures[0]),
        )
        return self.pictures.keep(picture, contents)

    def _prediction(
        self,
        answer: NetworkOutput,
        product: str | None,
        size: tuple[int, int],
        calibration: Calibration | None,
        pose: PartPose | None,
        notes: tuple[Note, ...] = (),
    ) -> Prediction:
        return make_prediction(
            Sample(Path("upload"), product or "", "test", None),
            answer,
            source_size=size,
            preprocessing=self.model.preprocessing,
            calibration=calibration,
            pose=pose,
            notes=notes,
        )


def _apart(refusal: RefusalError) -> RefusalError:
    """The same as a new one: what was caught holds the picture, by the functions behind it."""
    return RefusalError(refusal.status, refusal.code, refusal.detail)
