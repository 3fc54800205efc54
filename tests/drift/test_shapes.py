from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from mlops_assets.drift.shapes import BINS, MOST_CATEGORIES, shape
from mlops_assets.sketches.column import Column
from mlops_assets.sketches.profile import profile


def column(values: object) -> Column:
    return profile(pl.DataFrame({"a": pl.Series(values)})).columns["a"]


def test_numbers_are_shared_out_among_the_same_bins() -> None:
    random = np.random.default_rng(1)
    before, now = random.normal(0, 1, 9000), random.normal(1, 1, 900)
    found = shape(column(before), column(now), "ks")
    assert found is not None
    assert len(found.before) == len(found.now) == BINS == len(found.edges) - 1
    # what lies beyond the edges is in the first and the last bin
    edges = [-np.inf, *found.edges[1:-1], np.inf]
    for shares, rows in ((found.before, before), (found.now, now)):
        exact = np.histogram(rows, edges)[0] / len(rows)
        assert shares == pytest.approx(exact, abs=0.003)


def test_few_numbers_are_shown_each_by_itself() -> None:
    found = shape(column([0, 0, 1, 2]), column([1, 1, 1, 5]), "ks")
    assert found is not None
    assert found.names == ("0", "1", "2", "5")
    assert (found.before, found.now) == ((0.5, 0.25, 0.25, 0.0), (0.0, 0.75, 0.0, 0.25))


def test_all_but_a_few_of_one_value_can_be_drawn_too() -> None:
    near, far = (
        [n * sign for n in some for sign in (1, -1)] for some in (range(1, 6), range(6, 11))
    )
    found = shape(column([0] * 1000 + near), column([0] * 1000 + far), "ks")
    assert found is not None
    assert (found.edges[0], found.edges[-1]) == (-10, 10)
    assert sum(found.now) == pytest.approx(1)


def test_rare_and_new_categories_are_one() -> None:
    before = [f"c{n:02}" for n in range(20) for _ in range(40 - n)]
    found = shape(column(before), column(["c00"] * 5 + ["new"] * 5), "tv")
    assert found is not None
    assert found.names == (*(f"c{n:02}" for n in range(MOST_CATEGORIES)), "others")
    assert found.now == pytest.approx((0.5, *[0.0] * (MOST_CATEGORIES - 1), 0.5))
    assert sum(found.before) == pytest.approx(1)
    two = shape(column(["a", "b"]), column(["b", "b"]), "tv")
    assert two is not None
    assert two.names == ("a", "b")


def test_nothing_is_shown_of_what_cannot_be_compared() -> None:
    assert shape(column([1.0, 2.0]), column(["1", "2"]), "ks") is None
    assert shape(column([1.0]), column(pl.Series([None], dtype=pl.Float64)), "ks") is None
    assert shape(column([b"x"]), column([b"x"]), "none") is None
