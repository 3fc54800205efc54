from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from mlops_assets.profiles.column import Column
from mlops_assets.profiles.distances import (
    distance,
    distance_to_rest,
    kept_categories,
    null_change,
)
from mlops_assets.profiles.profile import Profile, profile


def column(values: object) -> Column:
    return profile(pl.DataFrame({"a": pl.Series(values)})).columns["a"]


def exact_ks(left: np.ndarray, right: np.ndarray) -> float:
    at = np.concatenate([left, right])
    shares = [
        np.searchsorted(np.sort(side), at, side="right") / len(side) for side in (left, right)
    ]
    return float(np.max(np.abs(shares[0] - shares[1])))


@pytest.mark.parametrize("shift", [0.0, 0.1, 2.0])
def test_ks_from_sketches_is_the_ks_of_the_rows(shift: float) -> None:
    random = np.random.default_rng(3)
    left, right = random.normal(size=20_000), random.normal(shift, 1, size=6_000)
    found = distance(column(left), column(right), "ks")
    assert found == pytest.approx(exact_ks(left, right), abs=0.003)


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
            short = distance_to_rest(whole.columns[name], own.columns[name], kind, kept)
            long = distance(rest.columns[name], own.columns[name], kind, kept)
            assert short == pytest.approx(long, abs=0.004)


def test_a_side_without_values_or_of_another_type_is_as_far_as_can_be() -> None:
    numbers, nothing = column([1.0, 2.0]), column(pl.Series([None, None], dtype=pl.Float64))
    assert distance(numbers, nothing, "ks") == 1.0
    assert distance(numbers, column(["1", "2"]), "ks") == 1.0
    assert distance(nothing, nothing, "ks") == 0.0
    assert null_change(numbers, nothing) == 1.0
