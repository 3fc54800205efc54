"""Frequent items: how often each value stands in a column, and by how much that may be off.

Counted exactly as far as memory allows and then written in the DataSketches wire format: faster
than updating item by item, and the same bytes for the same rows. The layout belongs to the pinned
whylogs-sketching wheel, so it is tried once per process against the wheel itself; where it does
not hold, native updates take its place.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable, Sequence

import polars as pl

from mlops_assets.sketches.quantiles import sketching

MAX_LENGTH = 128  # characters; whylogs' max_frequent_item_size
_LG_SIZE = 10  # whylogs' fi_lg_max_k
MOST_ITEMS = 768  # three quarters of 2^10
_KEPT = 1 << 16  # items counted exactly while a column is read
_SCHEMA = {"item": pl.String, "count": pl.Int64}

_HEADER = struct.Struct("<BBBBBBHIIQQ")  # 32 bytes: four preamble longs


class ItemCounts:
    """Counts by item: exact for up to 65,536 items, beyond that as by Misra and Gries (1982).

    What is cut off is subtracted from every count and added to one offset, so that a true count
    lies between the kept count and that plus the offset, which is at most rows / 65,536.
    """

    def __init__(self) -> None:
        self._counts = pl.DataFrame(schema=_SCHEMA)
        self._offset = 0
        self._total = 0

    def add(self, counted: pl.DataFrame, rows: int, left_out: int = 0) -> None:
        """Add distinct items with their counts in ``rows`` rows: columns item and count.

        An item that is not among them came at most ``left_out`` times.
        """
        self._total += rows
        self._offset += left_out
        counted = counted.select(
            pl.col("item").cast(pl.String), pl.col("count").cast(pl.Int64) - left_out
        )
        longest = counted["item"].str.len_bytes().max()
        long = isinstance(longest, int) and longest > MAX_LENGTH
        if long:
            counted = counted.with_columns(pl.col("item").str.slice(0, MAX_LENGTH))
        if long or self._counts.height:
            self._counts = pl.concat([self._counts, counted]).group_by("item").sum()
        else:
            self._counts = counted
        self._cut(_KEPT)

    def sketch(self) -> bytes:
        """Return the sketch: up to 768 items as counted, beyond that the most frequent ones."""
        self._cut(MOST_ITEMS)
        counts = self._counts.sort("count", "item", descending=[True, False])
        items, weights = counts["item"].to_list(), counts["count"].to_list()
        if items and _layout_holds():
            return _written(items, weights, self._total, self._offset)
        return _updated(items, weights)

    def _cut(self, size: int) -> None:
        if self._counts.height > size:
            cut = int(self._counts["count"].top_k(size + 1).min())  # type: ignore[arg-type]  # Polars types a minimum as anything
            kept = self._counts.filter(pl.col("count") > cut)
            self._counts = kept.with_columns(pl.col("count") - cut)
            self._offset += cut


def union(sketches: Iterable[bytes]) -> bytes:
    """Return the sketch of the items of all."""
    library = sketching().frequent_strings_sketch
    merged = library(_LG_SIZE)
    for sketch in sketches:
        merged.merge(library.deserialize(sketch))
    return bytes(merged.serialize())


def counts_of(sketch: bytes) -> dict[str, int]:
    """Return item to estimated count, in the order of items."""
    library = sketching()
    items = library.frequent_strings_sketch.deserialize(sketch).get_frequent_items(
        library.frequent_items_error_type.NO_FALSE_NEGATIVES
    )
    return dict(sorted((str(item[0]), int(item[1])) for item in items))


def _updated(items: Sequence[str], weights: Sequence[int]) -> bytes:
    sketch = sketching().frequent_strings_sketch(_LG_SIZE)
    for item, weight in zip(items, weights, strict=True):
        sketch.update(item, weight)
    return bytes(sketch.serialize())


def _written(items: Sequence[str], weights: Sequence[int], total: int, offset: int) -> bytes:
    size = 3  # the smallest table; three quarters of one may be filled
    while 4 * len(items) > 3 << size:
        size += 1
    header = _HEADER.pack(4, 1, 10, _LG_SIZE, size, 0, 0, len(items), 0, total, offset)
    texts = [item.encode() for item in items]
    return b"".join(
        [
            header,
            struct.pack(f"<{len(weights)}Q", *weights),
            *(len(text).to_bytes(4, "little") + text for text in texts),
        ]
    )


@functools.cache
def _layout_holds() -> bool:
    """Whether this wheel reads the layout above, and writes the same."""
    library = sketching()
    items = [f"item {number}é" for number in range(MOST_ITEMS)]
    weights = list(range(1, MOST_ITEMS + 1))
    total, offset = sum(weights) + 7, 3
    try:
        ours = library.frequent_strings_sketch.deserialize(_written(items, weights, total, offset))
        own = library.frequent_strings_sketch(_LG_SIZE)
        own.update("one", 5)
        own.merge(ours)  # a layout that is only half right breaks here
        found = {
            str(item): tuple(counts)
            for item, *counts in ours.get_frequent_items(
                library.frequent_items_error_type.NO_FALSE_NEGATIVES
            )
        }
    except (RuntimeError, ValueError):
        return False
    expected = {
        item: (weight + offset, weight, weight + offset)  # estimate, lower, upper bound
        for item, weight in zip(items, weights, strict=True)
    }
    return found == expected and own.get_total_weight() == total + 5
