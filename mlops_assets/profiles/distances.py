"""How far one column lies from another, read from their sketches alone: from 0 to 1."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from mlops_assets.profiles.column import Column, Kind
from mlops_assets.profiles.sketches import Points

MIN_EXPECTED = 5  # rows a category is expected to have in a window before it stands for itself


def kolmogorov_smirnov(left: Points, right: Points) -> float:
    """Return the largest difference of the two distribution functions."""
    at = np.concatenate([left.values, right.values])
    return float(np.max(np.abs(_shares_up_to(left, at) - _shares_up_to(right, at))))


def total_variation(left: Column, right: Column, kept: Collection[str]) -> float:
    """Return half the sum of the differences in share, all categories but ``kept`` as one."""
    names = sorted(kept)
    gap = _shares(left, names) - _shares(right, names)
    return float((np.abs(gap).sum() + abs(gap.sum())) / 2)  # the pooled rest differs by -sum


def kept_categories(reference: Column, window_values: float) -> tuple[str, ...]:
    """Return the categories of which a window of so many values should hold 5 rows or more."""
    per_row = window_values / max(reference.values, 1)
    return tuple(
        name for name, count in reference.categories.items() if count * per_row >= MIN_EXPECTED
    )


def distance(reference: Column, window: Column, kind: Kind, kept: Collection[str] = ()) -> float:
    """Return the distance of a window's column from the reference's.

    Without a single value on one side, or where numbers became text, it is 1; on both sides, 0.
    """
    if kind == "none":
        return 0.0
    if not window.values or not reference.values:
        return float(bool(window.values) != bool(reference.values))
    if window.kind != kind or reference.kind != kind:
        return 1.0
    if kind == "ks":
        return kolmogorov_smirnov(reference.points, window.points)
    return total_variation(reference, window, kept)


def distance_to_rest(
    reference: Column, window: Column, kind: Kind, kept: Collection[str] = ()
) -> float:
    """Return the distance of one of the reference's own windows from the rest of the reference.

    Needs no second merge: with w the window's share of the reference's values,
    F(window) - F(rest) = (F(window) - F(reference)) / (1 - w), and the same for shares of
    categories pooled by the reference.
    """
    whole = distance(reference, window, kind, kept)
    if kind == "none" or not window.values or window.kind != kind:
        return whole
    rest = 1 - window.values / reference.values
    if rest <= 0:
        return 1.0  # every other window is empty here
    return min(1.0, whole / rest)


def null_change(reference: Column, window: Column) -> float:
    """Return by how much the share of rows without a finite value rose; -1 to 1."""
    return window.missing_share - reference.missing_share


def _shares_up_to(
    points: Points, at: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    padded = np.concatenate([[0.0], points.cumulative])
    return padded[np.searchsorted(points.values, at, side="right")]


def _shares(column: Column, names: list[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    counts = column.categories
    return np.array([counts.get(name, 0) for name in names], dtype=np.float64) / column.values
