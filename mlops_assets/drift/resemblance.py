"""How much a window of the reference resembles the one before it.

Where weeks follow each other in spells (a season, a campaign, an outage), 26 of them tell less
about what is usual than 26 that came in any order, and what exceeds a limit does so twice in a row.
The order of the reference's own windows shows it: neighbours lean to the same side of the
reference, in each feature and by how much it counts.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mlops_assets.drift.distances import category_shares, shares_up_to
from mlops_assets.sketches.column import Column

SHUFFLES = 99  # what is seen in fewer than 5 of them is no accident of the order
_NEWEST = 2000  # windows are enough to see it by, and all pairs of them still fit into memory
_MOST = 0.9  # beyond it nothing could be told any more
_POINTS = np.arange(1, 32) / 32  # of the reference's distribution, where windows are compared

Neighbours = tuple[float, ...]
"""Mean squared lean of a window, mean product of neighbours' leans, and that of shuffled ones."""


def neighbours(
    reference: Column, own: Sequence[Column], kept: Sequence[str], distances: Sequence[float]
) -> Neighbours:
    """Return what one column says of the own windows' order, oldest first.

    A window leans by the differences of its distribution function (or of its categories' shares)
    from the reference's; all are scaled so that they are as long as the own ``distances``, which
    are what the score is made of. Shuffles are the same for every column of a reference, so that
    these figures can be added up.
    """
    return order_figures(_leans(reference, own, kept), np.asarray(distances))


def order_figures(leans: NDArray[np.float64], distances: NDArray[np.float64]) -> Neighbours:
    """Return the figures of leans (windows x points) that belong to these distances."""
    leans, distances = leans[-_NEWEST:], distances[-_NEWEST:]
    windows = len(leans)
    length, wanted = float(np.sum(leans**2)), float(np.sum(distances**2))
    if windows < 2 or not length:
        return (0.0,) * (2 + SHUFFLES)
    products = leans @ leans.T * (wanted / length)
    orders = _orders(windows)
    neighbouring = products[orders[:, 1:], orders[:, :-1]].mean(axis=1)
    return (wanted / windows, *neighbouring.tolist())


def resemblance(columns: Mapping[str, Neighbours], shares: Mapping[str, float]) -> float:
    """Return the correlation of neighbouring windows, from 0 to .9.

    Each column counts by the square of its share of the score. 0 unless at most 4 of the 99
    shuffled orders show as much (a permutation test at 5%): a reference whose windows came in any
    order is judged as one. The mean of the shuffled orders is what no resemblance looks like,
    since deviations from a common mean are a little opposed to each other.
    """
    total = np.zeros(2 + SHUFFLES)
    for name, figures in columns.items():
        total += shares[name] ** 2 * np.asarray(figures)
    spread, found, shuffled = total[0], total[1], total[2:]
    if not spread or np.sum(shuffled >= found - 1e-12 * spread) > SHUFFLES // 20:
        return 0.0
    return float(np.clip((found - shuffled.mean()) / spread, 0.0, _MOST))


def _leans(reference: Column, own: Sequence[Column], kept: Sequence[str]) -> NDArray[np.float64]:
    usual = np.median([column.values for column in own])
    rows = []
    if reference.kind == "ks":
        points = reference.points
        at = points.values[np.searchsorted(points.cumulative, _POINTS)]
    for column in own:
        if reference.kind == "none" or column.kind != reference.kind:
            rows.append(np.zeros(1))
        elif reference.kind == "ks":
            rows.append(shares_up_to(column.points, at) - shares_up_to(points, at))
        else:
            gap = category_shares(column, kept) - category_shares(reference, kept)
            rows.append(np.append(gap, -gap.sum()))
    width = max(map(len, rows), default=1)
    leans = np.zeros((len(own), width))
    for place, (row, column) in enumerate(zip(rows, own, strict=True)):
        # a short window leans anywhere
        leans[place, : len(row)] = row * min(1.0, column.values / usual) if usual else 0.0
    return leans


@functools.lru_cache(maxsize=4)
def _orders(windows: int) -> NDArray[np.int64]:
    """Return the true order and the shuffled ones, the same for every column."""
    random = np.random.default_rng(0)
    shuffled = [random.permutation(windows) for _ in range(SHUFFLES)]
    return np.stack([np.arange(windows), *shuffled])
