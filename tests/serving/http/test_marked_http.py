"""What people marked: shares with intervals, and pictures as folders that can be learned from."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spot_model import part, png

from blemish.data.layouts import read_data_set
from blemish.metrics.intervals import binomial_interval


def test_shares_and_folders_of_marked_pictures(tmp_path: Path, start: Callable[..., Any]) -> None:
    server = start()
    client = server.client
    assert client.get("/v1/marked").json() == []
    assert client.get("/v1/marked.zip").status_code == 409
    for name, level, mark in (
        ("a/../one.png", 101, "good"),
        ("stopped", 150, "good"),
        ("found.png", 180, "defect"),
        ("also.png", 190, "defect"),
        ("slipped.png", 103, "defect"),
        ("nobody.png", 104, None),
    ):
        query = {"keep": True, "name": name}
        key = client.post("/v1/predict", params=query, content=png(part(level))).json()
        client.put(f"/v1/pictures/{key['results'][0]['id']}/mark", json={"mark": mark})
    for key, kind in ((3, "  Kratzer/tief "), (4, "ok")):
        answer = client.put(f"/v1/pictures/{key}/remark", json={"kind": kind, "note": "=seen"})
        assert (answer.json()["kind"], answer.json()["note"]) == (kind.strip(), "=seen")
    client.post("/v1/predict", params={"keep": True, "name": "f.png"}, content=png(part(180)))
    assert client.get("/v1/pictures/3").json()["kind"] == "Kratzer/tief"  # judged again, still said
    assert "Kratzer/tief,'=seen" in client.get("/v1/history.csv").text
    assert client.put("/v1/pictures/99/remark", json={}).status_code == 404
    (found,) = client.get("/v1/marked").json()
    assert found["product"] == "nut"
    assert (found["found"]["count"], found["found"]["of"]) == (2, 3)
    _, low, high = binomial_interval(2, 3)
    assert (found["found"]["low"], found["found"]["high"]) == pytest.approx((low, high))
    assert (found["false_alarms"]["count"], found["false_alarms"]["of"]) == (1, 2)

    answer = client.get("/v1/marked.zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "next")
    assert "nut/train/good/000001-one.png" in names
    assert "nut/train/good/000002-stopped.png" in names
    assert "nut/test/Kratzer_tief/000003-f.png" in names
    assert "nut/test/defect/000005-slipped.png" in names
    assert not any("/ok/" in name for name in names)
    assert len(names) == 5
    data = read_data_set(tmp_path / "next")
    assert [(s.split, s.is_good) for s in data.samples].count(("train", True)) == 2
    assert [(s.split, s.is_good) for s in data.samples].count(("test", False)) == 3
    assert server.stop() == 0
