"""Slow and obvious versions of the metrics: loops over thresholds, pixels and regions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


def thresholds_of(values: NDArray) -> list[float]:
    return sorted({float(v) for v in values.ravel()}, reverse=True)


def components_by_flood_fill(mask: NDArray) -> list[list[tuple[int, int]]]:
    """8-connected components, by hand, so as not to trust the library under test."""
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}
    components = []
    while left:
        stack, component = [left.pop()], []
        while stack:
            y, x = stack.pop()
            component.append((y, x))
            for neighbour in [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]:
                if neighbour in left:
                    left.remove(neighbour)
                    stack.append(neighbour)
        components.append(component)
    return components


def area_to_limit(points: list[tuple[float, float]], limit: float) -> float:
    """Trapezoids between consecutive points, the one across the limit cut by interpolation."""
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 >= limit:
            break
        if x1 > limit:
            y1 = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            x1 = limit
        area += (x1 - x0) * (y0 + y1) / 2
    return area / limit


def aupro_by_loops(maps: list[NDArray], masks: list[NDArray], limit: float) -> float:
    regions = [
        (index, component)
        for index, mask in enumerate(masks)
        for component in components_by_flood_fill(mask)
    ]
    normals = sum(int((~mask).sum()) for mask in masks)
    points = [(0.0, 0.0)]
    for threshold in thresholds_of(np.concatenate([m.ravel() for m in maps])):
        false = sum(
            int(((m >= threshold) & ~mask).sum()) for m, mask in zip(maps, masks, strict=True)
        )
        covered = [
            sum(float(maps[i][p]) >= threshold for p in component) / len(component)
            for i, component in regions
        ]
        points.append((false / normals, sum(covered) / len(covered)))
    return area_to_limit(points, limit)


def au_spro_by_loops(
    maps: list[NDArray],
    channels: list[list[NDArray]],
    saturation: list[list[int]],
    limit: float,
) -> float:
    unions = [
        np.any([c != 0 for c in image], axis=0) if image else np.zeros(m.shape, bool)
        for m, image in zip(maps, channels, strict=True)
    ]
    normals = sum(int((~union).sum()) for union in unions)
    points = [(0.0, 0.0)]
    for threshold in thresholds_of(np.concatenate([m.ravel() for m in maps])):
        false = sum(
            int(((m >= threshold) & ~union).sum()) for m, union in zip(maps, unions, strict=True)
        )
        found = [
            min(int(((m >= threshold) & (c != 0)).sum()) / area, 1.0)
            for m, image, areas in zip(maps, channels, saturation, strict=True)
            for c, area in zip(image, areas, strict=True)
        ]
        points.append((false / normals, sum(found) / len(found)))
    return area_to_limit(points, limit)


def ader_f1_max_by_loops(maps: list[NDArray], masks: list[NDArray]) -> float:
    pixels = np.stack(maps)
    truth = np.stack(masks)
    scaled = (pixels - pixels.min()) / (pixels.max() - pixels.min())
    best = 0.0
    for threshold in np.arange(0, 1.001, 0.05):
        called = scaled > threshold
        both = int((called & truth).sum())
        precision = both / (int(called.sum()) + 1e-8)
        recall = both / (int(truth.sum()) + 1e-8)
        best = max(best, 2 * precision * recall / (precision + recall + 1e-8))
    return best


def blobs(
    rng: np.random.Generator, *, images: int, size: tuple[int, int] = (48, 40), defects: int = 3
) -> tuple[list[NDArray], list[NDArray]]:
    """Noisy float32 maps that rise inside boxes and around them, and the boxes as masks."""
    maps, masks = [], []
    for index in range(images):
        mask = np.zeros(size, bool)
        for _ in range(defects if index % 4 else 0):
            y, x = rng.integers(0, size[0] - 9), rng.integers(0, size[1] - 9)
            mask[y : y + rng.integers(2, 9), x : x + rng.integers(2, 9)] = True
        noise = rng.standard_normal(size) + 1.2 * mask + 0.8 * np.roll(mask, 2, axis=1)
        maps.append(noise.astype(np.float32))
        masks.append(mask)
    return maps, masks
