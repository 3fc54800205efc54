from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlops_assets.errors import FeatureError, MlopsError, TrainingError
from mlops_assets.learning.metrics import auc, rmse
from mlops_assets.learning.training import FittedModel, load_lightgbm, train

SAMPLED = {"num_leaves": 7, "bagging_fraction": 0.7, "bagging_freq": 1, "feature_fraction": 0.7}


def flights(rows: int = 2_000, seed: int = 0) -> pl.DataFrame:
    """Delays that depend on carrier and wind, not on noise."""
    draw = np.random.default_rng(seed)
    wind, carrier = draw.normal(size=rows), draw.choice(["AA", "DL", "UA"], rows)
    chance = 1 / (1 + np.exp(-2 * wind - 2 * (carrier == "UA")))
    return pl.DataFrame(
        {
            "wind": wind,
            "carrier": carrier,
            "noise, with [odd]: name": draw.normal(size=rows),
            "late": draw.random(rows) < chance,
        }
    )


FEATURES = ["wind", "carrier", "noise, with [odd]: name"]


def fit(frame: pl.DataFrame, **changes: Any) -> FittedModel:
    asked = {
        "features": FEATURES,
        "target": "late",
        "parameters": SAMPLED,
        "rounds": 20,
        "seed": 1,
        **changes,
    }
    return train(frame, **asked)


@pytest.fixture(scope="module")
def model() -> FittedModel:
    return fit(flights())


def test_it_learns_what_there_is_to_learn(model: FittedModel) -> None:
    unseen = flights(seed=1)
    scores = model.predict(unseen)
    assert scores.name == "score"
    assert scores.dtype == pl.Float64
    assert scores.is_between(0, 1).all()
    figure = auc(unseen["late"], scores)
    assert figure is not None
    assert figure > 0.8


def test_importance_is_shares_of_the_gain(model: FittedModel) -> None:
    shares = model.importance()
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=lambda name: shares[name]) == "wind"
    assert min(shares, key=lambda name: shares[name]) == FEATURES[2]


def test_a_model_that_never_split_has_no_importance() -> None:
    stump = fit(flights(), parameters={"min_gain_to_split": 1e9})
    assert set(stump.importance().values()) == {0.0}


@pytest.mark.parametrize("threads", [1, 2])
def test_same_rows_and_seed_give_the_same_bytes(
    model: FittedModel, threads: int, tmp_path: Path
) -> None:
    again = fit(flights(), threads=threads)
    model.save(tmp_path / "one")
    again.save(tmp_path / "two")
    for name in ("model.txt", "encoding.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert again.checksum == model.checksum


def test_another_seed_gives_another_model(model: FittedModel) -> None:
    assert fit(flights(), seed=2).checksum != model.checksum


def test_a_saved_model_scores_alike(model: FittedModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    loaded = FittedModel.load(tmp_path)
    assert loaded.checksum == model.checksum
    assert loaded.predict(flights()).equals(model.predict(flights()))


def test_a_score_depends_on_no_other_row(model: FittedModel) -> None:
    frame = flights(100)
    one_by_one = pl.concat([model.predict(frame.slice(row, 1)) for row in range(100)])
    assert one_by_one.equals(model.predict(frame))
    assert model.predict(frame.clear()).is_empty()


def test_rows_without_a_label_are_left_out(model: FittedModel) -> None:
    unlabelled = flights(500, seed=9).with_columns(late=pl.lit(None, pl.Boolean))
    assert fit(pl.concat([flights(), unlabelled])).checksum == model.checksum


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameters": {"num_leafs": 7}}, "no parameter `num_leafs`; did you mean `num_leaves`"),
        ({"parameters": {"n_estimators": 7}}, "`n_estimators` is set by the training itself"),
        ({"parameters": {"bagging_seed": 7}}, "`bagging_seed` is set by the training itself"),
        ({"parameters": {"num_leaves": 1}}, "LightGBM refused"),
        ({"rounds": 0}, "at least 1"),
        ({"seed": -1}, "seed is -1"),
        ({"features": ["wind", "late"]}, "among the features"),
        ({"features": ["winds"]}, "did you mean `wind`"),
        ({"target": "lat"}, "did you mean `late`"),
        ({"target": "wind"}, "must be 0 or 1"),
        ({"target": "carrier"}, "must be Boolean"),
    ],
)
def test_what_can_not_be_trained_says_why(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((TrainingError, FeatureError), match=message):
        fit(flights(200), **changes)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (flights(50).filter("late"), "one class"),
        (flights(50).clear(), "no row has a `late`"),
        (flights(50).with_columns(late=pl.lit(None, pl.Boolean)), "no row has a `late`"),
    ],
)
def test_rows_that_teach_nothing_are_refused(rows: pl.DataFrame, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        fit(rows)


def test_a_damaged_folder_is_refused(model: FittedModel, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no model in"):
        FittedModel.load(tmp_path)
    model.save(tmp_path)
    other = fit(flights(200), features=["wind"])
    (tmp_path / "encoding.json").write_text(other.encoding.to_json())
    with pytest.raises(TrainingError, match="of two models"):
        FittedModel.load(tmp_path)
    (tmp_path / "model.txt").write_text("tree\n")
    with pytest.raises(MlopsError, match="not a LightGBM model"):
        FittedModel.load(tmp_path)


def test_a_number_is_learnt_as_a_number() -> None:
    # given delays in minutes, thousands of them and below zero too
    def delays(seed: int) -> pl.DataFrame:
        rows = flights(seed=seed)
        return rows.with_columns(late=3_000 * pl.col("wind") - 10_000 * (pl.col("carrier") == "UA"))

    model = fit(delays(0), task="regression", rounds=60, parameters={"num_leaves": 15})
    unseen = delays(1)
    scores = model.predict(unseen)
    # then scores are minutes, and far nearer than their mean
    error = rmse(unseen["late"], scores)
    assert error is not None
    assert error < 0.15 * unseen["late"].std()  # type: ignore[operator]  # Polars types these as anything
    assert scores.min() < -10_000  # type: ignore[operator]  # Polars types these as anything
    assert fit(delays(0), task="regression", rounds=60, parameters={"num_leaves": 15}) == model


def test_whole_numbers_and_decimals_are_numbers_and_unlabelled_rows_left_out() -> None:
    whole = flights(500).with_columns(late=(pl.col("wind") * 10).cast(pl.Int16))
    model = fit(whole, task="regression")
    as_decimal = whole.with_columns(pl.col("late").cast(pl.Decimal(10, 2)))
    assert fit(as_decimal, task="regression").checksum == model.checksum
    unlabelled = whole.with_columns(late=pl.lit(None, pl.Int16))
    assert fit(pl.concat([whole, unlabelled]), task="regression").checksum == model.checksum


@pytest.mark.parametrize(
    ("late", "message"),
    [
        (pl.lit(float("nan")), "NaN, infinite or beyond float32 in 200 of 200 rows"),
        (pl.when(pl.col("wind") > 0).then(float("inf")).otherwise(1.0), "NaN, infinite"),
        (pl.col("wind") * 1e300, "beyond float32"),
        (1.7e9 + pl.col("wind"), "one number in LightGBM's float32; subtract a constant"),
        (pl.lit(7), "= 7: nothing can be learnt from one number"),
        (pl.col("late"), "is Boolean; it must be a number"),
        (pl.col("carrier"), "is String; it must be a number"),
        (pl.duration(minutes=pl.col("wind")), "is Duration.*; it must be a number"),
    ],
)
def test_a_target_that_is_no_number_is_refused(late: pl.Expr, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        fit(flights(200).with_columns(late=late), task="regression")


def test_a_model_travels_as_bytes(model: FittedModel) -> None:
    data = model.to_bytes()
    assert data == fit(flights()).to_bytes()
    assert FittedModel.from_bytes(data) == model
    for damaged in (b"", data[:-1], b"x" * 10):
        with pytest.raises(TrainingError, match="no model"):
            FittedModel.from_bytes(damaged)


def accounts() -> pl.DataFrame:
    """Account numbers near 2^33, where float32 tells only every 1024th from the next."""
    numbers = np.random.default_rng(0).integers(2**33, 2**33 + 64, 2_000)
    return pl.DataFrame({"account": numbers, "late": numbers % 2 == 0})


def test_large_numbers_are_told_apart_as_plain_lightgbm_does() -> None:
    frame = accounts()
    model = fit(frame, features=["account"], parameters={"min_data_in_leaf": 5}, rounds=40)
    assert auc(frame["late"], model.predict(frame)) == 1.0


def test_memory_is_spared_without_another_model() -> None:
    # given rows that float32 holds, whatever they are stored as
    frame = flights().with_columns(pl.col("wind", FEATURES[2]).cast(pl.Float32))
    wide = frame.with_columns(pl.col("wind", FEATURES[2]).cast(pl.Float64))
    model = fit(wide)
    assert model.encoding.narrowest(wide) == "float32"
    # then the matrix of half the size, which is trained on, tells LightGBM what the wide one does
    lightgbm = load_lightgbm()
    for width in ("float32", "float64"):
        scores = lightgbm.Booster(model_str=model.booster_text).predict(
            model.encoding.matrix(wide, width)
        )
        assert scores.tolist() == model.predict(wide).to_list()
    assert fit(frame).checksum == model.checksum


def test_a_model_from_before_widths_were_recorded_scores_and_trains_as_it_did(
    tmp_path: Path,
) -> None:
    # given a model by the old way of learning, which rounded every number to float32
    frame = accounts().with_columns(account=pl.col("account") * 1.1)
    rounded = frame.with_columns(pl.col("account").cast(pl.Float32))
    kwargs: dict[str, Any] = {"features": ["account"], "parameters": {"min_data_in_leaf": 5}}
    old = fit(frame, **kwargs, width="float32")
    assert "width" not in old.encoding.to_json()
    # then it is the model of the rounded numbers, and scores all numbers by them
    assert old.booster_text == fit(rounded, **kwargs).booster_text
    assert old.booster_text != fit(frame, **kwargs).booster_text
    old.save(tmp_path)
    scores = FittedModel.load(tmp_path).predict(frame)
    assert scores.to_list() == fit(rounded, **kwargs).predict(rounded).to_list()
    assert FittedModel.from_bytes(old.to_bytes()) == old
