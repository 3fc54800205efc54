from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.declaration.sections import METRICS_OF
from mlops_assets.errors import TrainingError, UnknownNameError
from mlops_assets.learning.metrics import METRICS, auc, brier, log_loss, metric_named

CENTS = st.integers(-(10**8), 10**8).map(lambda cents: cents / 100)
ROWS = st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.2, 0.5, 0.9])), max_size=30)


@settings(deadline=None, max_examples=50)
@given(ROWS)
def test_auc_is_the_chance_that_a_positive_scores_higher(rows: list[tuple[bool, float]]) -> None:
    truth = pl.Series([t for t, _ in rows], dtype=pl.Boolean)
    score = pl.Series([s for _, s in rows], dtype=pl.Float64)
    pairs = [(p > n) + 0.5 * (p == n) for t, p in rows if t for u, n in rows if not u]
    expected = sum(pairs) / len(pairs) if pairs else None
    assert auc(truth, score) == (None if expected is None else pytest.approx(expected))


def test_log_loss_and_brier_by_hand() -> None:
    truth, score = pl.Series([1, 0, 1]), pl.Series([0.9, 0.2, 0.5])
    assert log_loss(truth, score) == pytest.approx(-math.log(0.9 * 0.8 * 0.5) / 3)
    assert brier(truth, score) == pytest.approx((0.01 + 0.04 + 0.25) / 3)


def test_a_certain_and_wrong_score_costs_much_but_not_infinitely() -> None:
    worst = log_loss(pl.Series([1, 0]), pl.Series([0.0, 1.0]))
    assert worst == pytest.approx(-math.log(1e-15), rel=0.01)


@pytest.mark.parametrize("name", METRICS)
def test_rows_without_truth_do_not_count(name: str) -> None:
    truth, score = pl.Series([True, False, True]), pl.Series([0.9, 0.2, 0.1])
    with_nulls = pl.Series([True, None, False, None, True])
    assert METRICS[name].of(with_nulls, pl.Series([0.9, 0.5, 0.2, None, 0.1])) == METRICS[name].of(
        truth, score
    )


@pytest.mark.parametrize("name", METRICS)
def test_no_rows_are_undefined_not_nan(name: str) -> None:
    assert METRICS[name].of(pl.Series([None], dtype=pl.Boolean), pl.Series([0.5])) is None


def test_auc_of_one_class_is_undefined() -> None:
    assert auc(pl.Series([1, 1]), pl.Series([0.5, 0.6])) is None


def test_auc_survives_more_pairs_than_32_bits_hold() -> None:
    rows = 200_000
    truth = (
        pl.Series([False, True])
        .new_from_index(0, rows)
        .append(pl.Series([True]).new_from_index(0, rows))
    )
    assert auc(truth, pl.Series("score", range(2 * rows))) == 1.0


def test_directions() -> None:
    assert metric_named("auc").gain(0.8, 0.7) == pytest.approx(0.1)
    assert metric_named("brier").gain(0.2, 0.3) == pytest.approx(0.1)
    assert metric_named("log_loss").gain(0.3, 0.2) == pytest.approx(-0.1)


def test_an_unknown_metric_names_the_closest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean `log_loss`"):
        metric_named("logloss")


@pytest.mark.parametrize(
    ("truth", "score", "message"),
    [
        ([1, 0], [0.5], "2 truths and 1 scores"),
        ([1, 0], [0.5, None], "no score for 1 of 2 rows with a truth"),
        ([1, 0], [0.5, math.nan], "no score for 1 of 2 rows with a truth"),
        ([1, 2], [0.5, 0.5], "neither 0 nor 1"),
    ],
)
def test_rows_that_can_not_be_judged_are_refused(
    truth: list[int], score: list[float | None], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        auc(pl.Series(truth), pl.Series(score))


def test_rmse_and_mae_by_hand() -> None:
    truth, score = pl.Series([1.0, -2.0, 4.0]), pl.Series([2.0, 0.0, 4.0])
    assert METRICS["rmse"].of(truth, score) == pytest.approx(math.sqrt(5 / 3))
    assert METRICS["mae"].of(truth, score) == pytest.approx(1.0)
    assert metric_named("rmse").gain(2.0, 3.0) == pytest.approx(1.0)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(CENTS, CENTS), min_size=1, max_size=30),
    st.floats(0.1, 1e3),
)
def test_errors_are_in_the_targets_unit(rows: list[tuple[float, float]], unit: float) -> None:
    truth, score = pl.Series([t for t, _ in rows]), pl.Series([s for _, s in rows])
    for name in ("rmse", "mae"):
        plain, scaled = METRICS[name].of(truth, score), METRICS[name].of(truth * unit, score * unit)
        assert plain is not None
        assert scaled == pytest.approx(plain * unit, rel=1e-9, abs=1e-9)
    # the mean of errors is never more than their root mean square
    assert METRICS["mae"].of(truth, score) <= METRICS["rmse"].of(truth, score) * (1 + 1e-9)  # type: ignore[operator]  # both are defined here


@pytest.mark.parametrize("name", ["rmse", "mae"])
@pytest.mark.parametrize("truth", [math.nan, math.inf])
def test_a_truth_that_is_no_number_is_refused(name: str, truth: float) -> None:
    with pytest.raises(TrainingError, match="NaN or infinite"):
        METRICS[name].of(pl.Series([1.0, truth]), pl.Series([1.0, 1.0]))


def test_every_metric_is_of_the_task_that_the_declaration_gives_it() -> None:
    for task, names in METRICS_OF.items():
        assert [name for name, metric in METRICS.items() if metric.task == task] == list(names)
