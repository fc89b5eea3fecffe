"""AUROC against the share of labelled anomalies, as a small picture for the documentation.

    python benchmarks/labelled_share_curve.py benchmarks/results/anomem-unbalanced OUT.svg

Reads the rows of the protocol ``unbalanced``. The share γ lies on the horizontal axis (evenly
spaced, not to scale), the AUROC on the vertical one; each thin line is one normal class and seed,
the thick one their mean. Left: all anomalies; right: the classes that training never saw.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from blemish._files import atomic_write
from blemish.benchmark.rows import read_lines

WIDTH, HEIGHT, LEFT, TOP, GAP = 300, 190, 44, 30, 24
PANELS = {
    "image_auroc": "all anomalies",
    "image_auroc_unseen": "classes never seen",
}


def curves(lines: list[dict], metric: str) -> dict[tuple, dict[float, float]]:
    """``{(class, seed): {γ: AUROC}}`` of the runs that gave the metric."""
    found: dict[tuple, dict[float, float]] = defaultdict(dict)
    for line in lines:
        if line["status"] == "done" and line["identity"]["protocol"]["name"] == "unbalanced":
            (row,) = line["rows"]
            key = (row["category"], line["seed"])
            found[key][line["identity"]["protocol"]["ratio"]] = row["metrics"][metric]
    return found


def main(folder: str, picture: str) -> None:
    lines = read_lines(folder)
    ratios = sorted({x for curve in curves(lines, "image_auroc").values() for x in curve})
    if not ratios:
        sys.exit(f"{folder} holds no finished run of the protocol unbalanced.")
    values = [v for m in PANELS for c in curves(lines, m).values() for v in c.values()]
    low = np.floor(20 * min(values)) / 20
    parts = []
    for panel, (metric, title) in enumerate(PANELS.items()):
        left = LEFT + panel * (WIDTH + GAP + LEFT)
        found = {k: c for k, c in curves(lines, metric).items() if set(c) == set(ratios)}

        def at(ratio: float, value: float, left: int = left) -> str:
            x = left + WIDTH * (0.08 + 0.84 * ratios.index(ratio) / max(1, len(ratios) - 1))
            return f"{x:.1f},{TOP + HEIGHT * (1 - (value - low) / (1 - low)):.1f}"

        parts.append(_text(left + WIDTH / 2, TOP - 12, f"AUROC, {title}"))
        for tick in np.linspace(low, 1, 5):
            y = TOP + HEIGHT * (1 - (tick - low) / (1 - low))
            parts.append(f'<path d="M{left} {y:.1f}h{WIDTH}" stroke="#ddd"/>')
            parts.append(_text(left - 6, y + 4, f"{100 * tick:.3g}", anchor="end"))
        for ratio in ratios:
            x = float(at(ratio, low).split(",")[0])
            parts.append(_text(x, TOP + HEIGHT + 16, f"γ = {ratio:g}"))
        for curve in found.values():
            points = " ".join(at(r, curve[r]) for r in ratios)
            parts.append(f'<polyline points="{points}" fill="none" stroke="#9ab" />')
        mean = {r: float(np.mean([c[r] for c in found.values()])) for r in ratios if found}
        points = " ".join(at(r, v) for r, v in mean.items())
        parts.append(f'<polyline points="{points}" fill="none" stroke="#b03a2e" stroke-width="3"/>')
        for ratio, value in mean.items():
            x, y = (float(v) for v in at(ratio, value).split(","))
            parts.append(_text(x, y - 8, f"{100 * value:.1f}", fill="#b03a2e"))
    whole = (2 * WIDTH + 2 * LEFT + GAP + 12, HEIGHT + TOP + 26)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole[0]} {whole[1]}" '
        'font-family="sans-serif" font-size="12" role="img">'
        "<title>AUROC against the share of labelled anomalies</title>"
        f'<rect width="{whole[0]}" height="{whole[1]}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )
    Path(picture).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(picture) as file:
        file.write(svg.encode())


def _text(x: float, y: float, text: str, *, anchor: str = "middle", fill: str = "#333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}">{text}</text>'


if __name__ == "__main__":
    main(*sys.argv[1:])
