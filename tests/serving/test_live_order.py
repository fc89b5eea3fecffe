"""Live inspection: several pictures are on their way at once, and their verdicts leave in order."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scripted_camera import ScriptedCamera
from spot_model import SpotNetwork, spot_model
from spot_service import open_service

from blemish.cameras.grabber import Grabber
from blemish.cameras.trigger import parse_trigger
from blemish.inspection.network import NetworkOutput
from blemish.results import Prediction
from blemish.serving.live import KeepRule, LiveInspection


class WatchedNetwork(SpotNetwork):
    """Says when it has seen the second picture."""

    def __init__(self) -> None:
        super().__init__()
        self.second = threading.Event()

    def __call__(self, pixels: NDArray[np.uint8]) -> NetworkOutput:
        if 132 in pixels.max(axis=(1, 2, 3)):
            self.second.set()
        return super().__call__(pixels)


def test_the_network_has_the_next_picture_while_one_is_sent(tmp_path: Path) -> None:
    network, sent, overlapped = WatchedNetwork(), [], []

    class Sent:
        def take(self, prediction: Prediction, **_: Any) -> None:
            if not sent:  # the first is slow to leave: the second must have been seen meanwhile
                overlapped.append(network.second.wait(20))
            sent.append(prediction.score)

    levels = [131, 132, 133, 180, 134, 135, 136]

    async def run() -> LiveInspection:
        with open_service(spot_model(network=network), tmp_path, Sent()) as service:
            camera = ScriptedCamera(levels, waits=True)
            grabber = Grabber(camera, parse_trigger("all"), print)
            live = LiveInspection(service, grabber, KeepRule(not_ok=False, one_in=3), None)
            live.start()
            while not grabber.over or live.judged < len(levels):
                await asyncio.sleep(0.01)
            await live.close()
            await service.close()
        return live

    live = asyncio.run(asyncio.wait_for(run(), 60))
    assert overlapped == [True]
    assert sent == levels
    last = live.state()["last"]
    assert [picture["number"] for picture in last] == [7, 6, 5, 4, 3, 2, 1]
    kept = [picture["number"] for picture in last if picture["id"] is not None]
    assert kept == [6, 3]
