from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from mlops_assets.declaration.sections import METRICS_OF, Task
from mlops_assets.errors import DeclarationError, TrainingError
from mlops_assets.learning.metrics import METRICS
from mlops_assets.learning.training import FittedModel
from mlops_assets.learning.twins import MOST_ROWS, compare_twins, fit_twin, sampled

FEATURES = ["amount", "colour"]


def sales(rows: int = 3_000, seed: int = 0, *, turned: bool = False) -> pl.DataFrame:
    """Rows whose habit can be turned round; `paid` is binary, `spent` a number."""
    draw = np.random.default_rng(seed)
    amount = draw.normal(size=rows)
    lean = -2 * amount if turned else 2 * amount
    return pl.DataFrame(
        {
            "amount": amount,
            "colour": draw.choice(["blue", "red"], rows),
            "paid": draw.random(rows) < 1 / (1 + np.exp(-lean)),
            "spent": 100 * lean + draw.normal(size=rows),
        }
    )


TARGETS: dict[Task, str] = {"binary": "paid", "regression": "spent"}


@pytest.fixture(scope="module", params=["binary", "regression"])
def twins(request: pytest.FixtureRequest) -> tuple[Task, FittedModel, FittedModel]:
    """Return (task, the one that knows the new habit, the one that doesn't)."""
    task: Task = request.param
    known, before = sales(turned=True), sales()
    return (
        task,
        fit_twin(known, FEATURES, TARGETS[task], task, 1),
        fit_twin(before, FEATURES, TARGETS[task], task, 1),
    )


def test_the_gain_is_positive_where_a_retraining_would_have_helped_by_every_metric(
    twins: tuple[Task, FittedModel, FittedModel],
) -> None:
    task, fresh, stale = twins
    rows = sales(seed=2, turned=True)
    for name in METRICS_OF[task]:
        found = compare_twins(rows, fresh, stale, target=TARGETS[task], metric=name)
        # both figures are the metric's own on these rows, and the gain is their difference
        assert found.fresh == METRICS[name].of(rows[TARGETS[task]], fresh.predict(rows))
        assert found.champion == METRICS[name].of(rows[TARGETS[task]], stale.predict(rows))
        assert found.fresh is not None
        assert found.champion is not None
        assert found.gain == pytest.approx(abs(found.fresh - found.champion))
        assert (found.rows, found.reason) == (rows.height, "")
        back = compare_twins(rows, stale, fresh, target=TARGETS[task], metric=name)
        assert back.gain == pytest.approx(-found.gain)


def test_a_twin_against_itself_gains_nothing(
    twins: tuple[Task, FittedModel, FittedModel],
) -> None:
    task, fresh, _ = twins
    found = compare_twins(
        sales(seed=2), fresh, fresh, target=TARGETS[task], metric=METRICS_OF[task][0]
    )
    assert found.gain == 0.0


def test_money_is_summed_over_the_rows_and_counted_for_a_month(
    twins: tuple[Task, FittedModel, FittedModel],
) -> None:
    # given a campaign: 5 earned with each customer that pays, 1 spent on each that is written to
    task, fresh, stale = twins
    rows = sales(1_000, seed=2, turned=True)
    target = TARGETS[task]
    written = pl.col("score") > (0.5 if task == "binary" else 0.0)
    kpi = pl.when(written).then(pl.when(pl.col("target") > 0).then(5) - 1).otherwise(0)
    money = []
    for twin in (fresh, stale):
        scored = rows.with_columns(twin.predict(rows), target=pl.col(target))
        money.append(float(scored.select(kpi.sum()).item()))
    # when the window is half a month long, then what it earned is worth twice as much a month
    found = compare_twins(
        rows, fresh, stale, target=target, metric=METRICS_OF[task][0], kpi=kpi, months=0.5
    )
    assert (found.fresh, found.champion) == (
        pytest.approx(2 * money[0]),
        pytest.approx(2 * money[1]),
    )
    assert found.gain == pytest.approx(2 * (money[0] - money[1]))
    assert found.gain > 0


@pytest.mark.parametrize(
    ("kpi", "words"),
    [
        (pl.col("scores"), "retraining.kpi fails: .*scores"),
        (pl.lit("money"), "gives String; it must be money per row"),
        (pl.col("score") / 0, "NaN or infinity"),
    ],
)
def test_a_kpi_that_gives_no_money_is_said(kpi: pl.Expr, words: str) -> None:
    twin = fit_twin(sales(300), FEATURES, "paid", "binary", 1)
    with pytest.raises(DeclarationError, match=words):
        compare_twins(sales(300), twin, twin, target="paid", metric="auc", kpi=kpi)


def unlabelled(rows: pl.DataFrame, labelled: int, target: str = "paid") -> pl.DataFrame:
    place = pl.int_range(pl.len())
    return rows.with_columns(pl.when(place < labelled).then(pl.col(target)).alias(target))


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (unlabelled(sales(200), 0), "none of its 200 rows has a label"),
        (sales(0), "none of its 0 rows has a label"),
        (unlabelled(sales(200), 80), "40% of its 200 rows have a label, where 90% is usual"),
        (sales(29), "29 labelled rows, at least 30 are needed"),
        (
            sales(200).with_columns(paid=pl.int_range(pl.len()) < 9),
            "9 of its 200 labelled rows are of the rarer class, at least 10",
        ),
    ],
)
def test_a_window_with_too_few_labels_waits_and_says_for_what(
    rows: pl.DataFrame, reason: str
) -> None:
    twin = fit_twin(sales(300), FEATURES, "paid", "binary", 1)
    found = compare_twins(
        rows, twin, twin, target="paid", metric="auc", usual_labelled=[0.9, 1.0, 0.2]
    )
    assert found.gain is None
    assert reason in found.reason
    assert found.rows == rows["paid"].count()


def test_the_labels_that_are_there_are_judged_on_where_few_are_usual() -> None:
    # given a window of which a fifth has labels, as it always had
    twin = fit_twin(sales(300), FEATURES, "paid", "binary", 1)
    other = fit_twin(sales(300, seed=5), FEATURES, "paid", "binary", 1)
    rows = unlabelled(sales(500, seed=1), 100)
    found = compare_twins(
        rows, twin, other, target="paid", metric="auc", usual_labelled=[0.2, 0.3, 0.1]
    )
    # then those are judged, as if there were no others
    assert found == compare_twins(rows.head(100), twin, other, target="paid", metric="auc")
    assert found.gain is not None


def test_other_metrics_ask_for_no_second_class() -> None:
    twin = fit_twin(sales(300), FEATURES, "paid", "binary", 1)
    rows = sales(200).with_columns(paid=pl.lit(value=True))
    assert compare_twins(rows, twin, twin, target="paid", metric="auc").gain is None
    assert compare_twins(rows, twin, twin, target="paid", metric="log_loss").gain == 0.0


def test_the_same_rows_and_seed_give_the_same_twin_and_it_is_small() -> None:
    rows = sales(MOST_ROWS + 5_000)
    one, again = (fit_twin(rows, FEATURES, "spent", "regression", 1) for _ in range(2))
    assert one.checksum == again.checksum
    assert one.booster_text.count("\nTree=") == 60
    assert max(map(int, _leaves(one))) <= 15
    assert fit_twin(rows, FEATURES, "spent", "regression", 2).checksum != one.checksum


def _leaves(model: FittedModel) -> list[str]:
    lines = model.booster_text.splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith("num_leaves=")]


def test_of_many_rows_some_are_taken_in_their_order_and_only_labelled_ones() -> None:
    rows = pl.DataFrame({"place": range(1_000)})
    chosen = sampled(rows, 100, 1)["place"]
    assert chosen.len() == chosen.n_unique() == 100
    assert chosen.is_sorted()
    # from all over
    assert (chosen < 100).any()
    assert (chosen >= 900).any()
    assert not sampled(rows, 100, 2)["place"].equals(chosen)
    assert sampled(rows, 1_000, 1).equals(rows)
    # a twin of mostly unlabelled rows learns from all that are labelled
    few = unlabelled(sales(2 * MOST_ROWS), 500)
    expected = fit_twin(few.head(500), FEATURES, "paid", "binary", 1)
    assert fit_twin(few, FEATURES, "paid", "binary", 1).checksum == expected.checksum


def test_twins_of_neighbouring_windows_learn_from_nearly_the_same_rows() -> None:
    # given a frame that grows by a window at its end, and one that also loses its first
    names = [f"w{number:02d}" for number in range(12)]
    rows = pl.DataFrame(
        {"window": [name for name in names for _ in range(100)], "place": range(1_200)}
    )
    before, grown, rolled = rows.head(1_000), rows.head(1_100), rows.slice(100, 1_000)

    def places(frame: pl.DataFrame) -> set[int]:
        return set(sampled(frame, 500, 1)["place"])

    # then what both may have is nearly the same, though a half was taken by chance
    for later in (grown, rolled):
        both = places(later) & places(before)
        assert len(both) > 0.85 * len(places(later) - set(range(1_000, 1_200)))
    # also without a column that names the windows, where the frame only grows
    unnamed = places(before.drop("window"))
    assert len(places(grown.drop("window")) & unnamed) > 0.85 * 500 * 1_000 / 1_100


def test_rows_that_teach_nothing_are_refused_as_in_training() -> None:
    with pytest.raises(TrainingError, match="one class"):
        fit_twin(sales(100).filter("paid"), FEATURES, "paid", "binary", 1)
    with pytest.raises(TrainingError, match="NaN, infinite"):
        fit_twin(
            sales(100).with_columns(spent=pl.lit(math.nan)), FEATURES, "spent", "regression", 1
        )
