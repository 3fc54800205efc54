"""Profiles of anything, held against stock whylogs and against the rows themselves."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.sketches.profile import Profile, profile
from tests.sketches import stock

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # stock's, of infinities

COUNTED = ("n", "null", "nan", "inf", "true")
TYPED = ("integral", "fractional", "boolean", "string", "object", "tensor")
EXACT = (*(f"counts/{name}" for name in COUNTED), *(f"types/{name}" for name in TYPED))
FEW = settings(max_examples=60, deadline=None, derandomize=True)
CARDINALITY = 0.08  # five standard errors of HyperLogLog with 2^12 registers


@dataclass(frozen=True)
class Kind:
    """A dtype, values at its edges, and a range of ordinary ones as its physical integers."""

    dtype: pl.DataType
    extremes: tuple[Any, ...]
    low: int = -1000
    high: int = 1000


INF, NAN = math.inf, math.nan
WORDS = [f"word {number}" for number in range(1500)] + ["", "é", "\U0001f6eb", "x" * 200]
KINDS = {
    "f64": Kind(pl.Float64(), (0.0, -0.0, 5e-324, 1.7e308, -1.7e308, INF, -INF, NAN)),
    "f32": Kind(pl.Float32(), (0.0, -0.0, 1e-45, 3e38, INF, -INF, NAN)),
    "i8": Kind(pl.Int8(), (-128, 127), -128, 127),
    "i16": Kind(pl.Int16(), (-(2**15), 2**15 - 1)),
    "i32": Kind(pl.Int32(), (-(2**31), 2**31 - 1)),
    "i64": Kind(pl.Int64(), (-(2**63), 2**63 - 1, 2**53 + 1), -(10**12), 10**12),
    "i128": Kind(pl.Int128(), (-(2**100), 2**120)),
    "u8": Kind(pl.UInt8(), (0, 255), 0, 255),
    "u16": Kind(pl.UInt16(), (0, 2**16 - 1), 0),
    "u32": Kind(pl.UInt32(), (0, 2**32 - 1), 0, 2**31),
    "u64": Kind(pl.UInt64(), (0, 2**63, 2**64 - 1), 0, 10**9),
    "bool": Kind(pl.Boolean(), (True, False), 0, 1),
    "text": Kind(pl.String(), ("", "x" * 128, "x" * 129, "None", "nan"), 0, len(WORDS) - 1),
    "category": Kind(pl.Categorical(), ("",), 0, len(WORDS) - 1),
    "enum": Kind(pl.Enum(WORDS), ("",), 0, len(WORDS) - 1),
    "date": Kind(pl.Date(), (), -100_000, 100_000),
    "time": Kind(pl.Time(), (), 0, 86_399_999_999_999),
    "datetime": Kind(pl.Datetime("us"), (), -(10**16), 10**16),
    "datetime_ms": Kind(pl.Datetime("ms", "America/New_York"), (), 0, 10**12),
    "datetime_ns": Kind(pl.Datetime("ns", "UTC"), (), 0, 10**18),
    "duration": Kind(pl.Duration("us"), (), -(10**15), 10**15),
    "decimal": Kind(pl.Decimal(20, 3), (), -(10**9), 10**9),
    "binary": Kind(pl.Binary(), (b"", b"\xff\x00", b"x" * 300), 0, len(WORDS) - 1),
    "null": Kind(pl.Null(), ()),
    "list": Kind(pl.List(pl.Int64()), ([], [None], [1, 2, 3])),
    "array": Kind(pl.Array(pl.Float64(), 2), ()),
    "struct": Kind(pl.Struct({"a": pl.Int64()}), ()),
}
#: what stock whylogs itself gets wrong, or can't take: see the reference
STOCK_FAILS = {"i64": 2**53, "i128": 0, "u64": 2**63}
NESTED = {"list", "array", "struct"}


def ordinary(kind: Kind, generator: np.random.Generator, size: int, distinct: int) -> pl.Series:
    """Return so many values, of which at most ``distinct`` differ."""
    pool = generator.integers(kind.low, kind.high, distinct, endpoint=True)
    picked = pl.Series(pool[generator.integers(0, distinct, size)])
    match kind.dtype:
        case pl.Float32() | pl.Float64():
            picked /= 7
        case pl.Decimal():
            picked = picked.cast(pl.Decimal(17, 0)) / 8
        case pl.String() | pl.Categorical() | pl.Enum() | pl.Binary():
            picked = pl.Series([WORDS[number] for number in picked], dtype=pl.String)
        case pl.Null():
            picked = pl.Series([None] * size)
        case pl.List():
            picked = pl.Series([[n, None][: n % 3] for n in picked], dtype=kind.dtype)
        case pl.Array():
            picked = pl.Series([[n, 0.5] for n in picked], dtype=kind.dtype)
        case pl.Struct():
            picked = pl.DataFrame({"a": picked}).to_struct()
        case pl.Date():
            picked = picked.cast(pl.Int32)
    return picked.cast(kind.dtype)


@st.composite
def columns(draw: st.DrawFn) -> tuple[str, pl.Series]:
    """Return a dtype's name and a column of it, with nulls and extremes strewn in."""
    name = draw(st.sampled_from(sorted(KINDS)))
    kind = KINDS[name]
    size = draw(st.one_of(st.integers(0, 40), st.integers(0, 10_000)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    distinct = draw(st.sampled_from([1, 3, 50, 700, 1500, 10_000]))
    values = ordinary(kind, generator, size, distinct)
    extreme_share = draw(st.sampled_from([0.0, 0.01, 0.3])) if kind.extremes else 0.0
    null_share = draw(st.sampled_from([0.0, 0.05, 0.9, 1.0]))
    if extreme_share:
        listed = values.to_list()
        for place in np.flatnonzero(generator.random(size) < extreme_share):
            listed[place] = kind.extremes[int(generator.integers(len(kind.extremes)))]
        values = pl.Series(listed, dtype=kind.dtype)
    holes = pl.Series(generator.random(size) < null_share, dtype=pl.Boolean)
    frame = pl.DataFrame({"values": values, "holes": holes})
    return name, frame.select(a=pl.when("holes").then(None).otherwise("values"))["a"]


@st.composite
def cut_columns(draw: st.DrawFn) -> tuple[str, list[pl.Series]]:
    """Return a dtype's name, and a column cut into parts."""
    name, column = draw(columns())
    ends = sorted(draw(st.lists(st.integers(0, len(column)), max_size=5)))
    edges = [0, *ends, len(column)]
    return name, [column[start:end] for start, end in pairwise(edges)]


def stock_can(name: str, column: pl.Series) -> bool:
    if name not in STOCK_FAILS:
        return True
    largest = max((abs(value) for value in column.drop_nulls().to_list()), default=0)
    return largest < STOCK_FAILS[name] or largest < 2**53


def in_any_order(profiles: list[Profile], seed: int) -> Profile:
    """Merge two at a time, picked at random, until one is left."""
    chance = random.Random(seed)
    left = list(profiles)
    while len(left) > 1:
        chance.shuffle(left)
        left.append(Profile.merge([left.pop(), left.pop()]))
    return left[0]


@FEW
@given(columns())
def test_counts_are_those_of_stock_whylogs_which_reads_and_merges_them(
    named: tuple[str, pl.Series],
) -> None:
    name, column = named
    frame = column.to_frame()
    made = profile(frame)
    view = stock.read(made.to_bytes())
    ours = stock.summary(view, "a")
    values = column.drop_nulls()

    assert Profile.from_bytes(made.to_bytes()).to_bytes() == made.to_bytes()
    assert made.to_bytes() == profile(frame.sample(fraction=1, shuffle=True, seed=1)).to_bytes()
    assert made.not_profiled == (("a",) if name in NESTED else ())
    assert (ours["counts/n"], ours["counts/n"] - ours["counts/null"]) == (
        len(column),
        len(values) - ours["counts/nan"],
    )
    if not stock_can(name, column) or not len(column):
        return
    theirs = stock.profiled(frame)
    expected = stock.summary(theirs, "a")
    assert {path: ours[path] for path in EXACT} == {path: expected[path] for path in EXACT}
    listed = name in {"text", "category", "enum", "bool"} or column.dtype.is_integer()
    if listed and values.n_unique() <= 768:
        assert stock.items(view, "a") == stock.items(theirs, "a")
    for merged in (view.merge(theirs), theirs.merge(stock.read(made.to_bytes()))):
        both = stock.summary(merged, "a")
        assert {path: both[path] for path in EXACT} == {path: 2 * ours[path] for path in EXACT}
        if expected["cardinality/est"] > 0.5:  # the same values once more are no new ones
            assert both["cardinality/est"] == pytest.approx(
                expected["cardinality/est"], rel=CARDINALITY
            )
    again = Profile.merge([made, Profile.from_bytes(theirs.serialize())])
    assert again.columns["a"].rows == 2 * len(column)


@FEW
@given(cut_columns(), st.integers(0, 2**32 - 1))
def test_merged_in_any_order_parts_are_the_whole(
    named: tuple[str, list[pl.Series]], seed: int
) -> None:
    _, parts = named
    column = pl.concat(parts)
    whole = profile(column.to_frame()).columns["a"]
    merged = in_any_order([profile(part.to_frame()) for part in parts], seed).columns["a"]

    for path in EXACT:
        assert merged.number(path) == whole.number(path)
    assert merged.extremes == whole.extremes
    assert merged.distinct == pytest.approx(whole.distinct, rel=CARDINALITY)
    if sum(whole.categories.values()) == whole.values:  # all of them fit
        assert merged.categories == whole.categories
    scale = max(map(abs, whole.extremes or (0.0,)))
    for moment, power in (("distribution/mean", 1), ("distribution/m2", 2)):
        exact, rounding = whole.number(moment), 1e-9 * scale**power if scale < 1e100 else math.inf
        assert merged.number(moment) == pytest.approx(exact, rel=1e-9, abs=rounding)
    assert_ranks(merged.points, column, 0.004)


@FEW
@given(columns())
def test_what_is_read_off_a_profile_is_so_in_the_rows(named: tuple[str, pl.Series]) -> None:
    name, column = named
    made = profile(column.to_frame()).columns["a"]
    values = [value for value in column.drop_nulls().to_list() if not is_odd(value)]

    assert made.values == len(values)
    if name not in NESTED:
        seen = {repr(value) if value != 0 else "0" for value in values}
        distinct = len(seen - {repr("")})  # which whylogs passes over
        assert made.constant == (len(seen) == 1)
        assert made.distinct == pytest.approx(distinct, rel=CARDINALITY, abs=0.1)
    if made.components.get("frequent_items/frequent_strings"):
        counted = Counter(str(value)[:128] for value in values)
        assert all(counted[item] == count for item, count in made.categories.items())
        if len(counted) <= 768:
            assert made.categories == counted
    assert_ranks(made.points, column, 1.01 / 1024)


def is_odd(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def assert_ranks(points: Any, column: pl.Series, error: float) -> None:
    """Hold the distribution function of a sketch against that of the rows."""
    if not len(points.values):
        return
    filled = column.drop_nulls()
    physical = filled.to_physical() if column.dtype.is_temporal() else filled
    numbers = physical.cast(pl.Float64).to_numpy()
    if column.dtype.is_temporal():
        unit = {"ms": 1e3, "us": 1e6, "ns": 1e9}[getattr(column.dtype, "time_unit", "ns")]
        numbers = numbers * 86_400 if column.dtype == pl.Date else numbers / unit
    exact = np.sort(numbers[np.isfinite(numbers)])
    assert points.weights.sum() == len(exact)
    for side in ("left", "right"):
        shares = np.concatenate([[0.0], points.cumulative])
        ours = shares[np.searchsorted(points.values, exact, side)]  # type: ignore[call-overload]  # side is a text, searchsorted wants a literal
        theirs = np.searchsorted(exact, exact, side) / len(exact)  # type: ignore[call-overload]  # side is a text, searchsorted wants a literal
        assert np.max(np.abs(ours - theirs)) <= error + 1e-12
