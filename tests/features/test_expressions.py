from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import mlops_assets
from mlops_assets.defs.flight_delay.features import FEATURES
from mlops_assets.errors import FeatureError
from mlops_assets.features.expressions import code_version, compute, kinds, mismatches

ROOT = Path(mlops_assets.__file__).parents[1]
KEY = ["id"]


def batch() -> pl.LazyFrame:
    return pl.LazyFrame({"id": ["a", "b"], "wind": [1.0, None], "carrier": ["UA", "AA"]})


@pytest.mark.parametrize("window", ["2013-03-04", "2013-07-01", "2013-10-28"])
def test_a_single_flight_gets_what_it_gets_in_its_batch(window: str) -> None:
    flights = pl.read_parquet(ROOT / "data" / "flights" / "departures" / f"{window}.parquet")

    whole = compute(flights.lazy(), FEATURES, key=["flight_id"]).collect()

    assert whole.columns == ["flight_id", *FEATURES]
    assert whole.height == flights.height
    # where the weather is missing too: there a single row is all null
    rows = [0, flights.height - 1, *flights["temp"].is_null().arg_true().head(3)]
    for row in rows:
        alone = compute(flights[row].lazy(), FEATURES, key=["flight_id"]).collect()
        assert_frame_equal(alone, whole[row])


def test_key_and_features_are_all_there_is_in_the_declared_order() -> None:
    features = {"twice": pl.col("wind") * 2, "carrier": pl.col("carrier")}

    assert_frame_equal(
        compute(batch(), features, key=KEY).collect(),
        pl.DataFrame({"id": ["a", "b"], "twice": [2.0, None], "carrier": ["UA", "AA"]}),
    )


def test_a_batch_without_rows_has_features_without_rows() -> None:
    features = compute(batch().clear(), {"wind": pl.col("wind")}, key=KEY).collect()

    assert features.schema == {"id": pl.String, "wind": pl.Float64}
    assert features.is_empty()


@pytest.mark.parametrize(
    "expression",
    [
        pl.col("wind") > 1,
        pl.col("wind").cast(pl.Int8),
        pl.col("wind").cast(pl.Decimal(10, 2)),
        pl.col("carrier"),
        pl.col("carrier").cast(pl.Categorical),
        pl.col("carrier").cast(pl.Enum(["UA", "AA"])),
    ],
)
def test_numbers_booleans_and_categories_can_be_learnt_from(expression: pl.Expr) -> None:
    assert compute(batch(), {"one": expression}, key=KEY).collect().width == 2


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"one": pl.col("wnd") * 2}, "feature `one`: no column `wnd`; did you mean `wind`"),
        ({"id": pl.col("wind")}, r"can't have the name of a key column: \['id'\]"),
        ({"one": pl.concat_list("wind")}, r"feature `one` is List\(Float64\); make it a number"),
        ({"one": pl.struct("wind")}, "feature `one` is Struct"),
        ({"one": pl.lit(None)}, "feature `one` is Null"),
        ({"one": pl.col("wind").cast(pl.Date)}, "feature `one` is Date"),
        ({"one": pl.col("carrier").dt.hour()}, "the features can't be computed: "),
        ({"one": pl.all()}, "the features can't be computed: "),
    ],
)
def test_what_does_not_fit_is_said_before_any_row_is_read(
    features: dict[str, pl.Expr], words: str
) -> None:
    with pytest.raises(FeatureError, match=words):
        compute(batch(), features, key=KEY)


def test_a_batch_without_its_key_is_refused() -> None:
    with pytest.raises(FeatureError, match="flight_id"):
        compute(batch(), {"wind": pl.col("wind")}, key=["flight_id"])


LONG = list(range(40))
CHANGED = [*LONG[:20], 99, *LONG[21:]]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (pl.col("wind"), pl.col("gust")),
        (pl.col("wind") > 1, pl.col("wind") > 2),
        (pl.col("wind"), pl.col("wind").cast(pl.Float32)),
        (pl.col("wind").clip(1, 2), pl.col("wind").clip(1, 3)),
        (pl.col("wind").round(1), pl.col("wind").round(2)),
        (pl.col("dest").str.contains("."), pl.col("dest").str.contains(".", literal=True)),
        # what Polars prints of these is cut short
        (pl.col("code").is_in(LONG), pl.col("code").is_in(CHANGED)),
        (
            pl.col("code").replace_strict(LONG, LONG, default=None),
            pl.col("code").replace_strict(LONG, CHANGED, default=None),
        ),
        (
            pl.col("dest").cast(pl.Enum(["EWR", "JFK"])),
            pl.col("dest").cast(pl.Enum(["EWR", "LGA"])),
        ),
    ],
)
def test_the_code_version_changes_with_an_expression(before: pl.Expr, after: pl.Expr) -> None:
    assert code_version({"one": before}) != code_version({"one": after})


def test_the_code_version_changes_with_the_features() -> None:
    one = {"wind": pl.col("wind")}

    assert code_version(one) != code_version({"gust": pl.col("wind")})
    assert code_version(one) != code_version({**one, "gust": pl.col("gust")})


def test_the_code_version_is_that_of_every_process_and_order() -> None:
    program = (
        "from mlops_assets.defs.flight_delay.features import FEATURES\n"
        "from mlops_assets.features.expressions import code_version\n"
        "print(code_version(dict(reversed(FEATURES.items()))))"
    )

    other = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert other.stdout.strip() == code_version(FEATURES)


def test_kinds_are_categorical_for_text_and_numeric_for_the_rest() -> None:
    schema = {
        "carrier": pl.String(),
        "origin": pl.Categorical(),
        "dest": pl.Enum(["JFK"]),
        "wind": pl.Float32(),
        "night": pl.Boolean(),
        "id": pl.String(),
    }
    names = ["wind", "night", "carrier", "origin", "dest", "absent"]

    assert kinds(schema, names) == {
        "wind": "numeric",
        "night": "numeric",
        "carrier": "categorical",
        "origin": "categorical",
        "dest": "categorical",
    }


def test_a_batch_that_a_model_can_be_applied_to_has_no_mismatch() -> None:
    learnt = {"wind": "numeric", "carrier": "categorical"}

    assert mismatches(learnt, learnt) == []
    assert mismatches({**learnt, "more": "numeric"}, learnt) == []


def test_every_mismatch_is_one_sentence() -> None:
    there = {"wnd": "numeric", "carrier": "numeric"}

    assert mismatches(there, {"wind": "numeric", "carrier": "categorical"}) == [
        "no feature `wind`; did you mean `wnd`?",
        "`carrier` is numeric, the model learnt it as categorical",
    ]
