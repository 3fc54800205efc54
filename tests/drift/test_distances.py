from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, wasserstein_distance

from mlops_assets.drift.distances import (
    cardinality_change,
    distance,
    kept_categories,
    null_change,
    own_distance,
    population_stability,
    wasserstein,
)
from mlops_assets.sketches.column import Column, merged
from mlops_assets.sketches.profile import Profile, profile


def column(values: object) -> Column:
    return profile(pl.DataFrame({"a": pl.Series(values)})).columns["a"]


Shape = Callable[[np.random.Generator, int, float], np.ndarray]
SHAPES: dict[str, Shape] = {
    "normal": lambda r, n, moved: r.normal(moved, 1, n),
    "lognormal": lambda r, n, moved: r.lognormal(moved, 1, n),
    "heavy tails": lambda r, n, moved: r.standard_t(1.5, n) + moved,
    "pareto": lambda r, n, moved: r.pareto(1.2, n) * (1 + moved),
    "mixture": lambda r, n, moved: np.where(
        r.random(n) < 0.3 + moved / 10, r.normal(50, 0.1, n), r.normal(0, 1, n)
    ),
    "zeros and more": lambda r, n, moved: np.where(
        r.random(n) < 0.55, 0, r.exponential(1 + moved, n)
    ),
    "counts": lambda r, n, moved: r.poisson(3 + moved, n).astype(np.float64),
    "two values": lambda r, n, moved: (r.random(n) < 0.25 + moved / 10).astype(np.float64),
    "tiny numbers": lambda r, n, moved: r.normal(moved, 1, n) * 1e-300,
    "large numbers": lambda r, n, moved: r.normal(moved, 1, n) * 1e100,
}
SIZES = [(40, 25), (1024, 900), (5_000, 1_500), (200_000, 10_000)]
HEAVY = ("heavy tails", "pareto")


def with_gaps(random: np.random.Generator, values: np.ndarray) -> pl.Series:
    """Put nulls, nan and infinities between the values."""
    gaps = [float("nan"), float("inf"), float("-inf"), None]
    rows = [*values.tolist(), *(gaps[i % 4] for i in range(len(values) // 10))]
    order = random.permutation(len(rows))
    return pl.Series([rows[i] for i in order], dtype=pl.Float64)


def sides(shape: str, sizes: tuple[int, int], moved: float) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(sizes[0])
    left = SHAPES[shape](random, sizes[0], 0.0)
    return left, SHAPES[shape](random, sizes[1], moved)


def sketched(left: np.ndarray, right: np.ndarray) -> tuple[Column, Column]:
    random = np.random.default_rng(1)
    return column(with_gaps(random, left)), column(with_gaps(random, right))


def exact_psi(left: np.ndarray, right: np.ndarray) -> float:
    """Return the index over deciles of the rows themselves, ties and what lies below told apart."""
    edges = np.unique(np.quantile(left, np.arange(1, 10) / 10, method="inverted_cdf"))
    below = [np.nextafter(edges[0], -np.inf)] if edges[0] == left.min() else []
    bins = [-np.inf, *below, *edges, np.inf]
    shares = []
    for side in (left, right):
        upto = np.searchsorted(np.sort(side), bins, side="right") / len(side)
        shares.append(np.maximum(np.diff(upto), 1e-3))
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))


def exact_ks(left: np.ndarray, right: np.ndarray) -> float:
    at = np.concatenate([left, right])
    shares = [
        np.searchsorted(np.sort(side), at, side="right") / len(side) for side in (left, right)
    ]
    return float(np.max(np.abs(shares[0] - shares[1])))


@pytest.mark.parametrize("moved", [0.0, 0.3, 3.0])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("shape", SHAPES)
def test_statistics_of_sketches_are_those_of_the_rows(
    shape: str, sizes: tuple[int, int], moved: float
) -> None:
    left, right = sides(shape, sizes, moved)
    reference, window = sketched(left, right)
    lossless = max(sizes) <= 1024

    ks = ks_2samp(left, right, method="asymp").statistic
    assert distance(reference, window, "ks") == pytest.approx(ks, abs=1e-9 if lossless else 0.003)

    psi = exact_psi(left, right)
    found = population_stability(reference, window, "ks")
    assert found == pytest.approx(psi, abs=1e-9 if lossless else 0.02 + psi / 10)

    scale = np.abs(left).max()  # scipy overflows where the values do
    area = wasserstein_distance(left / scale, right / scale) / np.std(left / scale, ddof=1)
    heavy = shape in HEAVY
    lost = 0.0 if lossless else 0.05 + area / 20 if heavy else 0.005 + area / 100
    if shape == "tiny numbers":
        assert wasserstein(reference, window) is None  # a float can't hold their squares
        return
    assert wasserstein(reference, window) == pytest.approx(area, abs=max(lost, area * 1e-6))


@pytest.mark.parametrize("moved", [0.0, 0.3, 3.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_merged_reference_costs_little_more(shape: str, moved: float) -> None:
    random = np.random.default_rng(2)
    parts = [SHAPES[shape](random, rows, 0.0) for rows in (300, 6000, 6100, 20_000, 1, 5000)]
    left, right = np.concatenate(parts), SHAPES[shape](random, 6000, moved)
    reference = Profile.merge([Profile({"a": column(part)}) for part in parts]).columns["a"]
    assert distance(reference, column(right), "ks") == pytest.approx(
        exact_ks(left, right), abs=0.004
    )
    psi = exact_psi(left, right)
    assert population_stability(reference, column(right), "ks") == pytest.approx(
        psi, abs=0.02 + psi / 10
    )


numbers = st.lists(
    st.one_of(
        st.integers(-3, 3).map(float),
        st.floats(-1e6, 1e6, allow_nan=False),
        st.sampled_from([float("nan"), float("inf"), float("-inf"), None]),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(left=numbers, right=numbers, times=st.sampled_from([1, 7, 100]))
def test_any_numbers_and_any_gaps(
    left: list[float | None], right: list[float | None], times: int
) -> None:
    reference, window = (
        column(pl.Series(side * times, dtype=pl.Float64)) for side in (left, right)
    )
    clean = [
        np.array([v for v in side if v is not None and np.isfinite(v)] * times)
        for side in (left, right)
    ]
    changed = [
        1 - len(c) / (len(s) * times) if s else 0 for c, s in zip(clean, (left, right), strict=True)
    ]
    assert null_change(reference, window) == pytest.approx(changed[1] - changed[0])
    kind = reference.kind
    found = distance(reference, window, kind)
    psi, area = population_stability(reference, window, kind), wasserstein(reference, window)
    if not all(map(len, clean)):
        # without a value on the reference's side there is nothing to measure a distance by
        assert found == float(bool(len(clean[0])))
        assert (psi, area) == (None, None)
        return
    assert 0 <= found <= 1
    assert found == pytest.approx(exact_ks(*clean), abs=0.003)
    assert psi is not None
    assert psi >= 0
    if max(map(len, clean)) <= 1024:
        assert psi == pytest.approx(exact_psi(*clean), abs=1e-9)
    if area is None:
        # sketches hold moments as sums: what they give where all are equal is a rounding error,
        # and squares of tiny numbers are 0
        few = len(clean[0]) < 2
        assert few or np.std(clean[0], ddof=1) <= 1.01e-12 * abs(np.mean(clean[0]))
    elif np.ptp(clean[0]) > 1e-3 * (1 + np.abs(clean[0]).max()):
        exact = wasserstein_distance(*clean) / np.std(clean[0], ddof=1)
        assert area == pytest.approx(exact, rel=0.01, abs=0.01)


categories = st.lists(st.sampled_from([*"abcdefgh", None]), min_size=1, max_size=80)


@settings(max_examples=200, deadline=None)
@given(left=categories, right=categories, times=st.sampled_from([1, 50]))
def test_any_categories(left: list[str | None], right: list[str | None], times: int) -> None:
    reference, window = (column(pl.Series(s * times, dtype=pl.String)) for s in (left, right))
    kept = kept_categories(reference, window.values)
    clean = [[value for value in side if value is not None] for side in (left, right)]
    if not all(clean):
        assert population_stability(reference, window, reference.kind, kept) is None
        return
    shares = [
        np.array(
            [
                *(side.count(k) / len(side) for k in kept),
                sum(v not in kept for v in side) / len(side),
            ]
        )
        for side in clean
    ]
    assert distance(reference, window, "tv", kept) == pytest.approx(
        np.abs(shares[0] - shares[1]).sum() / 2
    )
    p, q = (np.maximum(share, 1e-3) for share in shares)
    assert population_stability(reference, window, "tv", kept) == pytest.approx(
        np.sum((q - p) * np.log(q / p))
    )


@pytest.mark.parametrize(("before", "now"), [(10, 10), (1000, 500), (50_000, 60_000)])
def test_cardinality_is_the_ratio_of_distinct_values(before: int, now: int) -> None:
    for made in (np.arange, lambda n: np.arange(n).astype(str)):
        found = cardinality_change(column(made(before)), column(np.repeat(made(now), 3)))
        assert found == pytest.approx(now / before, rel=0.08)
    assert cardinality_change(column(pl.Series([None], dtype=pl.Float64)), column([1.0])) is None


def test_a_constant_reference_has_no_spread_to_measure_by_and_tells_both_sides() -> None:
    constant, above, below = (column([value] * 50) for value in (3.0, 4.0, 2.0))
    assert wasserstein(constant, above) is None
    # given a value that no float holds, whose sum of squares is rounded
    tenth = merged([column([0.1] * n) for n in (3, 7, 5000)])
    almost = column([1e9, 1e9 + 1e-6] * 50)
    assert wasserstein(tenth, above) is wasserstein(almost, above) is None
    assert population_stability(constant, constant, "ks") == 0
    moved = population_stability(constant, above, "ks")
    assert (
        moved
        == population_stability(constant, below, "ks")
        == pytest.approx(2 * 0.999 * np.log(1000))
    )


def test_few_distinct_numbers_and_booleans() -> None:
    left, right = np.array([0] * 60 + [1] * 40), np.array([0] * 30 + [1] * 70)
    assert distance(column(left), column(right), "ks") == pytest.approx(0.3)
    assert distance(column(left > 0), column(right > 0), "tv", ["False", "True"]) == pytest.approx(
        0.3
    )


def test_total_variation_pools_what_is_rare_in_the_reference() -> None:
    reference = column(["a"] * 500 + ["b"] * 490 + [f"rare{i}" for i in range(10)])
    window = column(["a"] * 50 + ["b"] * 30 + ["new"] * 20)
    kept = kept_categories(reference, window_values=100)
    assert kept == ("a", "b")  # a rare one is expected .1 times in 100 rows
    # a: 0, b: .49 - .30, everything else together: .01 - .20
    assert distance(reference, window, "tv", kept) == pytest.approx(0.19)


def test_a_window_against_the_rest_needs_no_second_merge() -> None:
    random = np.random.default_rng(5)
    windows = [
        pl.DataFrame(
            {
                "number": pl.Series([None] * (i * 200) + list(random.normal(i / 5, 1, 2000))),
                "text": random.choice(
                    ["x", "y", "z"], i * 200 + 2000, p=[0.5, 0.4 - i / 20, 0.1 + i / 20]
                ),
            }
        )
        for i in range(5)
    ]
    whole = Profile.merge([profile(window) for window in windows])
    for number, window in enumerate(windows):
        rest = profile(pl.concat([w for i, w in enumerate(windows) if i != number]))
        own = profile(window)
        for name, kind, kept in (("number", "ks", ()), ("text", "tv", ("x", "y", "z"))):
            short = own_distance(whole.columns[name], own.columns[name], kind, kept)
            long = distance(rest.columns[name], own.columns[name], kind, kept)
            share = own.columns[name].values / whole.columns[name].values
            # on the scale of a window that is compared with all, and not with the rest
            assert short == pytest.approx(long * math.sqrt(1 - share**2), abs=0.004)


def test_an_own_window_is_as_far_as_a_new_one() -> None:
    # given many references of two windows, and a third of the same kind
    random = np.random.default_rng(1)
    own, new = [], []
    for _ in range(1000):
        *weeks, third = [column(random.normal(random.normal(0, 0.3), 1, 200)) for _ in range(3)]
        whole = Profile.merge([Profile({"a": week}) for week in weeks]).columns["a"]
        own += [own_distance(whole, week, "ks") for week in weeks]
        new.append(distance(whole, third, "ks"))
    # then on the mean they are equally far, where against the other alone it were 15% farther
    assert np.mean(own) == pytest.approx(np.mean(new), rel=0.06)


def test_a_side_without_values_or_of_another_type_is_as_far_as_can_be() -> None:
    numbers, nothing = column([1.0, 2.0]), column(pl.Series([None, None], dtype=pl.Float64))
    assert distance(numbers, nothing, "ks") == 1.0
    assert distance(numbers, column(["1", "2"]), "ks") == 1.0
    assert distance(nothing, nothing, "ks") == 0.0
    assert null_change(numbers, nothing) == 1.0
