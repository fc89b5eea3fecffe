"""What the page asks of a server, over real HTTP, and what is left after it was killed."""

from __future__ import annotations

import contextlib
import csv
import io
import random
import threading
import time
from collections.abc import Callable

import httpx
import numpy as np
import pytest
from PIL import Image
from running_server import RunningServer
from spot_model import part, png

Start = Callable[..., RunningServer]


def keep(server: RunningServer, *levels: int, spot: int | None = None) -> list[int]:
    ids = []
    for level in levels:
        content = png(part(level, spot=spot))
        query = {"keep": "true", "name": f"part {level}.png"}
        answer = server.client.post(
            "/v1/predict", content=content, params=query, headers={"Content-Type": "image/png"}
        )
        assert answer.status_code == 200, answer.text
        ids.append(answer.json()["results"][0]["id"])
    return ids


def mark(server: RunningServer, key: int, word: str | None) -> None:
    assert server.client.put(f"/v1/pictures/{key}/mark", json={"mark": word}).status_code == 200


def defect_limit(server: RunningServer) -> float:
    found = server.client.get("/v1/model").json()["calibration"]["limits"][0]["defect"]
    return float(found)


def test_marks_move_the_limits_and_undo_moves_them_back(start: Start) -> None:
    server = start()
    ids = keep(server, 126, 130, 150)
    mark(server, ids[0], "good")
    mark(server, ids[1], "good")
    mark(server, ids[2], "defect")
    proposal = server.client.get("/v1/recalibration", params={"how": "join"}).json()
    assert proposal["before"][0]["defect"] == 124.5
    assert proposal["after"][0]["defect"] == pytest.approx(129.92)  # 1.01 steps of 101
    assert proposal["marked"]["good"]["stopped_after"] == 1  # by a hair, as 1.01 of 101 may be
    assert proposal["marked"]["defect"]["stopped_after"] == 1
    assert defect_limit(server) == 124.5  # it was a question only
    body = {"how": "join", "expected": proposal["version"]}
    made = server.client.post("/v1/recalibration", json=body)
    assert made.json()["version"] == 2
    assert defect_limit(server) == proposal["after"][0]["defect"]
    verdicts = {p["id"]: p for p in server.client.get("/v1/history").json()["pictures"]}
    assert [verdicts[key]["verdict"] for key in ids] == ["unsure", "defect", "defect"]
    assert [verdicts[key]["verdict_then"] for key in ids] == ["defect"] * 3

    late = server.client.post("/v1/recalibration", json=body)
    assert (late.status_code, late.json()["error"]) == (409, "changed_meanwhile")
    again = server.client.post("/v1/recalibration", json={"how": "join"})
    assert again.json()["n"] == 101  # a picture counts once, however often one recalibrates

    for expected in (pytest.approx(129.92), 124.5):
        assert server.client.post("/v1/calibrations/activate", json={}).status_code == 200
        assert defect_limit(server) == expected
    assert server.client.post("/v1/calibrations/activate", json={}).status_code == 409
    server.client.post("/v1/calibrations/activate", json={"version": 3})
    assert defect_limit(server) == proposal["after"][0]["defect"]
    assert server.stop() == 0

    server = start()  # everything is still there
    assert defect_limit(server) == proposal["after"][0]["defect"]
    pictures = server.client.get("/v1/history").json()["pictures"]
    assert {p["id"]: p["mark"] for p in pictures} == dict(
        zip(ids, ["good", "good", "defect"], strict=True)
    )
    assert [v["active"] for v in server.client.get("/v1/calibrations").json()] == [
        True,
        False,
        False,
    ]
    assert server.stop() == 0


def test_a_marked_picture_that_trained_moves_no_limit(start: Start) -> None:
    server = start(SPOT_LEARNED="126")
    trained, new = keep(server, 126, 130)
    mark(server, trained, "good")
    refused = server.client.post("/v1/recalibration", json={"how": "join"})
    assert refused.status_code == 409
    assert "trained on the one image given, part 126.png" in refused.text
    mark(server, new, "good")
    made = server.client.post("/v1/recalibration", json={"how": "join"}).json()
    assert (made["n"], defect_limit(server)) == (100, pytest.approx(129.945))
    assert made["note"].startswith("1 marked picture (1 more trained the model and set no limit)")


def test_of_clients_that_change_the_limits_at_once_one_is_refused(start: Start) -> None:
    server = start()
    together = threading.Barrier(4, timeout=60)

    def change(answers: list[httpx.Response], seen: int) -> None:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            client.get("/healthz")  # connected before they begin
            together.wait()
            body = {"false_alarm_rate": 0.1, "expected": seen}
            answers.append(client.post("/v1/recalibration", json=body))

    for seen in range(1, 6):
        answers: list[httpx.Response] = []
        threads = [threading.Thread(target=change, args=(answers, seen)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
        refused = next(answer.json() for answer in answers if answer.status_code == 409)
        assert refused["error"] == "changed_meanwhile"
        assert refused["detail"].startswith(f"Calibration {seen + 1} is in force by now")
    assert server.stop() == 0


def test_a_rate_judges_everything_at_once_and_only_a_post_puts_it_in_force(start: Start) -> None:
    server = start()
    keep(server, 105, 116, 120, 124, 150)

    def verdicts(**query: float) -> list[str]:
        found = server.client.get("/v1/history", params=query).json()
        return [p["verdict"] for p in reversed(found["pictures"])]

    assert verdicts() == ["ok", "ok", "ok", "unsure", "defect"]
    assert verdicts(false_alarm_rate=0.1) == ["ok", "unsure", "unsure", "defect", "defect"]
    assert verdicts() == ["ok", "ok", "ok", "unsure", "defect"]
    found = server.client.get("/v1/history", params={"false_alarm_rate": 0.1}).json()
    assert found["judged_by"]["preview"] is True
    server.client.post("/v1/recalibration", json={"false_alarm_rate": 0.1})
    assert verdicts() == ["ok", "unsure", "unsure", "defect", "defect"]
    assert server.client.get("/v1/model").json()["calibration"]["source"] == "rate"
    for bad in (0, 0.6, -1, "x"):
        assert server.client.get("/v1/history", params={"false_alarm_rate": bad}).status_code == 422
    assert server.stop() == 0


def test_the_pictures_of_a_kept_picture(start: Start) -> None:
    server = start()
    content = png(part(110, spot=230, size=(80, 200)))
    headers = {"Content-Type": "image/png"}
    answer = server.client.post("/v1/predict?keep=true", content=content, headers=headers).json()
    key = answer["results"][0]["id"]
    source = server.client.get(f"/v1/pictures/{key}/source")
    assert (source.content, source.headers["content-type"]) == (content, "image/png")
    small = Image.open(io.BytesIO(server.client.get(f"/v1/pictures/{key}/thumbnail").content))
    assert (small.format, small.size) == ("JPEG", (200, 80))
    heat = Image.open(io.BytesIO(server.client.get(f"/v1/pictures/{key}/heat").content))
    assert (heat.mode, heat.size) == ("RGBA", (64, 26))  # the picture's part of the input
    detail = server.client.get(f"/v1/pictures/{key}").json()
    assert detail["regions"] == answer["results"][0]["regions"] != []
    tighter = server.client.get(f"/v1/pictures/{key}", params={"false_alarm_rate": 0.5}).json()
    assert tighter["regions"][0]["area"] > detail["regions"][0]["area"]
    for part_name in ("", "/source", "/heat", "/thumbnail"):
        assert server.client.get(f"/v1/pictures/{key + 1}{part_name}").status_code == 404
        assert server.client.get(f"/v1/pictures/9{'0' * 30}{part_name}").status_code == 404

    file = io.BytesIO()  # a browser shows no TIFF, and would turn this one twice
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(part(110, size=(64, 96))).save(file, "TIFF", exif=exif)
    answer = server.client.post("/v1/predict?keep=1", content=file.getvalue(), headers=headers)
    key = answer.json()["results"][0]["id"]
    source = server.client.get(f"/v1/pictures/{key}/source")
    assert source.headers["content-type"] == "image/png"
    shown = np.asarray(Image.open(io.BytesIO(source.content)))
    assert shown.shape == (96, 64, 3)
    assert server.stop() == 0


def test_the_csv_holds_the_session_and_no_formulas(start: Start) -> None:
    server = start()
    (key,) = keep(server, 150)
    mark(server, key, "good")
    query = {"keep": "true", "name": '=HYPERLINK("http://evil.example","x")'}
    server.client.post("/v1/predict", content=png(part(101)), params=query)
    answer = server.client.get("/v1/history.csv")
    assert answer.headers["content-disposition"].startswith("attachment")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["verdict"], row["score"], row["mark"]) for row in rows] == [
        ("ok", "101.0", ""),
        ("defect", "150.0", "good"),
    ]
    assert rows[0]["name"].startswith("'=")
    assert rows[1]["name"] == "part 150.png"
    assert server.stop() == 0


def test_removing_leaves_what_is_marked(start: Start) -> None:
    server = start()
    ids = keep(server, 101, 102, 103)
    mark(server, ids[0], "good")
    assert server.client.post("/v1/history/remove", json={"ids": [ids[1]]}).json() == {"removed": 1}
    assert server.client.post("/v1/history/remove", json={}).json() == {"removed": 1}
    assert [p["id"] for p in server.client.get("/v1/history").json()["pictures"]] == [ids[0]]
    assert server.client.post("/v1/recalibration", json={"how": "replace"}).json()["n"] == 1
    assert server.stop() == 0


def test_a_verdict_is_given_also_where_the_history_is_full(start: Start) -> None:
    server = start("--keep", 1)
    (key,) = keep(server, 101)
    mark(server, key, "good")
    answer = server.client.post("/v1/predict?keep=true", content=png(part(150)))
    (result,) = answer.json()["results"]
    assert (answer.status_code, result["verdict"], result["id"]) == (200, "defect", None)
    assert result["error"]["error"] == "history_full"
    assert server.stop() == 0


def test_nothing_is_kept_unless_asked_for(start: Start) -> None:
    server = start()
    server.client.post("/v1/predict", content=png(part()), headers={"Content-Type": "image/png"})
    assert server.client.get("/v1/history").json()["pictures"] == []
    nothing = server.client.post("/v1/recalibration", json={"how": "join"})
    assert (nothing.status_code, nothing.json()["error"]) == (409, "cannot_recalibrate")
    assert server.stop() == 0


def test_changes_need_json_so_that_no_form_of_another_page_makes_them(start: Start) -> None:
    server = start()
    (key,) = keep(server, 150)
    text = {"Content-Type": "text/plain"}
    for path, body in (
        ("/v1/history/remove", b'{"ids": null}'),
        ("/v1/recalibration", b'{"false_alarm_rate": 0.5}'),
    ):
        assert server.client.post(path, content=body, headers=text).status_code == 422
    assert (
        server.client.put(f"/v1/pictures/{key}/mark", content=b"{}", headers=text).status_code
        == 422
    )
    assert len(server.client.get("/v1/history").json()["pictures"]) == 1
    assert defect_limit(server) == 124.5
    assert server.stop() == 0


def _change_without_end(url: str, begun: threading.Event) -> None:
    with httpx.Client(base_url=url, timeout=60) as client, contextlib.suppress(httpx.HTTPError):
        while True:
            client.post("/v1/recalibration", json={"how": "join"})
            begun.set()
            client.post("/v1/calibrations/activate", json={"version": 1})


def test_killed_while_recalibrating_the_limits_are_old_or_new(start: Start) -> None:
    chance = random.Random(0)
    allowed = {124.5, 129.945}  # by 99 good pictures and by 100
    server = start()
    (key,) = keep(server, 130)
    mark(server, key, "good")
    seen = set()
    for _ in range(3):
        begun = threading.Event()
        changing = threading.Thread(target=_change_without_end, args=(server.url, begun))
        changing.start()
        assert begun.wait(60)
        time.sleep(0.1 * chance.random())
        server.kill()
        changing.join()
        server = start()
        limit = defect_limit(server)
        seen.add(limit)
        assert limit in allowed
        versions = server.client.get("/v1/calibrations").json()
        assert sum(version["active"] for version in versions) == 1
        assert {v["limits"][0]["defect"] for v in versions} <= allowed
        assert [p["mark"] for p in server.client.get("/v1/history").json()["pictures"]] == ["good"]
    assert len(versions) > 3, "nothing was changed when it was killed"
    assert server.stop() == 0


def test_a_second_server_on_the_same_history_says_so(start: Start) -> None:
    server = start()
    with pytest.raises(AssertionError, match="another server runs with it"):
        start()
    assert server.stop() == 0


def test_errors_before_it_serves_are_one_line(start: Start) -> None:
    for options, said in (
        (("--host", "0.0.0.0"), "Give --token-file FILE"),
        (("--host", "no.such.host.invalid"), "no such address"),
        (("--token-file", "missing-token"), "missing-token"),
        (("--max-images", "0"), "Invalid value"),
    ):
        with pytest.raises(AssertionError, match=said) as caught:
            start(*options)
        assert "Traceback" not in str(caught.value)
    server = start()
    with pytest.raises(AssertionError, match="Name another port"):
        start("--port", server.port, "--state", server.log.parent / "other")
    assert server.stop() == 0
