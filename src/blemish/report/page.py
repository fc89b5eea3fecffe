"""The whole page: one file that asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from blemish import __version__
from blemish.report import words
from blemish.report.data import Report
from blemish.report.diagnosis import diagnosis_section
from blemish.report.gallery import legend
from blemish.report.html import Html, element, join
from blemish.report.sections import (
    facts_section,
    figures_section,
    notes_section,
    product_section,
    summary_section,
    timing_section,
)


def render_page(report: Report) -> bytes:
    """The report as one UTF-8 HTML file, styles, script, plots and pictures included.

    Its content security policy forbids every request and every script but its own.

    Example: see :func:`blemish.report.report.write_report`.
    """
    style, script = _resource("report.css"), _resource("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    title = f"What {report.model} finds and what it misses"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name_="color-scheme", content="light dark"),
        element("meta", name_="generator", content=f"blemish {__version__}"),
        element("title", title),
        element("style", Html(style)),
    )
    body = element(
        "body",
        element("header", element("h1", title), element("p", _origin(report)), _navigation(report)),
        element(
            "main",
            summary_section(report),
            figures_section(report),
            legend() if any(p.alarms or p.misses or p.hits for p in report.products) else None,
            [product_section(product, i) for i, product in enumerate(report.products, 1)],
            None if report.diagnosis is None else diagnosis_section(report.diagnosis),
            timing_section(report),
            facts_section(report),
            notes_section(report),
        ),
        element("script", Html(script)),
    )
    page = join([Html("<!doctype html>\n"), element("html", head, body, lang="en")])
    return page.encode("utf-8")


def _origin(report: Report) -> str:
    products = words.count(len(report.products), "product")
    images = words.count(len(report.rows), "labelled test image")
    return f"Measured on {images} of {products} in {report.data} on {report.date[:10]}."


def _navigation(report: Report) -> Html:
    targets = [("summary", "In short"), ("figures", "All figures")]
    targets += [(f"product-{i}", p.name) for i, p in enumerate(report.products, 1)]
    if report.diagnosis is not None:
        targets.append(("diagnosis", "Why it misses"))
    targets += [("timing", "Timing"), ("facts", "Model and data"), ("notes", "Notes")]
    items = [element("li", element("a", name, href=f"#{anchor}")) for anchor, name in targets]
    return element("nav", element("ul", items), aria_label="Sections")


def _resource(name: str) -> str:
    return resources.files("blemish.report").joinpath(name).read_text(encoding="utf-8")
