"""HTML page: the report's templates filled in; one file that asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from markupsafe import Markup

from blemish import __version__
from blemish.report import plots, words
from blemish.report.data import Report
from blemish.report.pictures import colour_bar
from blemish.report.summary import summary_cards


def render_page(report: Report) -> bytes:
    """The report as one UTF-8 HTML file, styles, script, plots and pictures included.

    Its content security policy forbids every request and every script but its own.
    """
    style, script = _resource("report.css"), _resource("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    levels = 0 if report.diagnosis is None else len(report.diagnosis.leakage.copied)
    page = words.template("page.html").render(
        report=report,
        cards=summary_cards(report),
        plots=plots,
        levels=[f"Copied, level {i + 1}" for i in range(levels)],
        colour_bar=colour_bar(),
        version=__version__,
        style=style,
        script=script,
        policy="default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
    )
    return page.encode("utf-8")


def _resource(name: str) -> Markup:
    file = resources.files("blemish.report").joinpath("templates").joinpath(name)
    return Markup(file.read_text(encoding="utf-8"))
