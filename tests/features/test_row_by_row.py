"""A feature follows from its own row: told by the expression's nodes, else tried on rows."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime

import polars as pl
import pytest

from mlops_assets.errors import FeatureError
from mlops_assets.features.expressions import check_rows, compute
from mlops_assets.features.row_by_row import judge, tried

X, S, T, L, N = (pl.col(name) for name in ("x", "s", "t", "l", "n"))
SCHEMA: dict[str, pl.DataType] = {
    "x": pl.Float64(),
    "y": pl.Float64(),
    "s": pl.String(),
    "t": pl.Datetime("us", "UTC"),
    "l": pl.List(pl.Float64()),
    "n": pl.Int64(),
    "c": pl.Categorical(),
    "st": pl.Struct({"p": pl.Int64()}),
}

ALONE = [
    X * 2 + 1,
    -X,
    X // 2 % 2,
    pl.lit(7),
    pl.lit(3).max(),  # of a constant: a constant
    pl.lit(datetime(2020, 1, 1, tzinfo=UTC)) - T,
    X.is_in([1, 2]),
    X.is_in(pl.Series([1.0, 2.0])),
    X.is_in(L),
    X.is_between(1, pl.col("y")),
    X.fill_null(strategy="zero"),
    X.fill_null(0).clip(0, 9).round(2).log(),
    X.cast(pl.Int8),
    pl.when(X > 1).then(2).otherwise(pl.col("y")),
    pl.max_horizontal("x", "y", pl.lit(3)),
    pl.sum_horizontal("x", "y"),
    pl.mean_horizontal("x", "y"),
    pl.any_horizontal(X > 1, pl.col("y") > 1),
    pl.coalesce("x", "y"),
    pl.arctan2("x", "y"),
    L.list.mean(),
    L.list.eval(pl.element().rank()).list.get(0),
    L.list.filter(pl.element() > pl.element().mean()).list.len(),
    pl.concat_list("x", "y").list.max(),
    pl.concat_str("s", "s"),
    pl.format("{}-{}", "x", "s"),
    S.str.to_datetime("%Y-%m-%d").dt.year(),
    S.replace_strict({"a": 1}, default=None),
    S.str.replace_many({"a": "b"}).str.len_chars(),
    S.str.split(",").list.len(),
    S.hash(),
    S.cast(pl.Enum(["a", "b"])).to_physical(),
    S.cast(pl.Categorical),
    T.dt.convert_time_zone("Europe/Paris").dt.weekday(),
    (T - T.dt.truncate("1d")).dt.total_seconds(),
    T.dt.is_business_day(),
    pl.business_day_count(T.dt.date(), date(2030, 1, 1)),
    pl.struct("x", "s").struct.field("x"),
    pl.col("st").struct.with_fields(pl.field("p") + 1).struct.field("p"),
    N.bitwise_count_ones(),
    pl.int_ranges(N).list.len(),
]
TOGETHER = [
    (X.mean(), "mean"),
    ((X - X.mean()) / X.std(), "mean"),
    (X.rank(), "rank"),
    (X.shift(1), "shift"),
    (X.diff(), "diff"),
    (X.pct_change(), "pct_change"),
    (X / X.sum().over("n"), "over"),
    (X.sum().rolling("t", period="1d"), "rolling"),
    (X.cum_sum(), "cum_sum"),
    (X.cumulative_eval(pl.element().sum()), "cumulative_eval"),
    (X.rolling_mean(3), "rolling_mean"),
    (X.rolling_mean_by("t", "1d"), "rolling_mean_by"),
    (X.ewm_mean(com=1), "ewm_mean"),
    (X.forward_fill(), "fill_null"),
    (X.fill_null(strategy="mean"), "fill_null"),
    (X.fill_null(X.mean()), "mean"),
    (X.interpolate(), "interpolate"),
    (X.sample(fraction=1.0, shuffle=True), "chance"),
    (X.shuffle(seed=1), "chance"),
    (L.list.sample(1).list.get(0), "chance"),
    (pl.len() * X, "len"),
    (pl.int_range(pl.len()), "int_range"),
    (pl.lit(pl.Series([1, 2])), "column of constants"),
    (X.is_duplicated(), "is_duplicated"),
    (X.is_in(pl.col("y").implode()), "implode"),
    (X.is_in(pl.col("y")), "is_in"),
    (X.reverse(), "reverse"),
    (X.sort(), "sort"),
    (X.unique(), "unique"),
    (X.gather(0), "gather"),
    (X.head(1), "slice"),
    (X.filter(X > 1).sum(), "sum"),
    (X.implode().list.mean(), "implode"),
    (L.explode(), "explode"),
    (S.str.join(","), "concat_vertical"),
    (S.str.to_datetime(), "give the format"),
    (S.str.to_date(), "give the format"),
    (S.cast(pl.Categorical).to_physical(), "cast it to an Enum"),
    (pl.col("c").to_physical(), "cast it to an Enum"),
    (pl.when(X.median() < 3).then(X).otherwise(0), "median"),
    (pl.max_horizontal("x", pl.col("y").max()), "max"),
    (X.clip(X.quantile(0.1), 5), "quantile"),
    (pl.struct(X.rank(), "s").struct.field("x"), "rank"),
    (pl.col("st").struct.with_fields(pl.field("p").rank()).struct.field("p"), "rank"),
    (pl.fold(X.mean(), lambda a, b: a + b, ["x"]), "mean"),
    (X.map_batches(lambda s: s, return_dtype=pl.Float64).mean(), "mean"),
]


@pytest.mark.parametrize("expression", ALONE, ids=str)
def test_an_expression_of_its_row_alone_passes_and_leaves_nothing_to_try(
    expression: pl.Expr,
) -> None:
    judged = judge(expression, SCHEMA)

    assert (judged.reason, judged.opaque) == ("", False)


@pytest.mark.parametrize(("expression", "word"), TOGETHER, ids=lambda value: str(value)[:60])
def test_an_expression_that_looks_at_other_rows_is_refused_by_its_nodes(
    expression: pl.Expr, word: str
) -> None:
    assert word in judge(expression, SCHEMA).reason


def test_without_the_columns_types_what_depends_on_them_is_tried() -> None:
    assert judge(X.is_in(L)).opaque
    assert judge(S.cast(pl.Categorical).to_physical()).opaque


def test_a_refusal_names_feature_and_expression() -> None:
    batch = pl.LazyFrame({"id": [1, 2], "x": [1.0, 2.0]})

    with pytest.raises(FeatureError) as told:
        compute(batch, {"fine": X, "place": X.rank(), "z": X - X.mean()}, key=["id"])

    said = str(told.value)
    assert 'feature `place` is col("x").rank(): `rank` looks at other rows' in said
    assert "feature `z` is" in said
    assert "`fine`" not in said
    # what was recorded before they were refused is made again as it was
    made = compute(batch, {"place": X.rank()}, key=["id"], row_by_row=False).collect()
    assert made["place"].to_list() == [1.0, 2.0]


ROWS = pl.DataFrame({"x": [3.0, 1.0, 2.0, 10.0, 4.0], "s": list("abcde")})


def python(function: object) -> pl.Expr:
    return X.map_batches(function, return_dtype=pl.Float64)  # type: ignore[arg-type]  # Polars wants a function of Series, which the cases are not typed as


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        (python(lambda s: s - s.mean()), "a row gets"),
        (python(lambda s: s.cum_sum()), "in another order"),
        (python(lambda s: s.shuffle()), "other values"),
        (python(lambda s: s * random.random()), "other values"),
        (python(lambda s: s.head(2)), "2 values for 5 rows"),
    ],
)
def test_what_nodes_cannot_tell_is_tried_alone_and_in_another_order(
    expression: pl.Expr, words: str
) -> None:
    assert judge(expression, SCHEMA).opaque

    found = tried(ROWS, {"made": expression})

    assert words in found["made"]
    assert "feature `made` is" in found["made"]
    with pytest.raises(FeatureError, match="feature `made`"):
        check_rows(ROWS.lazy(), {"made": expression, "x": X})


@pytest.mark.parametrize(
    "expression",
    [
        python(lambda s: s * 2),
        X.map_elements(lambda value: max(value, 2.0), return_dtype=pl.Float64),
        pl.fold(pl.lit(0.0), lambda a, b: a + b, [X, X]),
    ],
)
def test_a_function_of_its_row_alone_passes_when_tried(expression: pl.Expr) -> None:
    assert tried(ROWS, {"made": expression}) == {}

    check_rows(ROWS.lazy(), {"made": expression})
