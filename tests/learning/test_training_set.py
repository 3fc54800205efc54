from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlops_assets.errors import TrainingError
from mlops_assets.learning.training_set import assemble

Pair = tuple[pl.LazyFrame, pl.LazyFrame]


def window(start: int, *, labelled: int = 3, shuffle: bool = False) -> Pair:
    """Three flights of two legs' key; the first `labelled` of them have a label."""
    rows = pl.DataFrame(
        {
            "flight": [start, start, start + 1],
            "leg": ["a", "b", "a"],
            "wind": [start + 0.1, start + 0.2, start + 0.3],
        }
    )
    labels = rows.select("leg", "flight", late=pl.col("wind") > 1.15, unused=pl.lit(0))
    labels = labels.head(labelled)
    if shuffle:
        rows, labels = rows.reverse(), labels.sample(fraction=1, shuffle=True, seed=1)
    return rows.lazy(), labels.lazy()


KEY = ["flight", "leg"]


def test_windows_are_joined_by_key_and_ordered() -> None:
    windows = {"2013-04-08": window(5), "2013-04-01": window(1)}
    assert_frame_equal(
        assemble(windows, key=KEY, target="late").collect(),
        pl.DataFrame(
            {
                "window": ["2013-04-01"] * 3 + ["2013-04-08"] * 3,
                "flight": [1, 1, 2, 5, 5, 6],
                "leg": ["a", "b", "a", "a", "b", "a"],
                "wind": [1.1, 1.2, 1.3, 5.1, 5.2, 5.3],
                "late": [False, True, True, True, True, True],
            }
        ),
    )


def test_the_order_in_which_rows_and_windows_were_stored_does_not_matter() -> None:
    stored = {"2013-04-01": window(1), "2013-04-08": window(5)}
    shuffled = {
        "2013-04-08": window(5, shuffle=True),
        "2013-04-01": window(1, shuffle=True),
    }
    assert_frame_equal(
        assemble(shuffled, key=KEY, target="late").collect(),
        assemble(stored, key=KEY, target="late").collect(),
    )


def test_features_stored_in_key_order_need_no_sorting() -> None:
    labels = window(1, shuffle=True)[1]
    windows = {"2013-04-08": window(5), "2013-04-01": (window(1)[0], labels)}
    assert_frame_equal(
        assemble(windows, key=KEY, target="late", stored_in_key_order=True).collect(),
        assemble(windows, key=KEY, target="late").collect(),
    )


def test_a_row_without_a_label_stays_with_a_null_target() -> None:
    rows = assemble({"w": window(1, labelled=2)}, key=KEY, target="late").collect()
    assert rows["late"].to_list() == [False, True, None]


def test_it_streams_to_a_file_in_the_same_order(tmp_path: Path) -> None:
    windows = {f"2013-04-{day:02d}": window(day * 10, shuffle=True) for day in range(1, 9)}
    rows = assemble(windows, key=KEY, target="late")
    rows.sink_parquet(tmp_path / "rows.parquet")
    assert_frame_equal(pl.read_parquet(tmp_path / "rows.parquet"), rows.collect())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, lab: (f.drop("leg"), lab), "features of w: no column `leg`"),
        (lambda f, lab: (f, lab.drop("late")), "labels of w: no column `late`"),
        (lambda f, lab: (f.with_columns(late=1), lab), "hold a column `late`"),
        (lambda f, lab: (f.with_columns(window=1), lab), "hold a column `window`"),
    ],
)
def test_frames_that_do_not_fit_are_refused_before_any_row_is_read(
    change: Callable[[pl.LazyFrame, pl.LazyFrame], Pair], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        assemble({"w": change(*window(1))}, key=KEY, target="late")


def test_no_windows_are_refused() -> None:
    with pytest.raises(TrainingError, match="no windows"):
        assemble({}, key=KEY, target="late")
