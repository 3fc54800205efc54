from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlops_assets.errors import ProfileError
from mlops_assets.sketches import profile as profiling
from mlops_assets.sketches.profile import Profile, profile, profile_segments
from tests.sketches import stock


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
    view = stock.read(written)
    merged = view.merge(stock.read(view.serialize()))

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
    assert list(view.to_pandas().index) == ["carrier", "hour", "late", "speed", "tail"]


def test_profiling_loads_neither_whylogs_nor_pandas() -> None:
    code = (
        "import sys, polars as pl\n"
        "from mlops_assets.sketches.profile import Profile, profile\n"
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
    assert column.points.values.tolist() == [1.0, 3.0]
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
            "object": pl.Series([object(), None], dtype=pl.Object),
            "bytes": [b"a", b"b"],
            "17": [1, 2],  # as a frame of another library may have named it
        }
    )
    made = Profile.from_bytes(profile(data).to_bytes())
    assert made.rows == 2
    assert {name: column.kind for name, column in made.columns.items()} == {
        "all_null": "none", "big": "ks", "huge": "ks", "decimal": "ks", "category": "tv",
        "enum": "tv", "empty_text": "tv", "day": "none", "list": "none", "object": "none", "bytes": "none", "17": "ks",
    }  # fmt: skip
    assert made.not_profiled == ("list", "object")
    assert made.columns["decimal"].number("distribution/mean") == 2.0
    assert made.columns["category"].categories == {"x": 1}
    assert made.columns["empty_text"].categories == {"": 1, "y": 1}
    assert made.columns["big"].points.values.tolist() == [0.0, float(2**64 - 1)]
    assert round(made.columns["day"].distinct) == round(made.columns["bytes"].distinct / 2) == 1
    assert profile(data.clear()).rows == 0
    assert profile(pl.DataFrame()).rows == 0


def test_times_have_a_distribution_of_seconds_and_say_how_recent_they_are() -> None:
    noon = datetime(2013, 1, 7, 12, tzinfo=UTC)
    moments = [noon - timedelta(hours=hours) for hours in range(100)]
    data = pl.DataFrame(
        {
            "at": pl.Series(moments).cast(pl.Datetime("ms", "Europe/Berlin")),
            "day": [moment.date() for moment in moments],
            "span": [timedelta(seconds=1.5)] * 100,
        }
    )
    made = Profile.from_bytes(profile(data).to_bytes())
    at = made.columns["at"]

    assert at.temporal
    assert at.kind == "none"  # time passes: that a later window lies later is no drift
    assert at.extremes == (moments[-1].timestamp(), noon.timestamp())
    assert made.columns["day"].extremes == (1_356_998_400 + 2 * 86_400, 1_357_516_800)
    assert made.columns["span"].extremes == (1.5, 1.5)
    assert profile(data.clear()).columns["at"].extremes is None
    theirs = stock.profiled(data)
    for merged in (stock.read(made.to_bytes()).merge(theirs), theirs.merge(theirs)):
        assert stock.summary(merged, "at")["types/object"] == 200
    assert stock.summary(stock.read(made.to_bytes()), "at")["distribution/max"] == noon.timestamp()


def test_a_lazy_frame_has_the_bytes_of_the_same_rows_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiling, "_BLOCK_ROWS", (1 << 10, 1 << 12))
    data = frame(30_000)
    for number, part in enumerate(data.iter_slices(7_001)):
        part.write_parquet(tmp_path / f"{number}.parquet", row_group_size=1_500)
    whole = profile(data)
    scanned = profile(pl.scan_parquet(tmp_path / "*.parquet"))
    assert scanned.to_bytes() == whole.to_bytes()
    assert profile(data.lazy().filter(pl.lit(False))).to_bytes() == profile(data.clear()).to_bytes()

    values = data["speed"].sort().to_numpy()
    points = whole.columns["speed"].points
    exact = np.searchsorted(values, points.values, side="right") / len(values)
    assert np.max(np.abs(points.cumulative - exact)) < 1.2 / 1024
    assert whole.columns["speed"].number("distribution/m2") == pytest.approx(
        data["speed"].var() * 29_999
    )
    assert whole.columns["carrier"].categories == dict(data["carrier"].value_counts().iter_rows())
    counted = dict(data["tail"].value_counts().iter_rows())
    items = whole.columns["tail"].categories
    assert all(counted[item] == count for item, count in items.items())  # 5,000 fit: exact


FROM_THREADS = """
import threading
import polars as pl
from mlops_assets.sketches.profile import profile
made = []
data = pl.DataFrame({f"c{number}": [0.5, 1.5] * 6000 for number in range(8)})
threads = [threading.Thread(target=lambda: made.append(profile(data).hash)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(made) == 4 and len(set(made)) == 1
"""


def test_threads_may_profile_from_the_first_row_on() -> None:
    for _ in range(3):  # whether they'd lock each other out is a matter of moments
        subprocess.run([sys.executable, "-c", FROM_THREADS], check=True, timeout=60)


PEAK = """
import resource, sys
import polars as pl
from mlops_assets.sketches.profile import profile
made = profile(pl.scan_parquet(sys.argv[1]))
print(made.rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux only")
def test_what_is_larger_than_memory_is_streamed(tmp_path: Path) -> None:
    part = pl.DataFrame(np.random.default_rng(1).normal(size=(500_000, 12)))
    for number in range(20):  # 960 MB in memory
        part.write_parquet(tmp_path / f"{number}.parquet", row_group_size=50_000)
    command = [sys.executable, "-c", PEAK, str(tmp_path / "*.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows, megabytes = map(int, done.stdout.split())
    assert rows == 10_000_000
    assert megabytes < 800  # 75 of them for Python, Polars and numpy


def test_items_beyond_what_memory_holds_are_never_counted_too_low(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlops_assets.sketches import frequent

    monkeypatch.setattr(frequent, "_KEPT", 1000)
    monkeypatch.setattr(profiling, "_BLOCK_ROWS", (1 << 10, 1 << 12))
    data = frame(30_000).with_columns(
        tail=pl.when(pl.int_range(pl.len()) % 3 == 0).then(pl.lit("N0")).otherwise("tail")
    )
    counted = dict(data["tail"].value_counts().iter_rows())
    items = profile(data).columns["tail"].categories
    assert max(items, key=lambda item: items[item]) == "N0"
    assert all(0 <= count - counted[item] <= 30_000 / 1000 for item, count in items.items())


def test_segments_are_profiles_and_merged_they_are_the_whole() -> None:
    data = frame(9_000).with_columns(
        carrier=pl.when(pl.col("carrier") == "UA").then(None).otherwise("carrier"),
        size=pl.when(pl.col("hour") < 12).then(pl.lit("a,b")).otherwise(pl.lit("null")),
    )
    segments = profile_segments(data, ["carrier", "size"])

    assert list(segments) == [
        'carrier=AA,size="a,b"', 'carrier=AA,size="null"', 'carrier=DL,size="a,b"',
        'carrier=DL,size="null"', 'carrier=null,size="a,b"', 'carrier=null,size="null"',
    ]  # fmt: skip
    chosen = data.filter(pl.col("carrier") == "AA", pl.col("size") == "null")
    assert segments['carrier=AA,size="null"'].to_bytes() == profile(chosen).to_bytes()
    lazily = profile_segments(data.lazy(), ["carrier", "size"])
    assert {name: one.hash for name, one in lazily.items()} == {
        name: one.hash for name, one in segments.items()
    }
    merged, whole = Profile.merge(segments.values()), profile(data)
    for name, column in whole.columns.items():
        for path in ("counts/n", "counts/null", "types/string", "types/fractional"):
            assert merged.columns[name].number(path) == column.number(path)
    assert list(profile_segments(data, ["late"])) == ["late=false", "late=true"]
    assert profile_segments(data.clear(), ["late"]) == {}


def test_what_makes_no_segments_is_named() -> None:
    data = frame(3_000)
    with pytest.raises(ProfileError, match="no column `carier`; did you mean `carrier`"):
        profile_segments(data, ["carier"])
    with pytest.raises(ProfileError, match="`speed` holds Float64"):
        profile_segments(data, ["speed"])
    with pytest.raises(ProfileError, match="over 1,000 segments"):
        profile_segments(data, ["tail"])
    with pytest.raises(ProfileError, match="at least one column"):
        profile_segments(data, [])


def test_long_texts_differ_by_all_of_them_and_are_listed_by_their_beginning() -> None:
    texts = ["x" * 200 + str(number) for number in range(50)]
    column = profile(pl.DataFrame({"a": texts})).columns["a"]
    assert round(column.distinct) == 50
    assert column.categories == {"x" * 128: 50}


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
    from mlops_assets.sketches import frequent, quantiles

    values = pl.DataFrame({"a": np.arange(6500.0), "b": ["x", "y"] * 3250})
    monkeypatch.setattr(quantiles, "_layout_holds", lambda: False)
    monkeypatch.setattr(frequent, "_layout_holds", lambda: False)
    points = profile(values).columns["a"].points
    assert profile(values).columns["b"].categories == {"x": 3250, "y": 3250}
    assert points.weights.sum() == 6500
    assert np.max(np.abs(points.cumulative - (points.values + 1) / 6500)) < 0.01


@pytest.mark.parametrize("cut", [0, 3, 40, -1])
def test_what_is_no_profile_is_refused(cut: int) -> None:
    with pytest.raises(ProfileError):
        Profile.from_bytes(profile(frame(50)).to_bytes()[:cut])
    with pytest.raises(ProfileError, match="at least one"):
        Profile.merge([])
