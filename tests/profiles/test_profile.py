from __future__ import annotations

import os
import subprocess
import sys
from datetime import date

import numpy as np
import polars as pl
import pytest

from mlops_assets.errors import ProfileError
from mlops_assets.profiles.profile import Profile, profile


def frame(rows: int, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "speed": random.normal(10, 3, rows),
            "hour": random.integers(0, 24, rows),
            "late": random.random(rows) < 0.3,
            "carrier": random.choice(["AA", "UA", "DL"], rows),
            "tail": [f"N{number}" for number in random.integers(0, 5000, rows)],
        }
    )


def test_stock_whylogs_reads_the_bytes_and_merges_them_with_its_own() -> None:
    data = frame(6500)
    written = profile(data).to_bytes()
    os.environ["WHYLOGS_NO_ANALYTICS"] = "True"
    import pandas as pd
    from whylogs.core.view.dataset_profile_view import DatasetProfileView

    view = DatasetProfileView.deserialize(written)
    merged = view.merge(DatasetProfileView.deserialize(view.serialize()))

    speed = view.get_column("speed").to_summary_dict()
    assert speed["counts/n"] == speed["types/fractional"] == speed["distribution/n"] == 6500
    assert speed["distribution/mean"] == pytest.approx(data["speed"].mean())
    assert speed["distribution/stddev"] == pytest.approx(data["speed"].std())
    assert speed["distribution/min"] == data["speed"].min()
    assert speed["distribution/max"] == data["speed"].max()
    assert speed["distribution/median"] == pytest.approx(data["speed"].median(), abs=0.02)
    assert speed["cardinality/est"] == pytest.approx(6500, rel=0.05)
    hour = view.get_column("hour").to_summary_dict()
    assert (hour["ints/min"], hour["ints/max"]) == (0, 23)
    late = view.get_column("late").to_summary_dict()
    assert late["distribution/mean"] == pytest.approx(data["late"].mean())
    items = {
        item.value: item.est
        for item in view.get_column("carrier").get_metric("frequent_items").strings
    }
    assert items == dict(data["carrier"].value_counts().iter_rows())
    assert merged.get_column("speed").get_metric("distribution").n == 13000
    median = merged.get_column("speed").get_metric("distribution").median
    assert median == pytest.approx(data["speed"].median(), abs=0.05)
    assert isinstance(view.to_pandas(), pd.DataFrame)


def test_profiling_loads_neither_whylogs_nor_pandas() -> None:
    code = (
        "import sys, polars as pl\n"
        "from mlops_assets.profiles.profile import Profile, profile\n"
        "Profile.from_bytes(profile(pl.DataFrame({'a': range(2000)})).to_bytes())\n"
        "sys.exit(str({'whylogs', 'pandas', 'sklearn', 'requests'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "set()"


@pytest.mark.parametrize("rows", [0, 1, 2, 1024, 1025, 2048, 2049, 6500])
def test_equal_rows_in_any_order_give_equal_bytes_and_survive_them(rows: int) -> None:
    data = frame(rows)
    first = profile(data)
    shuffled = profile(data.sample(fraction=1, shuffle=True, seed=1))
    again = Profile.from_bytes(first.to_bytes())
    assert first.to_bytes() == shuffled.to_bytes() == again.to_bytes()
    assert first.hash == again.hash
    assert again.rows == rows
    if rows:
        assert first.hash != profile(frame(rows, seed=2)).hash


@pytest.mark.parametrize("rows", [3, 1025, 6500])
def test_the_sketch_knows_every_rank_to_a_thousandth(rows: int) -> None:
    values = np.sort(np.random.default_rng(1).lognormal(size=rows))
    points = profile(pl.DataFrame({"a": values})).columns["a"].points
    assert points.weights.sum() == rows
    exact = np.searchsorted(values, points.values, side="right") / rows
    assert np.max(np.abs(points.cumulative - exact)) < 1.2 / 1024


def test_nulls_nan_and_infinities_are_counted_and_kept_out() -> None:
    inf = float("inf")
    data = pl.DataFrame({"a": [1.0, None, float("nan"), inf, -inf, 3.0], "b": [None] * 6})
    column = profile(data).columns["a"]
    counts = [column.number(f"counts/{name}") for name in ("n", "null", "nan", "inf")]
    assert counts == [6, 2, 1, 2]
    assert column.number("distribution/mean") == 2.0
    assert column.points.values.tolist() == [1.0, 3.0]  # noqa: PD011 - no pandas
    assert column.missing_share == pytest.approx(4 / 6)
    assert profile(data).columns["b"].missing_share == 1.0


def test_every_dtype_is_profiled() -> None:
    data = pl.DataFrame(
        {
            "all_null": pl.Series([None, None], dtype=pl.Float64),
            "big": pl.Series([0, 2**64 - 1], dtype=pl.UInt64),
            "huge": pl.Series([0, 2**100], dtype=pl.Int128),
            "decimal": pl.Series(["1.50", "2.50"]).cast(pl.Decimal(10, 2)),
            "category": pl.Series(["x", None], dtype=pl.Categorical),
            "enum": pl.Series(["x", "y"], dtype=pl.Enum(["x", "y"])),
            "empty_text": ["", "y"],
            "day": [date(2013, 1, 1), None],
            "list": [[1], [2, 3]],
            "bytes": [b"a", b"b"],
        }
    )
    made = Profile.from_bytes(profile(data).to_bytes())
    assert made.rows == 2
    assert {name: column.kind for name, column in made.columns.items()} == {
        "all_null": "none", "big": "ks", "huge": "ks", "decimal": "ks", "category": "tv",
        "enum": "tv", "empty_text": "tv", "day": "none", "list": "none", "bytes": "none",
    }  # fmt: skip
    assert made.columns["decimal"].number("distribution/mean") == 2.0
    assert made.columns["category"].categories == {"x": 1}
    assert made.columns["empty_text"].categories == {"": 1, "y": 1}
    assert made.columns["big"].points.values.tolist() == [0.0, float(2**64 - 1)]  # noqa: PD011 - no pandas
    assert round(made.columns["day"].distinct) == 1
    assert profile(data.clear()).rows == 0
    assert profile(pl.DataFrame()).rows == 0


def test_a_merge_is_the_profile_of_all_rows() -> None:
    parts = [frame(rows, seed=rows) for rows in (5, 900, 3000, 6500)]
    whole = profile(pl.concat(parts))
    merged = Profile.merge([profile(part) for part in parts])
    assert merged.hash == Profile.merge([profile(part) for part in parts]).hash
    assert merged.rows == whole.rows
    assert merged.columns["carrier"].categories == whole.columns["carrier"].categories
    for moment in ("distribution/mean", "distribution/m2", "counts/true"):
        ours, exact = (made.columns["late"].number(moment) for made in (merged, whole))
        assert ours == pytest.approx(exact)
    values = pl.concat(parts)["speed"].sort().to_numpy()
    points = merged.columns["speed"].points
    exact_ranks = np.searchsorted(values, points.values, side="right") / len(values)
    assert np.max(np.abs(points.cumulative - exact_ranks)) < 0.003


def test_a_column_that_one_part_lacks_is_missing_in_its_rows() -> None:
    parts = [pl.DataFrame({"a": [1, 2], "b": [1.0, 2.0]}), pl.DataFrame({"a": [3, 4]})]
    merged = Profile.merge([profile(part) for part in parts])
    assert merged.columns["b"].missing_share == 0.5


def test_the_native_fallback_gives_the_same_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops_assets.profiles import sketches

    values = pl.DataFrame({"a": np.arange(6500.0)})
    monkeypatch.setattr(sketches, "_layout_holds", lambda: False)
    points = profile(values).columns["a"].points
    assert points.weights.sum() == 6500
    assert np.max(np.abs(points.cumulative - (points.values + 1) / 6500)) < 0.01  # noqa: PD011 - no pandas


@pytest.mark.parametrize("cut", [0, 3, 40, -1])
def test_what_is_no_profile_is_refused(cut: int) -> None:
    with pytest.raises(ProfileError):
        Profile.from_bytes(profile(frame(50)).to_bytes()[:cut])
    with pytest.raises(ProfileError, match="at least one"):
        Profile.merge([])
