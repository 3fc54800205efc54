from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from mlops_assets.errors import FeatureError, TrainingError
from mlops_assets.learning.encoding import Encoding, rounded

FRAME = pl.DataFrame(
    {"late": [True, False, None], "wind": [1.5, None, 3.0], "carrier": ["UA", "AA", None]}
)


def test_numbers_booleans_and_categories_become_doubles() -> None:
    encoding = Encoding.fit(FRAME, ["carrier", "late", "wind"])
    matrix = encoding.matrix(FRAME)
    assert matrix.dtype == np.float64
    np.testing.assert_array_equal(matrix, [[1, 1, 1.5], [0, 0, np.nan], [np.nan, np.nan, 3]])
    assert [feature.kind for feature in encoding.features] == ["categorical", "numeric", "numeric"]
    assert encoding.categorical == (0,)


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical, pl.Enum(["ZZ", "UA", "AA"])])
def test_strings_categoricals_and_enums_encode_alike(dtype: pl.DataType) -> None:
    encoding = Encoding.fit(FRAME, ["carrier"])
    cast = FRAME.with_columns(pl.col("carrier").cast(dtype))
    assert Encoding.fit(cast, ["carrier"]) == encoding
    np.testing.assert_array_equal(encoding.matrix(cast), encoding.matrix(FRAME))


def test_an_unseen_category_is_missing_not_another_one() -> None:
    encoding = Encoding.fit(FRAME, ["carrier"])
    matrix = encoding.matrix(pl.DataFrame({"carrier": ["DL", "UA"]}))
    np.testing.assert_array_equal(matrix, [[np.nan], [1]])


def test_the_order_of_training_rows_does_not_matter() -> None:
    assert Encoding.fit(FRAME.reverse(), FRAME.columns) == Encoding.fit(FRAME, FRAME.columns)


def test_a_column_without_any_value_fits_either_kind() -> None:
    encoding = Encoding.fit(FRAME, ["wind", "carrier"])
    empty = pl.DataFrame({"wind": [None], "carrier": [None]})
    assert np.isnan(encoding.matrix(empty)).all()


def test_json_round_trip_is_stable() -> None:
    encoding = Encoding.fit(FRAME, FRAME.columns)
    again = Encoding.from_json(encoding.to_json())
    assert again == encoding
    assert again.to_json() == encoding.to_json()


def test_a_missing_column_names_the_closest() -> None:
    encoding = Encoding.fit(FRAME, ["carrier"])
    with pytest.raises(FeatureError, match="did you mean `carier`"):
        encoding.matrix(FRAME.rename({"carrier": "carier"}))


@pytest.mark.parametrize(("column", "values"), [("carrier", [1, 2]), ("wind", ["strong", "weak"])])
def test_a_feature_that_changed_its_kind_is_refused(column: str, values: list[object]) -> None:
    encoding = Encoding.fit(FRAME, [column])
    with pytest.raises(FeatureError, match=f"`{column}` was .* in training"):
        encoding.matrix(pl.DataFrame({column: values}))


def test_dates_no_features_and_doubles_are_refused() -> None:
    dates = pl.DataFrame({"day": ["2013-01-01"]}).select(pl.col("day").str.to_date())
    with pytest.raises(FeatureError, match="`day` is Date"):
        Encoding.fit(dates, ["day"])
    with pytest.raises(TrainingError, match="no features"):
        Encoding.fit(FRAME, [])
    with pytest.raises(TrainingError, match="named twice"):
        Encoding.fit(FRAME, ["wind", "wind"])


def test_a_damaged_encoding_is_refused() -> None:
    with pytest.raises(TrainingError, match="not an encoding"):
        Encoding.from_json('{"features": [{"name": "a"}]}')


@pytest.mark.parametrize(
    "values",
    [
        np.arange(1_767_225_600, 1_767_225_600 + 3600),  # seconds
        np.arange(2**33, 2**33 + 64),  # account numbers
        np.linspace(13.4, 13.4001, 3600),  # degrees
        np.array([1e300, -1e300, 5e-324]),
    ],
)
def test_numbers_lose_no_digit(values: np.ndarray) -> None:
    frame = pl.DataFrame({"number": values})
    encoding = Encoding.fit(frame, ["number"])
    np.testing.assert_array_equal(encoding.matrix(frame)[:, 0], values.astype(np.float64))
    # and what memory asks for loses none either
    assert encoding.narrowest(frame) == "float64"
    narrow = pl.DataFrame({"number": [0.5, 2**24, float("nan"), float("-inf"), None]})
    assert encoding.narrowest(narrow) == "float32"
    np.testing.assert_array_equal(encoding.matrix(narrow, "float32"), encoding.matrix(narrow))


def test_an_encoding_from_before_widths_were_recorded_rounds_as_it_did() -> None:
    # given what such a version wrote
    text = '{\n "features": [\n  {\n   "name": "number",\n   "kind": "numeric"\n  }\n ]\n}\n'
    encoding = Encoding.from_json(text)
    # then it sees float32, and its bytes (so its checksum) stay
    assert encoding.width == "float32"
    assert encoding.to_json() == text
    frame = pl.DataFrame({"number": [2.0**33 + 1, 13.40001]})
    matrix = encoding.matrix(frame)
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix[:, 0], frame["number"].to_numpy().astype(np.float32))
    with pytest.raises(TrainingError, match="not an encoding"):
        Encoding.from_json(text.replace("\n ]\n", '\n ],\n "width": "float16"\n'))


def test_whole_numbers_that_even_float64_rounds_are_named() -> None:
    frame = pl.DataFrame({"id": [2**53 + 1, 1], "epoch": [2**53, 1], "none": [None, None]})
    assert rounded(frame.with_columns(pl.col("none").cast(pl.Int64)), frame.columns) == ["id"]
