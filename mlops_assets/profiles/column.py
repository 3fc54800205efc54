"""One column of a profile, as whylogs' standard metrics hold it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mlops_assets.profiles import sketches, wire
from mlops_assets.profiles.sketches import Points

Kind = Literal["ks", "tv", "none"]


@dataclass(frozen=True)
class Column:
    """One column as whylogs' standard metrics hold it.

    As in whylogs, ``null`` counts NaN too. Infinities are counted, and kept out of the
    distribution: one of them would turn the mean into NaN.
    """

    components: wire.Components

    def number(self, path: str) -> float:
        """Return a count or a moment; 0 where the column has none."""
        value = self.components.get(path, 0)
        assert not isinstance(value, bytes)
        return value

    @functools.cached_property
    def rows(self) -> int:
        return int(self.number("counts/n"))

    @functools.cached_property
    def values(self) -> int:
        """Rows that hold a value: neither null, NaN nor infinite."""
        return self.rows - int(self.number("counts/null")) - int(self.number("counts/inf"))

    @property
    def missing_share(self) -> float:
        """Share of rows without a finite value; 0 for no rows."""
        return 1 - self.values / self.rows if self.rows else 0.0

    @functools.cached_property
    def kind(self) -> Kind:
        """How its distance is measured: ``ks`` numbers, ``tv`` categories, ``none`` the rest."""
        if not self.values:
            return "none"
        if self.number("types/string") or self.number("types/boolean"):
            return "tv" if "frequent_items/frequent_strings" in self.components else "none"
        return "ks" if "distribution/kll" in self.components else "none"

    @functools.cached_property
    def points(self) -> Points:
        """What the KLL sketch retains; empty for a column without numbers."""
        sketch = self.components.get("distribution/kll")
        if not isinstance(sketch, bytes):
            return Points(np.empty(0), np.empty(0, dtype=np.int64))
        return sketches.kll_points(sketch)

    @functools.cached_property
    def categories(self) -> dict[str, int]:
        """Item to number of rows; empty for a column without frequent items."""
        sketch = self.components.get("frequent_items/frequent_strings")
        return sketches.frequent_counts(sketch) if isinstance(sketch, bytes) else {}

    @property
    def distinct(self) -> float:
        """Estimated number of distinct values."""
        sketch = self.components.get("cardinality/hll")
        return sketches.hll_estimate(sketch) if isinstance(sketch, bytes) else 0.0

    @functools.cached_property
    def constant(self) -> bool:
        """Whether all its values are one; False without values."""
        return self.values > 0 and 0.5 < self.distinct < 1.5

    @classmethod
    def absent(cls, rows: int) -> Column:
        """Return a column of which every row is missing."""
        return cls({"counts/n": rows, "counts/null": rows})


def merged(columns: list[Column]) -> Column:
    """Return the column of all rows; deterministic for one order of columns."""
    paths = {path for column in columns for path in column.components}
    out: wire.Components = {}
    for path in sorted(paths):
        having = [c.components[path] for c in columns if path in c.components]
        blobs = [value for value in having if isinstance(value, bytes)]
        numbers = [value for value in having if not isinstance(value, bytes)]
        if path == "cardinality/hll":
            out[path] = sketches.hll_union(blobs)
        elif path == "frequent_items/frequent_strings":
            out[path] = sketches.frequent_union(blobs)
        elif path.startswith("ints/"):
            out[path] = (min if path == "ints/min" else max)(numbers)
        elif path.startswith(("counts/", "types/")):
            out[path] = sum(numbers)
    if "distribution/kll" in paths:
        out |= _merged_distribution([c for c in columns if "distribution/kll" in c.components])
    return Column(out)


def _merged_distribution(columns: list[Column]) -> wire.Components:
    """Merge the moments by the parallel variance formula (Chan et al. 1979), sketches by rank."""
    filled = [column for column in columns if len(column.points.values)]
    points = Points.joined(column.points for column in filled)
    mean = m2 = low = high = 0.0
    if filled:
        edges = [sketches.kll_extremes(_blob(c, "distribution/kll")) for c in filled]
        low, high = min(edge[0] for edge in edges), max(edge[1] for edge in edges)
        rows = np.array([column.points.weights.sum() for column in filled], dtype=np.float64)
        means = np.array([column.number("distribution/mean") for column in filled])
        mean = float(np.average(means, weights=rows))
        m2 = sum(column.number("distribution/m2") for column in filled)
        m2 = float(m2 + np.sum(rows * (means - mean) ** 2))
    sketch = sketches.kll(points, low, high)
    return {"distribution/kll": sketch, "distribution/mean": mean, "distribution/m2": m2}


def _blob(column: Column, path: str) -> bytes:
    value = column.components[path]
    assert isinstance(value, bytes)
    return value
