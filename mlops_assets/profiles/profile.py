"""The profile of a window: mergeable sketches of every column, in whylogs' own format."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from mlops_assets.errors import ProfileError
from mlops_assets.profiles import sketches, wire
from mlops_assets.profiles.column import Column, merged
from mlops_assets.profiles.sketches import Points

_INT64 = np.iinfo(np.int64)
_FEW = 100  # distinct integers that are still worth listing as frequent items
_COUNTS = ("n", "null", "nan", "inf", "true")
_TYPES = ("integral", "fractional", "boolean", "string", "object", "tensor")


@dataclass(frozen=True)
class Profile:
    """The columns' sketches of one window, or of many merged."""

    columns: Mapping[str, Column]

    @property
    def rows(self) -> int:
        """Rows profiled."""
        return max((column.rows for column in self.columns.values()), default=0)

    def to_bytes(self) -> bytes:
        """Return the profile as a whylogs file that stock whylogs reads and merges.

        Equal rows give equal bytes, in whatever order the rows stand.
        """
        return self._bytes

    @functools.cached_property
    def _bytes(self) -> bytes:
        return wire.write({name: column.components for name, column in self.columns.items()})

    @property
    def hash(self) -> str:
        """SHA-256 of the bytes, in hex."""
        return hashlib.sha256(self._bytes).hexdigest()

    @classmethod
    def from_bytes(cls, data: bytes) -> Profile:
        """Read a profile, ours or stock whylogs'; raises ProfileError for anything else."""
        return cls({name: Column(components) for name, components in wire.read(data).items()})

    @classmethod
    def merge(cls, profiles: Iterable[Profile]) -> Profile:
        """Return the profile of all rows of all profiles; raises ProfileError for none.

        Deterministic for one order of profiles. A column that one of them lacks counts as missing
        in its rows.
        """
        parts = list(profiles)
        if not parts:
            raise ProfileError("nothing to merge: give at least one profile")
        names = sorted({name for part in parts for name in part.columns})
        return cls(
            {
                name: merged([p.columns.get(name) or Column.absent(p.rows) for p in parts])
                for name in names
            }
        )


def profile(frame: pl.DataFrame) -> Profile:
    """Return the profile of a frame of any height; every dtype is counted, if not sketched.

    Numbers get moments, a KLL distribution and cardinality; booleans the same as 0 and 1; strings,
    categoricals and enums frequent items and cardinality; dates and times cardinality.
    """
    return Profile({series.name: Column(_components(series)) for series in frame.get_columns()})


def _components(series: pl.Series) -> wire.Components:
    dtype = series.dtype
    nulls = series.null_count()
    out: wire.Components = {f"counts/{name}": 0 for name in _COUNTS}
    out |= {f"types/{name}": 0 for name in _TYPES}
    out |= {"counts/n": len(series), "counts/null": nulls}
    filled = len(series) - nulls
    if isinstance(dtype, pl.Boolean):
        out |= {"types/boolean": filled}
        return out | _boolean(series, filled)
    if dtype.is_integer():
        out |= {"types/integral": filled}
        return out | _integers(series.drop_nulls())
    if dtype.is_float() or dtype.is_decimal():
        out |= {"types/fractional": filled}
        return out | _floats(series.drop_nulls().cast(pl.Float64).to_numpy(), nulls)
    if isinstance(dtype, (pl.String, pl.Categorical, pl.Enum)):
        out |= {"types/string": filled}
        return out | _strings(series)
    if filled:
        out |= {"types/object": filled}
    numbers = None
    if dtype.is_temporal():
        numbers = series.drop_nulls().to_physical().cast(pl.Int64).unique().sort().to_numpy()
    return out | {"cardinality/hll": sketches.hll(numbers)}


def _boolean(series: pl.Series, filled: int) -> wire.Components:
    true = int(series.sum() or 0)
    counts = np.array([filled - true, true], dtype=np.int64)
    seen = counts > 0
    numbers = np.array([0, 1], dtype=np.int64)[seen]
    items = [name for name, count in zip(("False", "True"), counts, strict=True) if count]
    return {
        "counts/true": true,
        "cardinality/hll": sketches.hll(numbers),
        "frequent_items/frequent_strings": sketches.frequent(items, counts[seen].tolist()),
        **_distribution(numbers.astype(np.float64), counts[seen]),
    }


def _integers(series: pl.Series) -> wire.Components:
    wide = isinstance(series.dtype, (pl.Int128, pl.UInt128))
    values = np.sort(series.cast(pl.Float64).to_numpy() if wide else series.to_numpy())
    unique, counts = _runs(values)
    out = _distribution(unique.astype(np.float64), counts)
    # beyond 64 bits a float, and a wrapped unsigned, are as good as any to tell values apart
    out["cardinality/hll"] = sketches.hll(
        unique
        if wide
        else unique.astype(np.uint64 if unique.dtype == np.uint64 else np.int64).view(np.int64)
    )
    if len(unique):
        clipped = [min(max(int(edge), _INT64.min), _INT64.max) for edge in (unique[0], unique[-1])]
        out |= {"ints/min": clipped[0], "ints/max": clipped[1]}
    if len(unique) <= _FEW:
        order = np.argsort(-counts, kind="stable")
        items = [str(int(value)) for value in unique[order]]
        out["frequent_items/frequent_strings"] = sketches.frequent(items, counts[order].tolist())
    return out


def _floats(values: np.ndarray[Any, np.dtype[np.float64]], nulls: int) -> wire.Components:
    nan, inf = np.isnan(values), np.isinf(values)
    unique, counts = _runs(np.sort(values[~(nan | inf)]))
    return {
        "counts/null": nulls + int(nan.sum()),
        "counts/nan": int(nan.sum()),
        "counts/inf": int(inf.sum()),
        "cardinality/hll": sketches.hll(unique),
        **_distribution(unique, counts),
    }


def _strings(series: pl.Series) -> wire.Components:
    texts = series.drop_nulls().cast(pl.String).str.slice(0, sketches.MAX_ITEM_LENGTH)
    counted = texts.alias("item").value_counts(name="count")
    counted = counted.sort("count", "item", descending=[True, False])
    items: list[str] = counted["item"].to_list()
    return {
        "cardinality/hll": sketches.hll(texts=items),
        "frequent_items/frequent_strings": sketches.frequent(items, counted["count"].to_list()),
    }


def _runs(
    values: np.ndarray[Any, np.dtype[Any]],
) -> tuple[np.ndarray[Any, np.dtype[Any]], sketches.Counts]:
    """Return the distinct values of a sorted array and how often each stands there."""
    if not len(values):
        return values, np.empty(0, dtype=np.int64)
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    return values[starts], np.diff(np.append(starts, len(values)))


def _distribution(values: sketches.Floats, counts: sketches.Counts) -> wire.Components:
    """Return the KLL sketch, mean and sum of squared deviations (m2) of ascending values."""
    mean = m2 = low = high = 0.0
    if len(values):
        low, high = float(values[0]), float(values[-1])
        with np.errstate(over="ignore", invalid="ignore"):  # 1e308 squared: infinity is the answer
            mean = float(np.average(values, weights=counts))
            m2 = float(np.sum(counts * (values - mean) ** 2))
    sketch = sketches.kll(Points(values, counts), low, high)
    return {"distribution/kll": sketch, "distribution/mean": mean, "distribution/m2": m2}
