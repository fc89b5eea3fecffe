"""What people do in the studio, in the words of the tests, with small pictures."""

from __future__ import annotations

import io
import time
from typing import Any

import numpy as np
from PIL import Image

#: Small and without weights from anywhere.
TINY = {"recipe": "instant", "size": 64, "teacher_weights": "random", "false_alarm_rate": 0.1}


def picture(seed: int, *, spot: bool = False) -> bytes:
    """A grey part with noise, and a bright spot where there is a defect."""
    rng = np.random.default_rng(seed)
    image = rng.integers(90, 110, (64, 64, 3)).astype(np.uint8)
    image[16:48, 16:48] += 60
    if spot:
        image[20:32, 20:32] = 255
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def give(client: Any, path: str, content: bytes, **query: str) -> Any:
    """Drop one file."""
    sent = {"path": path, **query}
    headers = {"Content-Type": "application/octet-stream"}
    return client.post("/v1/studio/pictures", params=sent, content=content, headers=headers)


def wait_for(client: Any, key: int, *, seconds: float = 180) -> dict[str, Any]:
    """A job when it has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        job: dict[str, Any] = client.get(f"/v1/studio/jobs/{key}").json()
        if job["state"] not in ("waiting", "running"):
            return job
        time.sleep(0.1)
    raise AssertionError(job)
