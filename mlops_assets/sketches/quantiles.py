"""Two sketches of a column, quantiles and distinct values, and how they are read back.

KLL sketches are written in the DataSketches wire format instead of being updated value by value:
faster, and deterministic where native compaction tosses coins. The layout belongs to the pinned
whylogs-sketching wheel, so it is tried once per process against the wheel itself; where it does
not hold, native updates take its place (and profiles of over 1,024 rows stop being reproducible
byte for byte).
"""

from __future__ import annotations

import functools
import struct
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

K = 1024  # whylogs' kll_k_large
_M = 8
_HLL_LG_K = 12  # whylogs' hll_lg_k
_IN_ORDER = 4096  # a sketch of more values than a few hundred no longer lists them
MOST_POINTS = 1 << 15  # values kept of a distribution while a column is read

_loading, _loaded = threading.Lock(), False
_HEADER = struct.Struct("<BBBBHBxQHBxxxxx")  # 24 bytes: six preamble ints


@dataclass(frozen=True)
class Points:
    """An empirical distribution: values ascending, and how many rows each stands for."""

    values: Floats
    weights: Counts

    @functools.cached_property
    def cumulative(self) -> Floats:
        """Share of rows at or below each value; empty for no rows."""
        total = self.weights.sum()
        return np.cumsum(self.weights) / total if total else np.empty(0)

    @classmethod
    def joined(cls, parts: Iterable[Points]) -> Points:
        """Return the distribution of all rows of all parts."""
        kept = [part for part in parts if len(part.values)]
        if not kept:
            return cls(np.empty(0), np.empty(0, dtype=np.int64))
        values = np.concatenate([part.values for part in kept])
        weights = np.concatenate([part.weights for part in kept])
        order = np.argsort(values, kind="stable")
        return cls(values[order], weights[order])

    def reduced(self) -> Points:
        """Return the same by at most 32,768 values; a rank moves by 1 / 65,536 of the rows at most.

        Each stands for a block of neighbouring ranks and is its middle.
        """
        starts = np.flatnonzero(np.concatenate([[True], self.values[1:] != self.values[:-1]]))
        if len(starts) <= MOST_POINTS:
            return Points(self.values[starts], np.add.reduceat(self.weights, starts))
        ends = np.cumsum(self.weights)
        middles, weights = blocks_of_ranks(int(ends[-1]))
        return Points(self.values[np.searchsorted(ends, middles, "right")], weights)


def kll(points: Points, low: float, high: float) -> bytes:
    """Return the KLL sketch (k = 1024, doubles) of ``points``, none of which is NaN.

    Up to 1,024 rows exactly. Above, blocks of 2^H neighbouring ranks are kept by their middle at
    level H and the remainder in binary at the lower levels, so that the weights add up to n; a
    rank is off by at most half a block, between n / 2048 and n / 1024 rows. ``low`` and ``high`` are the exact
    extremes, which the blocks may have lost.
    """
    total = int(points.weights.sum())
    if total > K and _layout_holds():
        return _written(points, total, low, high)
    return _updated(np.repeat(points.values, points.weights))


def kll_points(sketch: bytes) -> Points:
    """Return the values and weights a KLL sketch retains; a stock sketch will do."""
    if _layout_holds():
        return _read(sketch)
    native = sketching().kll_doubles_sketch.deserialize(sketch)
    total = native.get_n()
    steps = min(total, 2 * K)
    if not steps:
        return Points(np.empty(0), np.empty(0, dtype=np.int64))
    edges = np.linspace(0, total, steps + 1).astype(np.int64)
    middles = (edges[:-1] + edges[1:]) / (2 * total)
    return Points(np.array(native.get_quantiles(middles.tolist())), np.diff(edges))


def kll_extremes(sketch: bytes) -> tuple[float, float]:
    """Return the smallest and largest value that was sketched; NaN for none."""
    native = sketching().kll_doubles_sketch.deserialize(sketch)
    return float(native.get_min_value()), float(native.get_max_value())


def blocks_of_ranks(total: int) -> tuple[Counts, Counts]:
    """Cut ranks 0 to ``total`` into 32,768 like blocks; return the middle and size of each."""
    edges = np.arange(MOST_POINTS + 1, dtype=np.int64) * total // MOST_POINTS
    return (edges[:-1] + edges[1:]) // 2, np.diff(edges)


class Distinct:
    """Counts distinct values in a HyperLogLog sketch; equal values give equal bytes.

    Numbers come ascending. Texts may come in any order: where there are many, the sketch is passed
    through a union, which forgets the order of arrival (and with it the slightly better estimate
    that depends on it).
    """

    def __init__(self) -> None:
        self._sketch = sketching().hll_sketch(_HLL_LG_K)
        self._any_order = False

    def numbers(self, values: NDArray[Any]) -> None:
        """Add ascending floats, or integers of 64 bits."""
        if len(values):
            self._sketch.update_np(values)

    def texts(self, values: pl.Series) -> None:
        """Add texts that are not null."""
        if len(values) <= _IN_ORDER:
            values = values.sort()
        else:
            self._any_order = True
        if len(values):
            self._sketch.update_str_list(values.to_list())

    def sketch(self) -> bytes:
        """Return the sketch as bytes."""
        if not self._any_order:
            return bytes(self._sketch.serialize_compact())
        own = bytes(self._sketch.serialize_compact())
        return hll_union([own, own])


def hll_union(sketches: Iterable[bytes]) -> bytes:
    """Return the sketch of the values of all."""
    native = sketching()
    union = native.hll_union(_HLL_LG_K)
    for sketch in sketches:
        union.update(native.hll_sketch.deserialize(sketch))
    return bytes(union.get_result(native.tgt_hll_type.HLL_4).serialize_compact())


def hll_estimate(sketch: bytes) -> float:
    """Return the estimated number of distinct values (about 1.6% standard error)."""
    return float(sketching().hll_sketch.deserialize(sketch).get_estimate())


def sketching() -> Any:
    """Return the sketches' library, ready for several threads.

    With the first array it ever sees it imports a part of numpy while it holds a lock of its own.
    Two threads at once would wait for each other forever, so that is done here.
    """
    global _loaded  # noqa: PLW0603 - once per process
    import whylogs_sketching  # 25 ms; not whylogs

    with _loading:
        if not _loaded:
            whylogs_sketching.hll_sketch(_HLL_LG_K).update_np(np.zeros(1))
            _loaded = True
    return whylogs_sketching


def _updated(values: Floats) -> bytes:
    sketch = sketching().kll_doubles_sketch(k=K)
    if len(values):
        sketch.update(np.ascontiguousarray(values, dtype=np.float64))
    return bytes(sketch.serialize())


def _written(points: Points, total: int, low: float, high: float) -> bytes:
    height = max(0, (total - 1).bit_length() - (K.bit_length() - 1))
    ranks, sizes, start = [], [], 0
    blocks = np.arange(total >> height, dtype=np.int64) << height
    top = blocks + (1 << height) // 2
    start = len(blocks) << height
    for level in reversed(range(height)):
        if total >> level & 1:
            ranks.append(start + (1 << level) // 2)
            sizes.append(level)
            start += 1 << level
    ends = np.cumsum(points.weights)
    lower = points.values[np.searchsorted(ends, np.array(ranks[::-1], dtype=np.int64), "right")]
    items = np.concatenate([lower, points.values[np.searchsorted(ends, top, "right")]])
    per_level = [int(level in sizes) for level in range(height)]
    first = _capacity(height + 1) - len(items)
    offsets = first + np.concatenate([[0], np.cumsum(per_level)])
    return (
        _HEADER.pack(6, 1, 15, 0, K, _M, total, K, height + 1)
        + offsets.astype("<u4").tobytes()
        + struct.pack("<dd", low, high)
        + items.astype("<f8").tobytes()
    )


def _read(sketch: bytes) -> Points:
    flags = sketch[3]
    if flags & 1:  # empty
        return Points(np.empty(0), np.empty(0, dtype=np.int64))
    if flags & 4:  # one value, no preamble
        return Points(np.frombuffer(sketch, "<f8", 1, 8).copy(), np.ones(1, dtype=np.int64))
    _, _, _, _, _, _, _, _, levels = _HEADER.unpack_from(sketch)
    offsets = np.frombuffer(sketch, "<u4", levels, _HEADER.size).astype(np.int64)
    values = np.frombuffer(sketch, "<f8", -1, _HEADER.size + 4 * levels + 16)
    sizes = np.diff(np.append(offsets, offsets[0] + len(values)))
    weights = np.repeat(np.left_shift(1, np.arange(levels, dtype=np.int64)), sizes)
    order = np.argsort(values, kind="stable")
    return Points(values[order], weights[order])


def _capacity(levels: int) -> int:
    """Items a KLL sketch of so many levels has room for (DataSketches' kll_helper)."""
    return sum(max(_M, (((2 * K << depth) // 3**depth) + 1) >> 1) for depth in range(levels))


@functools.cache
def _layout_holds() -> bool:
    """Whether this wheel writes and reads the layout above: one native sketch, one of ours."""
    values = np.arange(5003, dtype=np.float64)
    native_class = sketching().kll_doubles_sketch
    try:
        native = native_class(k=K)
        native.update(values)
        seen = _read(native.serialize())
        ours = native_class.deserialize(
            _written(Points(values, np.ones(5003, dtype=np.int64)), 5003, 0.0, 5002.0)
        )
        ours.merge(native)  # a layout that is only half right breaks here
        middle = ours.get_quantile(0.5)
    except (RuntimeError, ValueError, struct.error):
        return False
    return (
        int(seen.weights.sum()) == 5003
        and ours.get_n() == 10006
        and (ours.get_min_value(), ours.get_max_value()) == (0.0, 5002.0)
        and abs(middle - 2501) < 60
        and abs(float(np.interp(0.5, seen.cumulative, seen.values)) - 2501) < 60
    )
