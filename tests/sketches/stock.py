"""Stock whylogs, given the rows in the one form in which it counts them rightly.

Through pandas' own dtypes it turns nullable integers into fractions, counts nulls of floats as NaN
and fails on categories with nulls; a column of Python objects it looks at one by one.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import polars as pl


def profiled(frame: pl.DataFrame) -> Any:
    """Return stock whylogs' view of a frame."""
    os.environ["WHYLOGS_NO_ANALYTICS"] = "True"
    np.unicode_ = np.str_  # type: ignore[attr-defined]  # noqa: NPY201  # whylogs asks for it
    import pandas as pd
    from whylogs.core import DatasetProfile

    table = pd.DataFrame(
        {column.name: pd.Series(column.to_list(), dtype="object") for column in frame}
    )
    made = DatasetProfile()
    made.track(table)
    return made.view()


def read(data: bytes) -> Any:
    """Return stock whylogs' view of a profile's bytes."""
    os.environ["WHYLOGS_NO_ANALYTICS"] = "True"
    from whylogs.core.view.dataset_profile_view import DatasetProfileView

    return DatasetProfileView.deserialize(data)


def summary(view: Any, column: str) -> dict[str, Any]:
    """Return a column's metrics as stock whylogs sums them up."""
    found: dict[str, Any] = view.get_column(column).to_summary_dict()
    return found


def items(view: Any, column: str) -> dict[str, int]:
    """Return a column's frequent items with their estimated counts."""
    metric = view.get_column(column).get_metric("frequent_items")
    return {} if metric is None else {item.value: item.est for item in metric.strings}
