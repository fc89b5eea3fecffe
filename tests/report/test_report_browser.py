"""The report in a real browser: headless Chromium, as Debian packages it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stand_in import BrightSpots, limits_at, write_product

from blemish.report.report import make_report, write_report

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs chromium on PATH (Debian: apt-get install chromium)"
)

# What the page tells of itself once it is laid out and one of its buttons was pressed.
PROBE = """<script>
addEventListener("load", () => {
  const root = document.documentElement;
  const before = [root.scrollWidth, root.clientWidth];
  document.querySelector(".part button").click();
  const pictures = [...document.images];
  parent.postMessage(JSON.stringify({
    title: document.title,
    h1: document.querySelector("h1").textContent,
    figures: document.querySelectorAll("figure.part").length,
    plots: document.querySelectorAll("svg").length,
    broken: pictures.filter((p) => !p.complete || p.naturalWidth === 0).length,
    pictures: pictures.length,
    enlarged: document.querySelectorAll(".strip.large").length,
    widths: [before, [root.scrollWidth, root.clientWidth]],
    smallest: Math.min(...[...document.querySelectorAll("svg text")].map(
      (t) => t.getBoundingClientRect().height)),
    requests: performance.getEntriesByType("resource").map((e) => e.name)
      .filter((name) => !name.startsWith("data:")),
  }), "*");
});
</script>"""
# A frame, for a browser's window cannot be as narrow as a phone.
FRAME = """<!doctype html><pre id="told"></pre>
<script>addEventListener("message", (e) => { told.textContent = e.data; });</script>
<iframe src="probed.html" style="width: WIDTH; height: 800px; border: 0"></iframe>"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    long_name = "a_product_with_a_rather_long_name-" + "x" * 40
    for product in ("nut", long_name):
        kinds = {"dent": [20, 20, 80, 80], "structural_anomalies" + "y" * 30: [80, 90]}
        write_product(folder / "line", [20] * 9 + [80], kinds, product=product)
    made = make_report(
        BrightSpots(limits_at(3.0, products=("nut", long_name))),
        folder / "line",
        name="nuts.blemish",
        command="blemish report " + "/a/very/long/path" * 10,
    )
    return write_report(made, folder / "report.html")


def chromium(folder: Path, page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open a page; nothing outside this machine can be reached."""
    assert CHROMIUM is not None
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--hide-scrollbars",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--virtual-time-budget=10000",
        f"--user-data-dir={folder / 'profile'}",
        *options,
        page.as_uri(),
    ]
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", timeout=120, check=True
    )


@pytest.mark.parametrize(
    "width",  # the widest and the narrowest: between them lies one of each layout
    [1280, 320, *(pytest.param(w, marks=pytest.mark.slow) for w in (768, 390))],
)
def test_the_page_fits_its_window(report: Path, tmp_path: Path, width: int) -> None:
    content = report.read_text(encoding="utf-8")
    policy = re.search(r'<meta http-equiv="Content-Security-Policy"[^>]*>', content)
    assert policy is not None
    # The page's own policy would forbid the probe.
    probed = content.replace(policy[0], "").replace("</body>", PROBE + "</body>")
    (tmp_path / "probed.html").write_text(probed, encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.replace("WIDTH", f"{width}px"), encoding="utf-8")
    shown = chromium(tmp_path, frame, "--window-size=1400,900", "--dump-dom").stdout
    told = re.search(r'<pre id="told">(.*?)</pre>', shown, re.DOTALL)
    assert told is not None
    assert told[1], "the page told nothing"
    found = json.loads(html.unescape(told[1]))
    assert found["h1"] == found["title"] == "What nuts.blemish finds and what it misses"
    # Per product: 2 misses and the nearest, 1 alarm and the 2 nearest, the other hits.
    assert found["figures"] == 2 * 9
    assert found["plots"] == 2 * 4
    assert found["pictures"] == 2 * (3 * 2 + 6 * 3) + 1
    assert found["broken"] == 0
    assert found["enlarged"] == 1
    assert found["requests"] == []
    for scroll, client in found["widths"]:
        assert client == width
        assert scroll <= client, "the page scrolls sideways"
    assert found["smallest"] > (10 if width >= 390 else 8)  # pixels: letters of the plots


def test_the_page_runs_under_its_own_policy(report: Path, tmp_path: Path) -> None:
    done = chromium(tmp_path, report, "--dump-dom", "--enable-logging=stderr")
    assert done.stdout.count('<button type="button"') == 18
    assert "Content Security Policy" not in done.stderr
    assert "Refused to" not in done.stderr
    assert "ERR_" not in done.stderr


def test_without_scripts_the_page_is_whole(report: Path, tmp_path: Path) -> None:
    # A sandbox in which no script runs; the frame around it may still look inside.
    page = html.escape(report.read_text(encoding="utf-8"), quote=True)
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<!doctype html><pre id="told"></pre><iframe sandbox="allow-same-origin" '
        f'srcdoc="{page}" style="width: 1280px; height: 800px" onload="look(this)"></iframe>'
        "<script>function look(frame) {"
        "  const inside = frame.contentDocument;"
        "  const pictures = [...inside.images];"
        "  told.textContent = [inside.querySelectorAll('.part').length,"
        "    inside.querySelectorAll('button').length,"
        "    inside.querySelectorAll('.with-script:not([hidden])').length,"
        "    pictures.filter((p) => p.naturalWidth > 0 && p.width > 50).length,"
        "  ].join(' ');"
        "}</script>",
        encoding="utf-8",
    )
    told = re.search(r'<pre id="told">(.*?)</pre>', chromium(tmp_path, frame, "--dump-dom").stdout)
    assert told is not None
    assert told[1] == "18 0 0 49"  # figures, buttons, hints of buttons, pictures


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_painted(report: Path, tmp_path: Path, scheme: str) -> None:
    target = tmp_path / "shot.png"
    options = ["--force-dark-mode"] if scheme == "dark" else []
    chromium(tmp_path, report, "--window-size=1280,1600", f"--screenshot={target}", *options)
    pixels = np.asarray(Image.open(target).convert("RGB"))
    corner = pixels[3, 3].tolist()
    assert corner == ([0x14, 0x17, 0x1B] if scheme == "dark" else [255, 255, 255])
    red = [0xE0, 0x57, 0x5D] if scheme == "dark" else [0xCF, 0x3A, 0x42]
    assert (pixels == red).all(axis=2).sum() > 200  # the bars of what is stopped and missed
    assert 0.02 < (pixels != corner).any(axis=2).mean() < 0.9
