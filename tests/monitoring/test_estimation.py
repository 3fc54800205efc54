from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from mlops_assets.errors import ProfileError
from mlops_assets.learning.metrics import METRICS
from mlops_assets.monitoring.estimation import Calibration, estimated
from mlops_assets.sketches.profile import profile
from mlops_assets.sketches.quantiles import Points
from tests.monitoring.cbpe_rows import rows

NANNYML = Path(__file__).parent / "nannyml_cbpe.json"


def points(scores: np.ndarray) -> Points:
    return profile(pl.DataFrame({"score": scores})).columns["score"].points


def calibrated(scores: np.ndarray, truths: np.ndarray) -> Calibration:
    return Calibration.fit(pl.Series(scores), pl.Series(truths))


@pytest.mark.parametrize("metric", ["auc", "log_loss", "brier"])
def test_the_estimate_is_the_metric_where_chances_are_as_they_were(metric: str) -> None:
    # given scores that say too much, then as now; only their mix is another now
    random = np.random.default_rng(1)

    def drawn(size: int, mean: float) -> tuple[np.ndarray, np.ndarray]:
        logit = random.normal(mean, 1.5, size)
        truth = random.random(size) < 1 / (1 + np.exp(-logit / 2))
        return 1 / (1 + np.exp(-logit)), truth

    calibration = calibrated(*drawn(60_000, 0.0))
    for mean in (-1.0, 0.0, 0.7):
        scores, truths = drawn(60_000, mean)
        real = METRICS[metric].of(pl.Series(truths), pl.Series(scores))
        found = estimated(metric, points(scores), calibration)
        # a metric of 60,000 rows is itself off by about .003
        assert found == pytest.approx(real, abs=0.012)


def test_the_sketch_costs_little_against_all_scores() -> None:
    random = np.random.default_rng(2)
    known = random.beta(2, 5, 20_000)
    calibration = calibrated(known, random.random(20_000) < known**1.5)
    for rows_now in (900, 3_000, 50_000):
        scores = random.beta(2, 4, rows_now)
        every = Points(np.sort(scores), np.ones(rows_now, dtype=np.int64))
        for metric in ("auc", "log_loss", "brier"):
            exact = estimated(metric, every, calibration)
            found = estimated(metric, points(scores), calibration)
            # .00006 on the mean of many such, .0003 at worst
            assert found == pytest.approx(exact, abs=1e-12 if rows_now <= 1024 else 3e-4)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]), st.booleans()),
        min_size=2,
        max_size=60,
    ).filter(lambda rows: len({truth for _, truth in rows}) == 2)
)
def test_knots_are_the_isotonic_regression(drawn: list[tuple[float, bool]]) -> None:
    scores, truths = (np.array(side) for side in zip(*drawn, strict=True))
    calibration = calibrated(scores, truths)
    levels, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    means = np.bincount(places, truths) / counts
    wanted = isotonic_regression(means, weights=counts).x
    assert calibration.of(levels) == pytest.approx(wanted)
    assert list(calibration.chances) == sorted(calibration.chances)
    assert calibration.rows == len(drawn)
    # beyond the knots nothing changes
    assert calibration.of(np.array([-1.0, 2.0])) == pytest.approx(wanted[[0, -1]])
    for metric in ("auc", "log_loss", "brier"):
        found = estimated(metric, points(scores), calibration)
        assert found is None or 0 <= found < 40
    # what happened there is what is expected there, on the mean
    assert np.mean(calibration.of(scores)) == pytest.approx(np.mean(truths))


def test_what_is_not_known_is_said() -> None:
    with pytest.raises(ProfileError, match="no row of the negative class"):
        Calibration.fit(pl.Series([0.1, 0.7]), pl.Series([True, True]))
    with pytest.raises(ProfileError, match="no row of the positive class"):
        Calibration.fit(pl.Series([], dtype=pl.Float64), pl.Series([], dtype=pl.Boolean))
    calibration = Calibration.fit(pl.Series([0.1, 0.7, 0.3]), pl.Series([True, None, False]))
    assert calibration.rows == 2
    assert Calibration.from_bytes(calibration.to_bytes()) == calibration
    with pytest.raises(ProfileError, match="no calibration"):
        Calibration.from_bytes(b"[]")
    assert estimated("brier", points(np.empty(0)), calibration) is None
    with pytest.raises(ProfileError, match="`rmse` can't be estimated"):
        estimated("rmse", points(np.array([0.5])), calibration)
    always = Calibration((0.2, 0.8), (1.0, 1.0), 2)
    assert estimated("auc", points(np.array([0.2, 0.8])), always) is None


def test_certain_scores_cost_as_much_as_the_metric_says() -> None:
    certain = Calibration((0.0, 1.0), (0.25, 0.75), 4)
    scores = np.array([0.0, 1.0])
    found = estimated("log_loss", points(scores), certain)
    metric = METRICS["log_loss"]
    wrong = metric.of(pl.Series([1.0, 0.0]), pl.Series(scores))
    right = metric.of(pl.Series([0.0, 1.0]), pl.Series(scores))
    assert wrong is not None
    assert right is not None
    assert found == pytest.approx(0.25 * wrong + 0.75 * right)


def test_nannyml_says_the_same() -> None:
    kept = json.loads(NANNYML.read_text())
    reference, chunks = rows()
    calibration = calibrated(*reference)
    exact, sketched = [], []
    for scores, _ in chunks:
        every = Points(np.sort(scores), np.ones(len(scores), dtype=np.int64))
        exact.append(estimated("auc", every, calibration))
        sketched.append(estimated("auc", points(scores), calibration))
    # of all scores it is the same figure; NannyML rounds sums to five digits
    assert exact == pytest.approx(kept["auc"], abs=1e-8)
    # of a sketch it is off by what 1,024 of 5,000 scores don't say
    differences = np.abs(np.array(sketched) - kept["auc"])
    assert len(differences) == 6
    assert differences.max() < 4e-4
    assert np.median(differences) < 1.5e-4
