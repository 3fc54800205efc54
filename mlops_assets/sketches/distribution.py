"""The distribution of a column's numbers: moments and quantiles, of blocks of rows and merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_assets.sketches import quantiles
from mlops_assets.sketches.quantiles import MOST_POINTS, Counts, Points, blocks_of_ranks
from mlops_assets.sketches.wire import Components

_CACHED = 1 << 15  # numbers at a time, so that what is made of them stays in the processor's cache


@dataclass(frozen=True)
class Ordered:
    """Finite numbers of a block, ascending.

    Where at most 32,768 of them differ, each stands once, and ``counts`` says how often it came;
    else all stand there and ``counts`` is None.
    """

    values: NDArray[Any]
    counts: Counts | None

    @classmethod
    def of(cls, ordered: NDArray[Any]) -> Ordered:
        """Read ascending numbers."""
        begins = np.empty(len(ordered), dtype=np.bool_)
        begins[:1] = True
        np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
        if np.count_nonzero(begins) > MOST_POINTS:
            return cls(ordered, None)
        starts = np.flatnonzero(begins)
        return cls(ordered[starts], np.diff(starts, append=len(ordered)))

    def frequent(self, least: int) -> tuple[NDArray[Any], Counts]:
        """Return the values that came more often than ``least`` times, and how often they came."""
        if self.counts is not None:
            often = self.counts > least
            return self.values[often], self.counts[often]
        begun = self.values[least:] == self.values[: len(self.values) - least]
        values = np.unique(self.values[least:][begun])
        ends = np.searchsorted(self.values, values, "right")
        return values, ends - np.searchsorted(self.values, values, "left")


@dataclass(frozen=True)
class Moments:
    """Number of values, their mean and the sum of squared deviations from it (m2)."""

    values: int = 0
    mean: float = 0.0
    m2: float = 0.0

    @classmethod
    def of(cls, block: Ordered) -> Moments:
        """Return those of a block; m2 is infinite where its true value is no float."""
        numbers, counts = block.values, block.counts
        total = len(numbers) if counts is None else int(counts.sum())
        if not total:
            return cls()
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float((numbers if counts is None else numbers * counts).sum()) / total
            if not np.isfinite(mean):  # the sum went over 1.8e308
                mean = float((numbers * ((1 if counts is None else counts) / total)).sum())
            m2 = 0.0
            for start in range(0, len(numbers), _CACHED):
                squares = np.square(numbers[start : start + _CACHED] - mean)
                if counts is not None:
                    squares *= counts[start : start + _CACHED]
                m2 += float(squares.sum())
        return cls(total, mean, m2)

    @classmethod
    def joined(cls, parts: Sequence[Moments]) -> Moments:
        """Return those of all values of all parts, by the formula of Chan et al. (1979)."""
        total = sum(part.values for part in parts)
        if not total:
            return cls()
        rows = np.array([part.values for part in parts], dtype=np.float64)
        means = np.array([part.mean for part in parts])
        with np.errstate(over="ignore", invalid="ignore"):  # stock's mean may be NaN
            mean = float(np.sum(means * (rows / total)))
            between = float(np.sum(rows * np.square(means - mean)))
        return cls(total, mean, sum(part.m2 for part in parts) + between)


class Distribution:
    """What is known of numbers that come in blocks, in memory that hardly grows with them.

    Exact for up to 32,768 distinct values. Beyond that two blocks of like rank become one of
    32,768 values (Munro and Paterson 1980), so that a rank is off by at most
    (1 + log2 of the number of blocks) / 65,536 of the rows before the sketch is written.
    """

    def __init__(self) -> None:
        self._levels: list[tuple[int, Points]] = []
        self._moments = Moments()
        self._low, self._high = np.inf, -np.inf

    def add(self, block: Ordered) -> None:
        """Add a block of numbers, as float64."""
        if not len(block.values):
            return
        self._low = min(self._low, float(block.values[0]))
        self._high = max(self._high, float(block.values[-1]))
        self._moments = Moments.joined([self._moments, Moments.of(block)])
        if block.counts is None:
            middles, weights = blocks_of_ranks(len(block.values))
            points = Points(block.values[middles], weights)
        else:
            points = Points(block.values, block.counts)
        level = 0
        while self._levels and self._levels[-1][0] == level:
            _, before = self._levels.pop()
            level, points = level + 1, Points.joined([before, points]).reduced()
        self._levels.append((level, points))

    def components(self) -> Components:
        """Return whylogs' distribution metric."""
        points = Points.joined(points for _, points in self._levels)
        return _components(points, self._moments, self._low, self._high)


def merged(parts: Sequence[Components]) -> Components:
    """Return the distribution of all rows of all parts, from their sketches."""
    points, moments, lows, highs = [], [], [np.inf], [-np.inf]
    for part in parts:
        sketch, mean, m2 = (part[f"distribution/{name}"] for name in ("kll", "mean", "m2"))
        assert isinstance(sketch, bytes)
        assert not isinstance(mean, bytes)
        assert not isinstance(m2, bytes)
        retained = quantiles.kll_points(sketch)
        if len(retained.values):
            low, high = quantiles.kll_extremes(sketch)
            points.append(retained)
            moments.append(Moments(int(retained.weights.sum()), mean, m2))
            lows.append(low)
            highs.append(high)
    return _components(Points.joined(points), Moments.joined(moments), min(lows), max(highs))


def _components(points: Points, moments: Moments, low: float, high: float) -> Components:
    return {
        "distribution/kll": quantiles.kll(points, low, high),
        "distribution/mean": moments.mean,
        "distribution/m2": moments.m2,
    }
