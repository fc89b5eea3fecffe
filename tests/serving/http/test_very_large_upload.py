"""An upload of 240 million pixels: refused by its header, by name of the flag."""

from __future__ import annotations

import io

import pytest
from PIL import Image
from running_server import RunningServer


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("TIFF", {"compression": "group4"})])
def test_it_is_refused_before_it_is_decoded(
    server: RunningServer, kind: str, options: dict[str, str]
) -> None:
    file = io.BytesIO()
    Image.new("1", (8_000, 30_000)).save(file, kind, **options)
    assert len(file.getvalue()) < 2**20
    headers = {"Content-Type": f"image/{kind.lower()}"}
    answer = server.client.post("/v1/predict", content=file.getvalue(), headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (413, "too_many_pixels")
    assert "30000×8000 = 240,000,000 pixels" in answer.json()["detail"]
    assert "--max-megapixels" in answer.json()["detail"]
    assert server.client.get("/healthz").status_code in (200, 404)
