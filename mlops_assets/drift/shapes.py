"""What a person sees of two distributions: shares in the same bins, read from their sketches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlops_assets.drift.distances import category_shares, shares_up_to
from mlops_assets.sketches.column import Column, Kind

BINS = 24
MOST_CATEGORIES = 9  # beside all others as one
OTHERS = "others"
_FEW = 12  # distinct numbers that are shown each by itself
_TAIL = 0.005  # on either side, that would stretch the rest into a corner


@dataclass(frozen=True)
class Shape:
    """Shares of the reference's and of the window's values, bin by bin, 0 to 1 each.

    ``edges`` has one number more than there are bins, or is empty where ``names`` are theirs.
    """

    before: tuple[float, ...]
    now: tuple[float, ...]
    edges: tuple[float, ...] = ()
    names: tuple[str, ...] = ()


def shape(reference: Column, window: Column, kind: Kind) -> Shape | None:
    """Return both in bins of their own kind; None where there is nothing to show."""
    if kind == "none" or not (reference.kind == window.kind == kind):
        return None
    return _categories(reference, window) if kind == "tv" else _numbers(reference, window)


def _categories(reference: Column, window: Column) -> Shape:
    counts = reference.categories
    usual = sorted(counts, key=lambda name: (-counts[name], name))[:MOST_CATEGORIES]
    shares = [category_shares(column, usual).tolist() for column in (reference, window)]
    rest = [max(0.0, 1 - sum(share)) for share in shares]
    if not any(rest):
        return Shape(tuple(shares[0]), tuple(shares[1]), names=tuple(usual))
    before, now = ((*share, other) for share, other in zip(shares, rest, strict=True))
    return Shape(before, now, names=(*usual, OTHERS))


def _numbers(reference: Column, window: Column) -> Shape:
    sides = (reference.points, window.points)
    distinct = np.unique(np.concatenate([side.values for side in sides]))
    if len(distinct) <= _FEW:
        upto = [np.diff(shares_up_to(side, distinct), prepend=0.0) for side in sides]
        names = tuple(f"{value:g}" for value in distinct)
        return Shape(tuple(upto[0].tolist()), tuple(upto[1].tolist()), names=names)
    ends = [side.values[np.searchsorted(side.cumulative, [_TAIL, 1 - _TAIL])] for side in sides]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    if low == high:  # all but a few are one value
        low, high = distinct[0], distinct[-1]
    edges = np.linspace(low, high, BINS + 1)
    inner = [shares_up_to(side, edges[1:-1]) for side in sides]
    before, now = (
        tuple(np.diff(np.concatenate([[0.0], share, [1.0]])).tolist()) for share in inner
    )
    return Shape(before, now, edges=tuple(edges.tolist()))
