"""Prediction of one picture: its map at source size, its verdicts, its regions, where to look.

Torch-free, so that a trained model, an exported one and a server answer through the same lines;
nothing judges a second time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.calibration import Calibration
from blemish.calibration.strictest import judged_as, strictest, withheld
from blemish.data.images.alignment import box_to_source, to_source
from blemish.data.images.preprocess import Preprocessing
from blemish.data.sample import Sample
from blemish.errors import DataError
from blemish.inspection.network import NetworkOutput
from blemish.results import Branch, Explanation, Note, PartPose, Prediction, Region

Indices = NDArray[np.intp]

#: The branch whose objections need an explanation: the anomaly map does not show them.
_LOGICAL = "logical"
#: The box of an explanation encloses what is above this share of the largest departure.
_SHARE = 0.5
_ROWS = ("top", "middle", "bottom")
_COLUMNS = ("left", "centre", "right")


def one_of(output: NetworkOutput, row: int) -> NetworkOutput:
    """The answer for one picture of a batch, N = 1: views, which keep the whole batch in memory."""
    one = slice(row, row + 1)
    return NetworkOutput(
        output.maps[one],
        output.scores[one],
        {name: values[one] for name, values in output.branches.items()},
        None if output.departures is None else output.departures[one],
        None if output.products is None else output.products[one],
        None if output.rivals is None else output.rivals[one],
    )


def make_prediction(
    sample: Sample,
    output: NetworkOutput,
    *,
    source_size: tuple[int, int],
    preprocessing: Preprocessing,
    calibration: Calibration | None,
    pose: PartPose | None = None,
    notes: tuple[Note, ...] = (),
) -> Prediction:
    """Bring the map to the source image's size and judge the picture by the calibration.

    Args:
        sample: The image. Its product, or where none is named the one that the network recognises,
            says whose limits judge it; the pooled ones do where there is neither. Where the
            network cannot tell it from another, that one's limits judge as well.
        output: The network's answer for this picture alone, N = 1.
        source_size: ``(H_src, W_src)`` in pixels.
        preprocessing: The one that made the input.
        calibration: Limits, or ``None`` for a prediction without verdict.
        pose: How the part lay in the source image, where the input was aligned.
        notes: What is to be said of the picture already.
    """
    recognised = (output.products[0] or None) if output.products else None
    product = sample.product or recognised
    rival = (output.rivals[0] or None) if output.rivals and not sample.product else None
    path = None if sample.image is not None else sample.path
    score = float(output.scores[0])
    frame = source_size if pose is None or pose.box is None else pose.box[2:]
    anomaly_map = preprocessing.map_to_source(output.maps[0], frame)  # (H_src, W_src)
    roi = None
    if preprocessing.roi is not None:
        roi = preprocessing.roi.looked_at(source_size, sample.product)
    in_frame = roi  # before it lies as the picture does
    if pose is not None:
        anomaly_map, roi = to_source(anomaly_map, roi, pose, source_size)
    if roi is not None:
        anomaly_map = np.where(roi, anomaly_map, anomaly_map[roi].min())
    branches = {name: float(values[0]) for name, values in output.branches.items()}
    known: dict[str, Any] = {"pose": pose, "notes": notes}
    if pose is not None and pose.fault:
        known["notes"] = (Note("alignment", pose.fault), *notes)
    if calibration is None:
        scores = {name: Branch(value) for name, value in branches.items()}
        return Prediction(
            *(path, product, score, anomaly_map),
            branches=scores,
            recognised=recognised,
            rival=rival,
            roi=roi,
            **known,
        )
    products = judged_as(calibration, product, rival)
    findings = strictest(calibration, products, score, branches)
    if pose is not None and pose.fault:
        findings = withheld(findings)
    p_value, verdict, times_limit, judged = findings
    marking = min(products, key=lambda one: calibration.limits(one).map)
    limits, mask = calibration.limits(marking), calibration.mask(anomaly_map, marking)
    if roi is not None:
        mask &= roi  # even the lowest value may be above the limit
    explanation = None
    # Where the logical branch is the only one, the verdict is its own.
    objects = judged[_LOGICAL].verdict if _LOGICAL in judged else verdict
    if output.departures is not None and objects not in ("ok", None):
        explanation = explain(
            output.departures[0],
            branch=_LOGICAL,
            preprocessing=preprocessing,
            source_size=source_size,
            roi=in_frame,
            pose=pose,
        )
    return Prediction(
        path=path,
        product=product,
        score=score,
        anomaly_map=anomaly_map,
        p_value=p_value,
        verdict=verdict,
        branches=judged,
        mask=mask,
        regions=tuple(
            replace(region, times_limit=limits.map_times(region.peak))
            for region in find_regions(mask, anomaly_map)
        ),
        explanation=explanation,
        calibration=calibration.version,
        recognised=recognised,
        times_limit=times_limit,
        rival=rival,
        roi=roi,
        **known,
    )


def explain(
    departure: NDArray[np.float32],
    *,
    branch: str,
    preprocessing: Preprocessing,
    source_size: tuple[int, int],
    roi: NDArray[np.bool_] | None = None,
    pose: PartPose | None = None,
) -> Explanation | None:
    """Where a picture's content departs most from what the rest of it calls for.

    Args:
        departure: ``(h, w)`` float32 at any size, over all that is seen; higher is more.
        branch: Name of the branch that is explained.
        preprocessing: The one that made the input; the field around the image is left out.
        source_size: ``(H_src, W_src)`` in pixels.
        roi: ``(H_src, W_src)``, what is looked at; cells elsewhere are left out. ``None``: all.
            It lies as the input does.
        pose: How the part lay in the source image, where the input was aligned.

    Returns:
        The box in the source image's pixels and the sentence; ``None`` where nothing departs.

    Example:
        >>> import numpy as np
        >>> from blemish.data.images.preprocess import Preprocessing
        >>> from blemish.inspection.prediction import explain
        >>> departure = np.zeros((8, 8), np.float32)
        >>> departure[0:2, 6] = 1
        >>> found = explain(departure, branch="logical", preprocessing=Preprocessing(64, 64),
        ...                 source_size=(128, 128))
        >>> found.box, found.sentence[:14]
        ((96, 0, 112, 32), 'Look first at ')
    """
    rows, columns = departure.shape
    down, right, *shown = pose.box if pose is not None and pose.box else (0, 0, *source_size)
    frame = (shown[0], shown[1])
    top, left, height, width = preprocessing.placement(frame)
    tall, wide = preprocessing.seen(frame)
    # A cell belongs to the image when its middle does.
    y = (np.arange(rows) + 0.5) * tall / rows  # (h,) pixels of what is seen
    x = (np.arange(columns) + 0.5) * wide / columns  # (w,)
    inside = ((y > top) & (y < top + height))[:, None] & ((x > left) & (x < left + width))
    if roi is not None:
        roi = roi[down : down + frame[0], right : right + frame[1]]
        cells_begin = [
            ((np.arange(n) * per - first) * side / shown).astype(int).clip(0, side - 1)
            for n, per, first, side, shown in (
                (rows, tall / rows, top, frame[0], height),
                (columns, wide / columns, left, frame[1], width),
            )
        ]
        seen = np.logical_or.reduceat(roi, cells_begin[0], 0)
        inside &= np.logical_or.reduceat(seen, cells_begin[1], 1)
    values = np.where(inside & np.isfinite(departure), departure, -np.inf)
    peak = float(values.max(initial=-np.inf))
    if peak <= 0:
        return None
    cells = find_regions(values >= _SHARE * peak, values.astype(np.float32), max_regions=1)[0].box
    cell_width, cell_height = wide / columns, tall / rows
    to_frame = frame[1] / width, frame[0] / height
    box = (
        max(0, round((cells[0] * cell_width - left) * to_frame[0])),
        max(0, round((cells[1] * cell_height - top) * to_frame[1])),
        min(frame[1], round((cells[2] * cell_width - left) * to_frame[0])),
        min(frame[0], round((cells[3] * cell_height - top) * to_frame[1])),
    )
    box = box if roi is None else _within(box, roi)
    box = (box[0] + right, box[1] + down, box[2] + right, box[3] + down)
    box = box if pose is None else box_to_source(box, source_size, pose)
    return Explanation(branch=branch, box=box, sentence=_sentence(box, source_size))


def _within(box: tuple[int, int, int, int], roi: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The part of a box that encloses what is looked at in it."""
    left, top, right, bottom = box
    rows, columns = (np.flatnonzero(roi[top:bottom, left:right].any(axis)) for axis in (1, 0))
    if not len(rows):  # by the rounding of the cells
        return box
    return (
        *(left + int(columns[0]), top + int(rows[0])),
        *(left + int(columns[-1]) + 1, top + int(rows[-1]) + 1),
    )


def _sentence(box: tuple[int, int, int, int], size: tuple[int, int]) -> str:
    return (
        f"Look first at the dashed box ({place(box, size)}): what it holds departs most from what "
        "the rest of the picture calls for. Is something missing, extra or misplaced?"
    )


def place(box: tuple[int, int, int, int], size: tuple[int, int]) -> str:
    """Where a box lies in an image, in words.

    Args:
        box: Left, top, right, bottom in pixels.
        size: ``(H, W)`` of the image.

    Example:
        >>> from blemish.inspection.prediction import place
        >>> place((90, 0, 100, 10), (100, 100)), place((40, 45, 60, 55), (100, 100))
        ('top right', 'centre')
    """
    row = _ROWS[min(2, 3 * (box[1] + box[3]) // (2 * size[0]))]
    column = _COLUMNS[min(2, 3 * (box[0] + box[2]) // (2 * size[1]))]
    if row == "middle":
        return column
    return f"{row} {column}"


def find_regions(
    mask: NDArray[np.bool_], anomaly_map: NDArray[np.float32], *, max_regions: int = 50
) -> tuple[Region, ...]:
    """Connected components: the 8-connected areas of ``mask``, the highest peak first.

    A run is a maximal horizontal stretch of marked pixels. Runs of neighbouring rows that touch,
    also diagonally, are merged with a union-find whose every step works on all pairs at once; an
    image has far fewer runs than pixels, and noise costs time in proportion to its runs.

    Args:
        mask: ``(H, W)`` bool.
        anomaly_map: ``(H, W)`` float32, where the peaks are read.
        max_regions: At most so many are returned: noise must not flood a report.

    Raises:
        DataError: The shapes differ or are not two-dimensional.

    Example:
        >>> import numpy as np
        >>> from blemish.inspection.prediction import find_regions
        >>> amap = np.array([[0, 3, 0, 0], [2, 0, 0, 0], [0, 0, 0, 7]], np.float32)
        >>> for region in find_regions(amap > 1, amap):
        ...     print(region.box, region.area, region.peak)
        (3, 2, 4, 3) 1 7.0
        (0, 0, 2, 2) 2 3.0
    """
    if mask.ndim != 2 or mask.shape != anomaly_map.shape:
        raise DataError(
            f"The mask has shape {mask.shape} and the anomaly map {anomaly_map.shape}; both must "
            "be (height, width) of the same image."
        )
    mask = np.ascontiguousarray(mask, dtype=np.bool_)
    rows, starts, ends = _runs(mask)  # (R,) each
    if len(rows) == 0 or max_regions <= 0:
        return ()
    labels = _merge(len(rows), *_touching(rows, starts, ends, mask.shape[1]))  # (R,)
    lengths = ends - starts  # (R,)
    # Every run, and what lies between it and the next, is a slice of the map: nothing is copied.
    flat = np.ascontiguousarray(anomaly_map).ravel()
    bounds = (rows[:, None] * mask.shape[1] + np.stack([starts, ends], 1)).ravel()  # (2R,)
    peaks = np.maximum.reduceat(flat, bounds[: -1 if bounds[-1] == flat.size else None])[::2]

    # Sorted by label, each region is a slice of the runs.
    order = np.argsort(labels, kind="stable")  # (R,)
    first = np.flatnonzero(np.diff(labels[order], prepend=-1))  # (K,)
    area = np.add.reduceat(lengths[order], first)  # (K,)
    peak = np.maximum.reduceat(peaks[order], first)
    left = np.minimum.reduceat(starts[order], first)
    right = np.maximum.reduceat(ends[order], first)
    top = np.minimum.reduceat(rows[order], first)
    bottom = np.maximum.reduceat(rows[order], first) + 1
    # Equal peaks: the larger area, then the upper left one, so that the order is always the same.
    best = np.lexsort((left, top, -area, -peak))[:max_regions]
    return tuple(
        Region(
            box=(int(left[i]), int(top[i]), int(right[i]), int(bottom[i])),
            area=int(area[i]),
            peak=float(peak[i]),
        )
        for i in best
    )


def _runs(mask: NDArray[np.bool_]) -> tuple[Indices, Indices, Indices]:
    """Row, first column and column past the end of every run, in reading order. (R,) each."""
    height, width = mask.shape
    # An empty column ends the runs of each row, so that the whole image is one line.
    line = np.zeros((height, width + 1), np.bool_)  # (H, W + 1)
    line[:, :width] = mask
    flat = line.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1  # start, end, start, end, …
    if flat.size and flat[0]:
        changes = np.concatenate(([0], changes))
    rows, starts = np.divmod(changes[0::2], width + 1)
    return rows, starts, changes[1::2] - rows * (width + 1)


def _touching(rows: Indices, starts: Indices, ends: Indices, width: int) -> tuple[Indices, Indices]:
    """All pairs of runs in neighbouring rows that touch, diagonals included. (P,) each."""
    # One ascending key over the whole image; a row's keys end before the next row's begin.
    stride = width + 1
    below = (rows + 1) * stride
    from_ = np.searchsorted(rows * stride + ends, below + starts, side="left")  # ends >= my start
    to = np.searchsorted(rows * stride + starts, below + ends, side="right")  # starts <= my end
    counts = np.maximum(to - from_, 0)  # (R,)
    upper = np.repeat(np.arange(len(rows)), counts)  # (P,)
    offset = np.arange(len(upper)) - np.repeat(np.cumsum(counts) - counts, counts)
    return upper, np.repeat(from_, counts) + offset


def _merge(n: int, a: Indices, b: Indices) -> Indices:
    """For each of n runs the smallest run connected with it through the pairs (a, b). (n,)"""
    root = np.arange(n)
    while len(a):
        # Every root that has a smaller neighbour is hung below it; then all point to their root.
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while True:
            above = root[root]
            if np.array_equal(above, root):
                break
            root = above
        a, b = root[a], root[b]
        apart = a != b
        a, b = a[apart], b[apart]
    return root
