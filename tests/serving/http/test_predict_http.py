"""What programs ask of a server, over real HTTP."""

from __future__ import annotations

import base64
import io
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from running_server import RunningServer
from spot_model import part, png, spot_calibration

RAW = {"Content-Type": "image/png"}
Start = Callable[..., RunningServer]


def judge(server: RunningServer, content: bytes, **query: Any) -> dict[str, Any]:
    answer = server.client.post("/v1/predict", content=content, headers=RAW, params=query)
    assert answer.status_code == 200, answer.text
    (result,) = answer.json()["results"]
    return dict(result)


def test_one_raw_image(server: RunningServer) -> None:
    found = judge(server, png(part(spot=200, size=(128, 256))), name="line/part 7.png")
    assert (found["name"], found["verdict"], found["product"]) == (
        "line/part 7.png",
        "defect",
        "nut",
    )
    assert found["size"] == [128, 256]
    assert found["score"] == pytest.approx(200, abs=30)  # the resize rings a little
    assert found["p_value"] == 0.01
    (region,) = found["regions"]
    left, top, right, bottom = region["box"]
    assert left >= 180
    assert right <= 232
    assert top >= 90
    assert bottom <= 118
    assert found["id"] is None
    assert judge(server, png(part(110)))["verdict"] == "ok"
    assert judge(server, png(part(124)))["verdict"] == "unsure"


def test_several_images_each_with_its_own_answer(server: RunningServer) -> None:
    files = [
        ("image", ("a.png", png(part(105)), "image/png")),
        ("image", ("../../b.png", png(part(180)), "image/png")),
        ("other", ("notes.txt", b"these are notes", "text/plain")),
    ]
    answer = server.client.post("/v1/predict", files=files)
    assert answer.status_code == 200
    a, b, notes = answer.json()["results"]
    assert (a["name"], a["verdict"], a["score"]) == ("a.png", "ok", 105)
    assert (b["name"], b["verdict"], b["score"]) == ("b.png", "defect", 180)
    assert (notes["status"], notes["error"]["error"]) == (415, "not_an_image")
    assert notes["verdict"] is None
    assert answer.json()["calibration"] == 1


def test_grey_sixteen_bit_turned_and_transparent_pictures_are_read_as_files_are(
    server: RunningServer,
) -> None:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(part(110, size=(64, 128))).save(file, "TIFF", exif=exif)
    assert judge(server, file.getvalue())["size"] == [128, 64]
    file = io.BytesIO()
    Image.fromarray(np.full((64, 64), 257 * 111, np.uint16)).save(file, "PNG")
    assert judge(server, file.getvalue())["score"] == 111


@pytest.mark.parametrize(
    ("kind", "mode", "size"), [("heat", "RGBA", 96), ("grey", "L", 96), ("overlay", "RGB", None)]
)
def test_the_map_on_request(server: RunningServer, kind: str, mode: str, size: int | None) -> None:
    found = judge(server, png(part(spot=220, size=(96, 96))), map=kind)
    picture = Image.open(io.BytesIO(base64.b64decode(found["map_png"])))
    assert picture.mode == mode
    if size:
        assert picture.size == (size, size)
        strength = np.asarray(picture)[..., -1] if mode == "RGBA" else np.asarray(picture)
        assert strength[76:82, 76:82].min() > 200  # the spot
        assert strength[2:10, 2:10].max() == 0  # the background


def test_a_picture_of_the_map_as_the_answer_itself(server: RunningServer) -> None:
    headers = {**RAW, "Accept": "image/png"}
    answer = server.client.post("/v1/predict", content=png(part(spot=220)), headers=headers)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-blemish-verdict"] == "defect"
    assert Image.open(io.BytesIO(answer.content)).width >= 480
    files = [("a", ("a.png", png(part()))), ("b", ("b.png", png(part())))]
    refused = server.client.post("/v1/predict", files=files, headers={"Accept": "image/png"})
    assert refused.status_code == 422


@pytest.mark.parametrize(
    ("status", "code", "request_"),
    [
        (415, "not_an_image", {"content": b"%PDF-1.7 " * 9, "headers": RAW}),
        (415, "not_an_image", {"json": {"image": "x"}}),
        (422, "damaged_image", {"content": png(part())[:-30], "headers": RAW}),
        (422, "no_image", {"content": b"", "headers": RAW}),
        (422, "no_image", {"data": {"image": "text"}, "files": {"f": ("a.png", png(part()))}}),
        (413, "too_many_pixels", {"content": png(part(size=(1001, 1000))), "headers": RAW}),
        (413, "too_large", {"content": b"\x89PNG" + bytes(2 * 2**20), "headers": RAW}),
        (413, "too_many_images", {"files": [("f", ("a.png", png(part())))] * 9}),
        (
            422,
            "no_such_product",
            {"content": png(part()), "headers": RAW, "params": {"product": "x"}},
        ),
        (422, "invalid", {"content": png(part()), "headers": RAW, "params": {"map": "3d"}}),
        (421, "unknown_host", {"content": png(part()), "headers": {**RAW, "Host": "evil.example"}}),
        (
            403,
            "cross_site",
            {"content": png(part()), "headers": {**RAW, "Origin": "http://e.example"}},
        ),
    ],
)
def test_refusals_say_what_and_why(
    server: RunningServer, status: int, code: str, request_: dict[str, Any]
) -> None:
    answer = server.client.post("/v1/predict", **request_)
    assert (answer.status_code, answer.json()["error"]) == (status, code)
    assert len(answer.json()["detail"]) > 15
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("flag", "request_"),
    [
        ("--max-megapixels", {"content": png(part(size=(1001, 1000))), "headers": RAW}),
        ("--max-mib", {"content": b"\x89PNG" + bytes(2 * 2**20), "headers": RAW}),
        ("--max-images", {"files": [("f", ("a.png", png(part())))] * 9}),
    ],
)
def test_a_refusal_names_the_flag_that_would_let_it_in(
    server: RunningServer, flag: str, request_: dict[str, Any]
) -> None:
    answer = server.client.post("/v1/predict", **request_)
    assert answer.status_code == 413
    said = str(answer.json())
    assert f"a larger {flag}" in said
    assert "max_pixels" not in said


def test_a_body_without_a_declared_length_is_counted_all_the_same(server: RunningServer) -> None:
    def chunks(count: int) -> Any:
        yield png(part())
        for _ in range(count):
            yield bytes(2**16)

    answer = server.client.post("/v1/predict", content=chunks(40), headers=RAW)
    assert answer.status_code == 413
    assert server.client.post("/v1/predict", content=chunks(2), headers=RAW).status_code == 200


def test_every_answer_carries_the_headers_that_protect_a_browser(server: RunningServer) -> None:
    for path in ("/", "/static/main.js", "/v1/model", "/healthz", "/nowhere"):
        headers = server.client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers
    assert server.client.get("/v1/model").headers["cache-control"] == "no-store"


def test_no_path_names_a_file_and_no_folder_is_listed(server: RunningServer) -> None:
    for path in (
        *(
            "/static",
            "/static/",
            "/static/..%2fapp.py",
            "/static/../app.py",
            "/..%2f..%2fetc/passwd",
        ),
        *("/static/%2e%2e/server.py", "/static//etc/passwd", "/static/main.js%00.css", "/docs"),
    ):
        # As typed: a client library would tidy the path.
        request = server.client.build_request("GET", server.url)
        request.url = httpx.URL(server.url, raw_path=path.encode())
        assert server.client.send(request).status_code == 404, path


def test_the_model_describes_itself_and_the_interface_too(server: RunningServer) -> None:
    model = server.client.get("/v1/model").json()
    assert model["products"] == ["nut"]
    assert model["calibration"]["limits"][0]["defect"] == 124.5
    assert model["bounds"]["pixels"] == 1_000_000
    found = server.client.get("/openapi.json").json()
    assert "multipart/form-data" in found["paths"]["/v1/predict"]["post"]["requestBody"]["content"]
    assert {"/v1/model", "/healthz", "/readyz", "/metrics", "/v1/recalibration"} <= set(
        found["paths"]
    )
    assert server.client.get("/v1/calibrations/1").json() == spot_calibration().to_json()
    assert server.client.get("/readyz").json() == {"status": "ready"}


def test_metrics_count_what_happened(server: RunningServer) -> None:
    def numbers() -> dict[str, float]:
        text = server.client.get("/metrics").text
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    before = numbers()
    judge(server, png(part(spot=230)))
    server.client.post("/v1/predict", content=b"no image at all", headers=RAW)
    server.client.request("BREW", "/v1/predict")
    after = numbers()
    moved = {name: after[name] - before.get(name, 0) for name in after}
    assert moved['blemish_images_total{verdict="defect"}'] == 1
    assert moved['blemish_errors_total{code="not_an_image"}'] == 2  # the image, and its request
    assert moved["blemish_predict_seconds_count"] == 3
    assert moved['blemish_predict_seconds_bucket{le="+Inf"}'] == 3
    assert moved['blemish_requests_total{method="other",route="/v1/predict",status="405"}'] == 1
    assert after["blemish_queue_depth"] == 0
    buckets = [v for n, v in after.items() if n.startswith("blemish_predict_seconds_bucket")]
    assert buckets == sorted(buckets)
    assert all(
        re.fullmatch(r'[a-z_]+(\{[a-z]+="[^"\n]*"(,[a-z]+="[^"\n]*")*\})?', n) for n in after
    )


def test_when_it_is_full_others_are_told_to_come_again(start: Start) -> None:
    server = start("--queue", 4, "--batch-size", 1, "--max-images", 4, SPOT_SECONDS="0.15")
    statuses: list[tuple[int, str | None]] = []

    def ask() -> None:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            answer = client.post("/v1/predict", content=png(part()), headers=RAW)
            statuses.append((answer.status_code, answer.headers.get("retry-after")))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {status for status, _ in statuses} == {200, 503}
    assert all(int(str(wait)) >= 1 for status, wait in statuses if status == 503)
    assert judge(server, png(part(101)))["score"] == 101  # and it goes on
    assert server.stop() == 0


def test_told_to_stop_it_finishes_what_it_accepted(start: Start) -> None:
    server = start("--batch-size", 1, SPOT_SECONDS="0.3")
    answers: list[httpx.Response] = []

    def ask(client: httpx.Client, level: int) -> None:
        with client:
            answers.append(client.post("/v1/predict", content=png(part(level)), headers=RAW))

    # Made before the first one asks: making one takes longer than judging on a busy machine.
    clients = [httpx.Client(base_url=server.url, timeout=60) for _ in range(6)]
    threads = [
        threading.Thread(target=ask, args=(client, 100 + number))
        for number, client in enumerate(clients)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 10
    waiting = 0.0
    while waiting < 6 and time.monotonic() < deadline:
        text = server.client.get("/metrics").text
        waiting = float(re.findall(r"^blemish_images_in_progress (\S+)", text, re.M)[0])
    assert waiting == 6, "they were not all accepted in time"
    assert server.stop() == 0
    for thread in threads:
        thread.join()
    scores = sorted(answer.json()["results"][0]["score"] for answer in answers)
    assert scores == [100, 101, 102, 103, 104, 105]
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url)


def test_an_answer_that_takes_too_long(start: Start) -> None:
    server = start("--timeout", 0.3, "--batch-size", 1, SPOT_SECONDS="0.6")
    answer = server.client.post("/v1/predict", content=png(part()), headers=RAW)
    assert (answer.status_code, answer.json()["error"]) == (504, "too_slow")
    assert server.stop() == 0


def test_with_a_token_nothing_is_seen_without_it(start: Start, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("correct-horse-battery\n")
    server = start("--token-file", tmp_path / "token", "--host", "0.0.0.0")
    base = f"http://127.0.0.1:{server.port}"
    with httpx.Client(base_url=base) as client:
        for path in ("/v1/model", "/v1/history", "/v1/history.csv", "/metrics", "/openapi.json"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["www-authenticate"][:6]) == (401, "Bearer")
        assert client.post("/v1/predict", content=png(part())).status_code == 401
        assert client.get("/healthz").status_code == client.get("/").status_code == 200
        bearer = {"Authorization": "Bearer correct-horse-battery"}
        assert client.get("/v1/model", headers=bearer).status_code == 200
        assert client.post("/v1/session", json={"token": "wrong"}).status_code == 401
        welcome = client.post("/v1/session", json={"token": "correct-horse-battery"})
        cookie = welcome.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "correct-horse" not in cookie
        assert client.get("/v1/model").status_code == 200  # by the cookie
        client.delete("/v1/session")
        assert client.get("/v1/model").status_code == 401
    assert server.stop() == 0
    assert "correct-horse" not in server.log.read_text()


def test_a_real_model_through_the_real_command(
    start: Start, model_file: Path, part_folder: Any, tmp_path: Path
) -> None:
    from blemish.inspector import open_model

    images = sorted((part_folder(tmp_path / "part") / "test").rglob("*.png"))
    expected = list(open_model(model_file).predict(images))
    server = start(model=model_file)
    files = [("image", (path.name, path.read_bytes())) for path in images]
    found = server.client.post("/v1/predict", files=files).json()["results"]
    assert len(found) == len(expected) == 4
    for answer, prediction in zip(found, expected, strict=True):
        assert answer["score"] == pytest.approx(prediction.score, rel=1e-4)
        assert answer["verdict"] == prediction.verdict
        assert answer["p_value"] == prediction.p_value
        boxes = [tuple(region["box"]) for region in answer["regions"]]
        assert boxes == [region.box for region in prediction.regions]
    assert server.stop() == 0


def test_how_a_picture_was_read_is_told(server: RunningServer) -> None:
    file = io.BytesIO()
    Image.fromarray(np.full((64, 64), 4000, np.uint16)).save(file, "PNG")
    (note,) = judge(server, file.getvalue())["notes"]
    assert note.startswith("Its values look like 12 bits; read with 16 bits it is nearly black.")
    pages = [Image.fromarray(part())] * 3
    pages[0].save(file := io.BytesIO(), "TIFF", save_all=True, append_images=pages[1:])
    (note,) = judge(server, file.getvalue())["notes"]
    assert note.startswith("It holds 3 pages or frames")
    assert judge(server, png(part(110)))["notes"] == []
