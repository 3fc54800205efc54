"""One column of a profile, as whylogs' standard metrics hold it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mlops_assets.sketches import distribution, frequent, quantiles, wire
from mlops_assets.sketches.quantiles import Points

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
        if not self.values or self.temporal:
            return "none"
        if self.number("types/string") or self.number("types/boolean"):
            return "tv" if "frequent_items/frequent_strings" in self.components else "none"
        return "ks" if "distribution/kll" in self.components else "none"

    @property
    def temporal(self) -> bool:
        """Whether it holds dates or times, whose numbers are seconds."""
        others = ("integral", "fractional", "boolean", "string", "tensor")
        return (
            "distribution/kll" in self.components
            and not any(self.number(f"types/{name}") for name in others)
            and self.number("types/object") > 0
        )

    @property
    def profiled(self) -> bool:
        """Whether more is known than how many values there are."""
        return any(not path.startswith(("counts/", "types/")) for path in self.components)

    @functools.cached_property
    def extremes(self) -> tuple[float, float] | None:
        """The smallest and the largest finite number, of times in seconds; None without any.

        Dates and times of day and zone are seconds since 1970 UTC, times alone since midnight.
        """
        sketch = self.components.get("distribution/kll")
        if not isinstance(sketch, bytes) or not self.points.values.size:
            return None
        return quantiles.kll_extremes(sketch)

    @functools.cached_property
    def points(self) -> Points:
        """What the KLL sketch retains; empty for a column without numbers."""
        sketch = self.components.get("distribution/kll")
        if not isinstance(sketch, bytes):
            return Points(np.empty(0), np.empty(0, dtype=np.int64))
        return quantiles.kll_points(sketch)

    @functools.cached_property
    def categories(self) -> dict[str, int]:
        """Item to number of rows; empty for a column without frequent items."""
        sketch = self.components.get("frequent_items/frequent_strings")
        return frequent.counts_of(sketch) if isinstance(sketch, bytes) else {}

    @property
    def distinct(self) -> float:
        """Estimated number of distinct values; as in whylogs, an empty text counts as none."""
        sketch = self.components.get("cardinality/hll")
        return quantiles.hll_estimate(sketch) if isinstance(sketch, bytes) else 0.0

    @functools.cached_property
    def constant(self) -> bool:
        """Whether all its values are one; False without values."""
        if self.extremes is not None:
            return self.extremes[0] == self.extremes[1]
        if "frequent_items/frequent_strings" in self.components:
            return list(self.categories.values()) == [self.values] and self.values > 0
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
        values = [c.components[path] for c in columns if path in c.components]
        blobs = [value for value in values if isinstance(value, bytes)]
        numbers = [value for value in values if not isinstance(value, bytes)]
        if path == "cardinality/hll":
            out[path] = quantiles.hll_union(blobs)
        elif path == "frequent_items/frequent_strings":
            out[path] = frequent.union(blobs)
        elif path.startswith("ints/"):
            out[path] = (min if path == "ints/min" else max)(numbers)
        elif path.startswith(("counts/", "types/")):
            out[path] = sum(numbers)
    if "distribution/kll" in paths:
        having = [c.components for c in columns if "distribution/kll" in c.components]
        out |= distribution.merged(having)
    return Column(out)
