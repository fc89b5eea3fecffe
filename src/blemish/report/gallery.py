"""The pictures of a report's page: what was missed, what was stopped wrongly, what was found."""

from __future__ import annotations

from blemish.report import words
from blemish.report.data import ProductReport, verdicts_of
from blemish.report.html import NO_BREAK, Child, Html, breakable, element
from blemish.report.pictures import Figure, colour_bar
from blemish.report.rows import Row


def gallery(product: ProductReport, number: int) -> list[Child]:
    """Worst misses, worst false alarms and typical hits of one product, each with its heading."""
    good, bad = verdicts_of(product.good), verdicts_of(product.defective)
    stopped = missed = ""
    if good is not None:
        stopped = (
            f"{good.defect} of {good.total} good parts stopped, {good.unsure} unsure. "
            if good.defect + good.unsure
            else "No good part is stopped; these come nearest. "
        )
    if bad is not None:
        missed = (
            f"{bad.ok} of {bad.total} defects missed, {bad.unsure} unsure. "
            if bad.ok + bad.unsure
            else "No defect is missed; these come nearest. "
        )
    groups = (
        ("misses", "Worst misses", missed + "Lowest score first.", product.misses),
        ("alarms", "Worst false alarms", stopped + "Highest score first.", product.alarms),
        ("hits", "Typical hits", "Of each kind the images nearest to its middle.", product.hits),
    )
    return [
        [
            element("h3", title, id=f"product-{number}-{anchor}"),
            element("p", description, class_="note"),
            element("div", map(_figure, figures), class_=f"gallery {anchor}"),
        ]
        for anchor, title, description, figures in groups
        if figures
    ]


def _figure(figure: Figure) -> Html:
    row = figure.row
    name = words.file_name(row.sample.path)
    pictures = [
        _picture(figure, figure.image, "image", f"Image {name}"),
        _picture(figure, figure.overlay, "anomaly map", f"Anomaly map over {name}"),
    ]
    if figure.truth is not None:
        pictures.append(
            _picture(figure, figure.truth, "ground truth", f"Ground truth outlined in {name}")
        )
    elif row.kind != "good":
        pictures.append(element("span", "no ground truth", class_="none"))
    return element(
        "figure",
        element("div", pictures, class_=f"strip of-{len(pictures)}"),
        element("figcaption", _caption(row, name)),
        class_="part",
    )


def _picture(figure: Figure, source: str, label: str, alt: str) -> Html:
    width, height = figure.size
    picture = element(
        "img", src=source, alt=alt, width=str(width), height=str(height), decoding="async"
    )
    return element("span", picture, element("small", label))


def _caption(row: Row, name: str) -> list[Child]:
    outcome, tone = _outcome(row)
    said = [f"score{NO_BREAK}{words.score(row.score)}"]
    if row.p_value is not None:
        said.append(f"p{NO_BREAK}={NO_BREAK}{row.p_value:.2g}")
    said += [f"{name}{NO_BREAK}{verdict}" for name, verdict in row.branch_verdicts.items()]
    if row.verdict != "unsure":  # the badge says it already
        said.insert(0, f"verdict {row.verdict}" if row.verdict else "no verdict")
    return [
        [element("span", outcome, class_=f"badge {tone}"), " "] if outcome else None,
        " · ".join(said),
        element("br"),
        [row.advice, element("br")] if row.advice else None,
        element("span", breakable(name), class_="file"),
    ]


def _outcome(row: Row) -> tuple[str, str]:
    """What a verdict means for this part, and whether that is good news."""
    if row.verdict is None:
        return "", ""
    if row.verdict == "unsure":
        return "unsure", "unsure"
    if row.kind == "good":
        return ("pass", "ok") if row.verdict == "ok" else ("stopped", "defect")
    return ("missed", "defect") if row.verdict == "ok" else ("found", "ok")


def legend() -> Html:
    """How to read the pictures; once, above the first product."""
    return element(
        "p",
        "How to read the pictures: first the image; then the anomaly map over it, the marked area "
        "outlined in white; then the ground truth outlined in cyan. Colours run from ",
        element(
            "img",
            src=colour_bar(),
            alt="a scale from clear over violet and red to yellow",
            width="120",
            height="12",
            class_="scale",
        ),
        " typical of good parts to far from them, on one scale for all pictures of a product. "
        "p is the share of good parts at least this odd. A dashed box, with methods that judge "
        "what belongs together, is where to look first.",
        element("span", " A click enlarges the pictures.", hidden="hidden", class_="with-script"),
        class_="note",
    )
