"""What one column has been seen to hold, block by block."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mlops_assets.sketches.distribution import Distribution, Ordered
from mlops_assets.sketches.frequent import MOST_ITEMS, ItemCounts
from mlops_assets.sketches.quantiles import Distinct
from mlops_assets.sketches.wire import Components

Family = Literal["boolean", "integer", "float", "temporal", "text", "binary", "counted"]

_INT64 = np.iinfo(np.int64)
_SAMPLE = 1000  # rows that say whether texts may all differ
#: of integers with more than 768 values, those in so few rows are no frequent items
_LEAST_SHARE = 0.001
_PER_SECOND = {"ms": 1e3, "us": 1e6, "ns": 1e9}
_COUNTS = ("n", "null", "nan", "inf", "true")
_TYPES = ("integral", "fractional", "boolean", "string", "object", "tensor")
#: as what whylogs counts the values of a family; temporal values are Python objects to it
_TYPE_OF = {"boolean": "boolean", "integer": "integral", "float": "fractional", "text": "string"}


def family_of(dtype: pl.DataType) -> Family:
    """Return how values of a dtype are profiled; ``counted`` are those that are only counted."""
    if isinstance(dtype, pl.Boolean):
        return "boolean"
    if dtype.is_integer():
        return "integer"
    if dtype.is_float() or dtype.is_decimal():
        return "float"
    if dtype.is_temporal():
        return "temporal"
    if isinstance(dtype, (pl.String, pl.Categorical, pl.Enum)):
        return "text"
    # a column of nulls has an empty sketch, as any other without values
    return "binary" if isinstance(dtype, (pl.Binary, pl.Null)) else "counted"


class Tracker:
    """The metrics of one column, fed with blocks of its rows.

    As in whylogs, ``null`` counts NaN too. Infinities are counted, and kept out of the
    distribution: one of them would turn the mean into NaN. Dates and times have a distribution of
    seconds (since 1970 UTC, midnight, or of the span), which stock whylogs reads and merges though
    it makes none itself; the smallest and largest say how recent the rows are.
    """

    def __init__(self, dtype: pl.DataType) -> None:
        self._family = family_of(dtype)
        self._counts = {f"counts/{name}": 0 for name in _COUNTS} | {
            f"types/{name}": 0 for name in _TYPES
        }
        self._numbers = Distribution()
        self._distinct = Distinct()
        self._items = ItemCounts()
        self._edges: tuple[int, int] | None = None  # of integers

    def track(self, series: pl.Series) -> None:
        """Take in a block of rows."""
        while isinstance(series.dtype, pl.BaseExtension):
            series = series.ext.storage()
        nulls = series.null_count()
        filled = len(series) - nulls
        self._counts["counts/n"] += len(series)
        self._counts["counts/null"] += nulls
        if not filled:
            return
        values = series.drop_nulls() if nulls else series
        tensors = _tensors(values)
        self._counts["types/tensor"] += tensors
        self._counts[f"types/{_TYPE_OF.get(self._family, 'object')}"] += filled - tensors
        match self._family:
            case "boolean":
                self._counts["counts/true"] += int(values.sum())
            case "integer":
                self._track_integers(values)
            case "float":
                self._track_floats(values.cast(pl.Float64).to_numpy())
            case "temporal":
                self._track_times(values)
            case "text":
                counted = _counted(values)
                self._distinct.texts(counted["item"])
                self._items.add(counted, filled)
            case "binary":
                # latin-1 gives each byte a character of its own: different bytes, different texts;
                # the b before them because the sketch passes over an empty text
                texts = ["b" + value.decode("latin-1") for value in values.unique().to_list()]
                self._distinct.texts(pl.Series(texts, dtype=pl.String))
            case "counted":
                pass

    def components(self) -> Components:
        """Return whylogs' metrics of what has been taken in."""
        out: Components = dict(self._counts)
        if self._family == "counted":
            return out
        if self._family == "boolean":
            self._track_truth()
        out["cardinality/hll"] = self._distinct.sketch()
        if self._family not in {"text", "binary"}:
            out |= self._numbers.components()
        if self._family in {"boolean", "integer", "text"}:
            out["frequent_items/frequent_strings"] = self._items.sketch()
        if self._edges is not None:
            out |= {"ints/min": self._edges[0], "ints/max": self._edges[1]}
        return out

    def _track_floats(self, values: NDArray[np.float64]) -> None:
        ordered = np.sort(values)  # -inf first, NaN last
        numbers = int(np.searchsorted(ordered, np.nan))
        low = int(np.searchsorted(ordered, -np.inf, "right"))
        high = int(np.searchsorted(ordered, np.inf))
        nan = len(ordered) - numbers
        self._counts["counts/nan"] += nan
        self._counts["counts/null"] += nan
        self._counts["types/fractional"] -= nan
        self._counts["counts/inf"] += low + numbers - high
        finite = ordered[low:high]
        finite += 0.0  # -0.0 becomes 0.0, which is the same number in other bytes
        block = Ordered.of(finite)
        self._numbers.add(block)
        self._distinct.numbers(block.values)

    def _track_integers(self, values: pl.Series) -> None:
        low, high = (int(edge) for edge in (values.min(), values.max()))  # type: ignore[arg-type]  # Polars types them as anything
        clipped = [min(max(edge, _INT64.min), _INT64.max) for edge in (low, high)]
        before = self._edges or clipped
        self._edges = min(before[0], clipped[0]), max(before[1], clipped[1])
        if isinstance(values.dtype, (pl.Int128, pl.UInt128)):
            if not _INT64.min <= low <= high <= _INT64.max:
                self._track_wide(values)
                return
            values = values.cast(pl.Int64)
        block = Ordered.of(np.sort(values.to_numpy()))
        self._numbers.add(Ordered(block.values.astype(np.float64), block.counts))
        # beyond 63 bits a wrapped unsigned is as good as any to tell values apart
        wide = block.values.dtype == np.uint64
        self._distinct.numbers(
            block.values.view(np.int64) if wide else block.values.astype(np.int64)
        )
        least = int(len(values) * _LEAST_SHARE) if len(block.values) > MOST_ITEMS else 0
        unique, counts = block.frequent(least)
        self._items.add(pl.DataFrame({"item": unique, "count": counts}), len(values), least)

    def _track_wide(self, values: pl.Series) -> None:
        """Take in integers some of which have over 64 bits: those are told apart as floats."""
        self._numbers.add(Ordered.of(np.sort(values.cast(pl.Float64).to_numpy())))
        small = values.is_between(_INT64.min, _INT64.max)
        for part, dtype in ((values.filter(small), pl.Int64), (values.filter(~small), pl.Float64)):
            self._distinct.numbers(Ordered.of(np.sort(part.cast(dtype).to_numpy())).values)
        self._items.add(_counted(values), len(values))

    def _track_times(self, values: pl.Series) -> None:
        physical = np.sort(values.to_physical().to_numpy()).astype(np.int64)
        block = Ordered.of(physical)
        if isinstance(values.dtype, pl.Date):
            seconds = block.values * 86_400.0
        else:  # Time has no unit of its own: nanoseconds
            seconds = block.values / _PER_SECOND[getattr(values.dtype, "time_unit", "ns")]
        self._numbers.add(Ordered(seconds, block.counts))
        self._distinct.numbers(block.values)

    def _track_truth(self) -> None:
        """Take in all booleans seen, at the end: their counts say everything."""
        true = self._counts["counts/true"]
        counts = np.array([self._counts["types/boolean"] - true, true])
        seen = counts > 0
        values = np.array([0, 1])[seen]
        self._numbers.add(Ordered(values.astype(np.float64), counts[seen]))
        self._distinct.numbers(values)
        items = pl.DataFrame({"item": ["False", "True"], "count": counts})
        self._items.add(items.filter(pl.col("count") > 0), int(counts.sum()))


def _tensors(values: pl.Series) -> int:
    """Count what whylogs calls a tensor: vectors of one number or more, none of them null."""
    dtype = values.dtype
    if isinstance(dtype, pl.Array):
        values = values.arr.to_list()
    elif not isinstance(dtype, pl.List):
        return 0
    inner = dtype.inner
    if not (inner.is_integer() or inner.is_float()):
        return 0
    filled = values.list.len() > 0
    if values.explode(empty_as_null=False).null_count():
        filled &= values.list.drop_nulls().list.len() == values.list.len()
    return int(filled.sum())


def _counted(values: pl.Series) -> pl.DataFrame:
    """Return distinct values and their counts, in no particular order."""
    # hashes that all differ prove it for the values, in a quarter of the time
    if values.head(_SAMPLE).n_unique() == min(len(values), _SAMPLE):
        hashes = np.sort(values.hash().to_numpy())
        if not len(hashes) or bool(np.all(hashes[1:] != hashes[:-1])):
            return pl.DataFrame({"item": values, "count": np.ones(len(values), dtype=np.int64)})
    return values.to_frame("item").group_by("item").agg(pl.len().alias("count"))
