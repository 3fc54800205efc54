"""How far one column lies from another, read from their sketches alone.

``distance`` is what the verdict is made of: from 0 to 1, and comparable between columns. The
population stability index and the Wasserstein distance stand beside it for people who expect to
read them; nothing is decided by them.

What a sketch costs, against the same statistic of the raw rows (a KLL sketch of k = 1024 is off by
at most n / 1024 rows in any rank; up to 1,024 rows it holds every row, and nothing is lost):

    Kolmogorov-Smirnov   .003 where both sides were sketched once, .004 for a merged reference
    total variation      0 for up to 768 categories
    PSI                  .02 + a tenth of itself, in deciles of a continuous column
    Wasserstein / sd     .005 + 1% of itself; .05 + 5% where a thousandth of the rows holds the variance
    cardinality          8% (five standard errors of HyperLogLog's 1.6%)
    null change          0
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from mlops_assets.sketches.column import Column, Kind
from mlops_assets.sketches.quantiles import Points

Floats = NDArray[np.float64]

MIN_EXPECTED = 5  # rows a category is expected to have in a window before it stands for itself
_DECILES = np.arange(1, 10) / 10
_LEAST_SHARE = 1e-3  # what a sketch can tell from nothing; an empty bin would make PSI infinite


def kolmogorov_smirnov(gap: Floats) -> Floats:
    """Return the largest of the last axis: differences of two distribution functions."""
    return np.max(np.abs(gap), axis=-1)  # type: ignore[no-any-return]  # numpy types a reduction as anything


def total_variation(gap: Floats) -> Floats:
    """Return half the sum over the last axis: differences in share, the pooled rest's not given."""
    pooled = np.abs(gap.sum(axis=-1))  # all shares add up to 1: the rest differs by -sum
    return (np.abs(gap).sum(axis=-1) + pooled) / 2  # type: ignore[no-any-return]  # likewise


def as_if_new(whole: Floats | float, share: Floats | float) -> Floats:
    """Return an own window's distance from the reference on the scale of a new window's.

    ``share`` is its part w of the reference's values. Against the rest alone it would be 1 / (1 -
    w) times as far, and seem too far by sqrt(1 / (1 - w^2)), since a new window is compared with
    all: what chance makes of either (the windows' own ways as well as the rows') has 1 + w / (1 -
    w) and 1 + w times a window's variance. So the factor is sqrt((1 + w) / (1 - w)); at most 1.
    """
    return np.minimum(1.0, whole * np.sqrt((1 + share) / (1 - share)))


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
        left, right = reference.points, window.points
        at = np.concatenate([left.values, right.values])
        return float(kolmogorov_smirnov(shares_up_to(left, at) - shares_up_to(right, at)))
    names = sorted(kept)
    return float(
        total_variation(category_shares(reference, names) - category_shares(window, names))
    )


def own_distance(
    reference: Column, window: Column, kind: Kind, kept: Collection[str] = ()
) -> float:
    """Return the distance of one of the reference's own windows, as if it were a new one.

    With w its share of the reference's values, F(window) - F(rest) is (F(window) - F(reference)) /
    (1 - w), and the same for shares of categories pooled by the reference: no second merge is
    needed. See ``as_if_new`` for the scale.
    """
    whole = distance(reference, window, kind, kept)
    if kind == "none" or not window.values or window.kind != kind:
        return whole
    share = window.values / reference.values
    if share >= 1:
        return 1.0  # every other window is empty here
    return float(as_if_new(whole, share))


def population_stability(
    reference: Column, window: Column, kind: Kind, kept: Collection[str] = ()
) -> float | None:
    """Return the population stability index: the sum of (q - p) ln(q / p) over bins, 0 or more.

    Bins are the reference's deciles, with what lies below a lowest value that fills the first one
    apart; or the categories ``kept`` and all others as one. A share below .001 counts as .001. None
    without a single value on one side, or where numbers became text.
    """
    if kind == "none" or not (reference.kind == window.kind == kind):
        return None
    if kind == "ks":
        points = reference.points
        edges = np.unique(points.values[np.searchsorted(points.cumulative, _DECILES)])
        shares = [
            _shares_between(column.points, edges, points.values[0])
            for column in (reference, window)
        ]
    else:
        named = [category_shares(column, sorted(kept)) for column in (reference, window)]
        shares = [np.append(share, 1 - share.sum()) for share in named]
    before, now = (np.maximum(share, _LEAST_SHARE) for share in shares)
    return float(np.sum((now - before) * np.log(now / before)))


def wasserstein(reference: Column, window: Column) -> float | None:
    """Return the area between the two distribution functions, in sd of the reference.

    None where one side has no number, or the reference no spread to measure by.
    """
    left, right = reference.points, window.points
    if not len(left.values) or not len(right.values) or reference.values < 2:
        return None
    sd = np.sqrt(reference.number("distribution/m2") / (reference.values - 1))
    # of equal values, what the sum of squares was rounded by is left
    if reference.constant or sd <= 1e-12 * abs(reference.number("distribution/mean")):
        return None
    at = np.sort(np.concatenate([left.values, right.values]))
    gap = np.abs(shares_up_to(left, at) - shares_up_to(right, at))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # 1e308 - -1e308
        moved = float(np.sum(gap[:-1] * np.diff(at)) / sd)
    return moved if np.isfinite(moved) else None


def cardinality_change(reference: Column, window: Column) -> float | None:
    """Return how many distinct values the window has for each one of the reference; None for none.

    A window is smaller than its reference, so what is usual is what the reference's own windows
    have, not 1.
    """
    return window.distinct / reference.distinct if reference.distinct else None


def null_change(reference: Column, window: Column) -> float:
    """Return by how much the share of rows without a finite value rose; -1 to 1."""
    return window.missing_share - reference.missing_share


def shares_up_to(points: Points, at: Floats) -> Floats:
    """Return the distribution function at these values; 0 throughout for no rows."""
    padded = np.concatenate([[0.0], points.cumulative])
    return padded[np.searchsorted(points.values, at, side="right")]


def _shares_between(points: Points, edges: Floats, lowest: float) -> Floats:
    """Return the shares up to the first edge, between neighbours, and beyond the last."""
    cuts = shares_up_to(points, edges)
    if edges[0] == lowest:  # a value that fills a decile: what lies below it is another bin
        below = np.searchsorted(points.values, lowest, side="left")
        cuts = np.append(points.cumulative[below - 1] if below else 0.0, cuts)
    return np.diff(np.concatenate([[0.0], cuts, [1.0]]))


def category_shares(column: Column, names: Sequence[str]) -> Floats:
    """Return the shares of these categories among the column's values, of which there are some."""
    counts = column.categories
    return np.array([counts.get(name, 0) for name in names], dtype=np.float64) / column.values
