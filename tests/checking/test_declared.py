"""What can be known of a declaration without data is known when it is checked, with its line."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.assets import predictions, training_set
from mlops_assets.checking import reserved
from mlops_assets.checking.declared import Declared, declared_problems
from mlops_assets.checking.findings import Finding, Origin
from mlops_assets.checking.sample import sample_problems
from mlops_assets.checking.trial import trial_problems
from mlops_assets.declaration import Declaration
from mlops_assets.drift.reference import PREDICTION
from mlops_assets.learning import loss_estimation
from mlops_assets.learning.training_set import WINDOW
from mlops_assets.monitoring import twins

SCHEMA = """\
import dataframely as dy


class Rows(dy.Schema):
    id = dy.Int64(primary_key=True)
    at = dy.Datetime(time_zone="UTC", time_unit="us")
    version = dy.Int64()
    x = dy.Float64(nullable=True)
    plan = dy.String(nullable=True)
    anything = dy.Any()


class Truths(dy.Schema):
    id = dy.Int64(primary_key=True)
    at = dy.Datetime(time_zone="UTC", time_unit="us")
    version = dy.Int64()
    y = dy.Bool(nullable=True)
    amount = dy.Float64()
    note = dy.String()
"""
FEATURES = """\
import polars as pl

FEATURES = {
    "x": pl.col("x"),
    "plan": pl.col("plan"),
}
TARGET = pl.col("y")
KPI = pl.col("score") * pl.col("x")
"""
# turned round by one character of the function, this one can't be told from the other target
PYTHON = """\
def late(y: bool) -> bool:
    return bool(abs(y - 1))


TARGET = pl.col("y").map_elements(late, return_dtype=pl.Boolean)\
"""
Declare = Callable[..., Declaration]
numbers = itertools.count()


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Declare:
    """Return what writes a schema and features into a package of their own, and declares them."""
    monkeypatch.syspath_prepend(tmp_path)

    def declared(
        schema: tuple[str, str] = ("", ""), features: tuple[str, str] = ("", ""), **changes: Any
    ) -> Declaration:
        package = tmp_path / f"checked_{next(numbers)}"
        package.mkdir()
        for file, text, change in (
            ("schema", SCHEMA, schema),
            ("features", FEATURES, features),
        ):
            assert change[0] in text
            (package / f"{file}.py").write_text(text.replace(*change, 1) if change[0] else text)
        parts: dict[str, Any] = {
            "name": "checked",
            "windows": {"every": "day", "start": "2026-01-01"},
            "batches": {"contract": ".schema:Rows", "time": "at", "key": ["id"]},
            "labels": {"contract": ".schema:Truths", "target": ".features:TARGET"},
            "features": ".features:FEATURES",
        }
        for name, change in changes.items():
            parts[name] = {**parts.get(name, {}), **change} if isinstance(change, dict) else change
        return Declaration.model_validate(parts).within(package.name)

    return declared


def feature(line: str) -> tuple[str, str]:
    return ('    "x": pl.col("x"),\n', f"    {line},\n")


WRONG: list[tuple[dict[str, Any], str, str, int | None]] = [
    # the change, the field, words of the message, the line in the module
    ({"batches": {"key": ["id", "version"]}}, "batches.key", "can't be called `version`", None),
    ({"batches": {"key": ["id", "id"]}}, "batches.key", "`id` is named 2 times", None),
    ({"batches": {"key": ["idd"]}}, "batches.key", "no column `idd`; did you mean `id`?", None),
    ({"batches": {"time": "att"}}, "batches.time", "no column `att`; did you mean `at`?", None),
    (
        {"batches": {"null_shares": {"xx": 0.1}}},
        "batches.null_shares.xx",
        "no column `xx`; did you mean `x`?",
        None,
    ),
    ({"batches": {"contract": ".schema:Row"}}, "batches.contract", "did you mean `Rows`?", None),
    ({"batches": {"contract": ".features:TARGET"}}, "batches.contract", "is an Expr", None),
    (
        {
            "schema": ('at = dy.Datetime(time_zone="UTC", time_unit="us")', "at = dy.Date()"),
            "windows": {"every": "hour"},
        },
        "batches.contract",
        "the time column `at` is Date, which tells no hour",
        4,
    ),
    (
        {"schema": ('at = dy.Datetime(time_zone="UTC", time_unit="us")', "at = dy.String()")},
        "batches.contract",
        "the time column `at` is String",
        4,
    ),
    (
        {
            "schema": (
                "class Truths(dy.Schema):\n    id = dy.Int64",
                "class Truths(dy.Schema):\n    id = dy.String",
            )
        },
        "labels.contract",
        "the key column `id` is String in the labels and Int64 in the batches",
        13,
    ),
    *(
        ({"features": feature(f'"{name}": pl.col("x")')}, "features", f"called `{name}`", 4)
        for name in ("target", "window", "score", "prediction_id")
    ),
    ({"features": feature('"id": pl.col("x")')}, "features", "name of a key column", 4),
    ({"features": feature('"x": "x"')}, "features", "feature `x` is a str, no Polars", 4),
    ({"features": feature('1: pl.col("x")')}, "features", "a feature is called 1", 3),
    ({"features": feature('"x": pl.col("xx")')}, "features", "did you mean `x`?", 4),
    ({"features": feature('"x": pl.col("at")')}, "features", "is Datetime", 4),
    (
        {"features": feature('"x": pl.col("plan").dt.hour()')},
        "features",
        "feature `x`: it can't",
        4,
    ),
    ({"features": feature('"x": pl.col("x").rank()')}, "features", "`rank` looks at other rows", 4),
    ({"features": feature('"x": pl.col("anything").rank()')}, "features", "`rank` looks", 4),
    ({"features": ("FEATURES = {", "FEATURES = {}\nothers = {")}, "features", "no features", 3),
    ({"features": ("FEATURES = {", "FEATURES = []\nothers = {")}, "features", "is a list", 3),
    ({"features": ("TARGET = ", "TARGT = ")}, "labels.target", "did you mean `TARGT`?", None),
    ({"features": ("import polars", "import pollars")}, "labels.target", "features.py:1", None),
    ({"features": ("TARGET = ", "1 / 0\nTARGET = ")}, "labels.target", "features.py:7", None),
    ({"features": ("TARGET = ", "raise SystemExit(1)\nTARGET = ")}, "labels.target", "Exit", None),
    ({"features": ("FEATURES = {", "FEATURES = {{")}, "labels.target", "never closed", None),
    ({"features": ('pl.col("y")', '"y"')}, "labels.target", "is a str, no Polars", 7),
    ({"features": ('pl.col("y")', 'pl.col("yy")')}, "labels.target", "did you mean `y`?", 7),
    ({"features": ('pl.col("y")', 'pl.col("note")')}, "labels.target", "the target is String", 7),
    (
        {"features": ('TARGET = pl.col("y")', PYTHON)},
        "labels.target",
        "write it as an expression of Polars alone",
        11,
    ),
    (
        {"features": ('pl.col("y")', 'pl.col("y").map_batches(lambda y: ~y)')},
        "labels.target",
        "calls a function of Python",
        7,
    ),
    (
        {"features": ('pl.col("y")', 'pl.fold(False, lambda a, b: a | b, [pl.col("y")])')},
        "labels.target",
        "calls a function of Python",
        7,
    ),
    ({"task": "regression"}, "labels.target", "the target is Boolean; for the task regression", 7),
    (
        {"training": {"parameters": {"num_leafs": 7}}},
        "training.parameters.num_leafs",
        "did you mean `num_leaves`?",
        None,
    ),
    (
        {"training": {"parameters": {"objective": "binary"}}},
        "training.parameters.objective",
        "is set by the training itself",
        None,
    ),
    ({"drift": {"leave_out": ["plann"]}}, "drift.leave_out.0", "did you mean `plan`?", None),
    ({"drift": {"segments": ["x"]}}, "drift.segments.0", "feature `x` is Float64", None),
    (
        {
            "retraining": {"kpi": ".features:KPI", "cost": 1},
            "features": ('pl.col("score")', 'pl.col("scor")'),
        },
        "retraining.kpi",
        "no column `scor` in the features, `score` and `target`; did you mean `score`?",
        8,
    ),
    (
        {
            "retraining": {"kpi": ".features:KPI", "cost": 1},
            "features": ('pl.col("score")', 'pl.col("score").map_elements(abs, pl.Float64)'),
        },
        "retraining.kpi",
        "the KPI is",
        8,
    ),
]


@pytest.mark.parametrize(
    ("change", "field", "words", "line"), WRONG, ids=lambda value: str(value)[:50]
)
def test_what_is_wrong_is_found_with_its_field_and_line(
    declare: Declare, change: dict[str, Any], field: str, words: str, line: int | None
) -> None:
    found = declared_problems(declare(**change))

    (first, *_) = [one for one in found if words in one.message] or found
    assert words in first.message
    assert ".".join(map(str, first.field)) == field
    assert first.line == line
    assert "\n" not in first.said()


def test_what_is_right_has_no_finding(declare: Declare) -> None:
    fine = declare(
        features=feature('"x": pl.col("anything")'),  # of any type: the file decides
        training={"parameters": {"max_leaves": 7, "shrinkage_rate": 0.1}},
        retraining={"kpi": ".features:KPI", "cost": 1},
        drift={"segments": ["plan"], "leave_out": ["x"]},
    )

    assert declared_problems(fine) == []


def test_every_column_that_a_stage_adds_is_reserved() -> None:
    added = {training_set.TARGET, WINDOW, predictions.SCORE, PREDICTION}
    added |= {loss_estimation._LOSS, twins._DRAW, twins._PLACE}

    assert added | {"prediction_id"} == set(reserved.FEATURES)
    assert set(reserved.KEYS) == {*reserved.FEATURES, "version"}


def test_what_is_allowed_and_probably_not_meant_is_a_warning(
    declare: Declare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_NOW", "2026-03-01T00:00:00+00:00")
    odd = declare(
        windows={"end": "2026-03-03"},
        batches={"history": "nowhere"},
        drift={"leave_out": ["x", "plan"]},
    )

    said = {".".join(map(str, one.field)) for one in Declared(odd).warnings(tmp_path)}

    assert said == {"windows.end", "batches.history", "drift.leave_out"}
    assert declared_problems(odd) == []


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("dy.Date()", "`at` is Date: each row is of the midnight in Asia/Tokyo"),
        ("dy.Datetime()", "`at` has no zone: it is taken as the local time of Asia/Tokyo"),
    ],
)
def test_a_time_without_a_zone_is_named_with_the_rule_that_holds(
    declare: Declare, tmp_path: Path, column: str, words: str
) -> None:
    local = declare(
        schema=('at = dy.Datetime(time_zone="UTC", time_unit="us")', f"at = {column}"),
        windows={"timezone": "Asia/Tokyo"},
    )

    (found,) = Declared(local).warnings(tmp_path)

    assert words in found.message
    assert found.line == 4
    assert declared_problems(local) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"training": {"parameters": {"num_leaves": 1}}}, "LightGBM refused"),
        ({"training": {"parameters": {"boosting": "forest"}}}, "LightGBM refused"),
        ({"features": feature('"x": pl.lit(__import__("random").random())')}, "by chance"),
        ({"features": ("import polars", "from datetime import date\nimport polars")}, ""),
        (
            {"features": feature('"x": pl.col("x").map_batches(lambda s: s - s.mean())')},
            "must follow from its own row",
        ),
    ],
)
def test_trying_tells_the_rest(declare: Declare, change: dict[str, Any], words: str) -> None:
    declared = declare(**change)
    assert declared_problems(declared) == []

    found = trial_problems(declared)

    assert [one.message for one in found if words not in one.message] == []
    assert len(found) == bool(words)


@pytest.mark.parametrize(
    "clock",
    [
        "import datetime as dt\nNOW = dt.datetime.now(dt.UTC)",
        "from datetime import date as day\nNOW = day.today()",
        "import time\nNOW = time.time() / 86400",
    ],
)
def test_the_clock_in_a_feature_is_found(declare: Declare, clock: str) -> None:
    declared = declare(
        features=(
            'FEATURES = {\n    "x": pl.col("x"),',
            f'{clock}\nFEATURES = {{\n    "x": pl.col("x"),\n    "age": (pl.lit(NOW).cast(pl.Float64)),',
        )
    )

    (found,) = trial_problems(declared)

    assert "feature `age` is" in found.message
    assert "by chance or by the clock" in found.message


def test_a_file_is_tried_as_if_it_landed(declare: Declare, tmp_path: Path) -> None:
    import polars as pl

    rows = pl.DataFrame(
        {
            "id": [1, 2, 3],
            "at": ["2026-01-05T10:00:00"] * 3,
            "version": [1, 1, 1],
            "x": [1.0, 2.0, None],
            "plan": ["a", "b", None],
            "anything": [1, 2, 3],
        }
    ).with_columns(pl.col("at").str.to_datetime("%Y-%m-%dT%H:%M:%S", time_zone="UTC"))
    good, bad = tmp_path / "2026-01-05.parquet", tmp_path / "2026-01-06.parquet"
    rows.write_parquet(good)
    rows.with_columns(id=pl.lit(1, pl.Int64)).write_parquet(bad)
    fine = declare(batches={"max_null_share": 0.5})

    assert sample_problems(fine, good) == ("batches", "2026-01-05", [])

    _, window, found = sample_problems(fine, bad)
    assert window == "2026-01-06"
    assert [one.file for one in found] == [bad] * len(found)
    assert any("repeat the key" in one.message for one in found)
    assert any("3 rows are not of window 2026-01-06" in one.message for one in found)

    python = declare(
        features=feature('"x": pl.col("x").map_batches(lambda s: s.fill_null(0).cum_sum())'),
        batches={"max_null_share": 0.5},
    )
    _, _, (first,) = sample_problems(python, good)
    assert "in another order" in first.message


def test_labels_are_tried_as_the_task_asks(declare: Declare, tmp_path: Path) -> None:
    import polars as pl

    rows = pl.DataFrame(
        {
            "id": [1, 2],
            "at": ["2026-01-05T10:00:00"] * 2,
            "version": [1, 1],
            "y": [True, False],
            "amount": [0.5, float("nan")],
            "note": ["a", "b"],
        }
    ).with_columns(pl.col("at").str.to_datetime("%Y-%m-%dT%H:%M:%S", time_zone="UTC"))
    rows.write_parquet(tmp_path / "2026-01-05.parquet")

    for task, words in (("binary", "the target holds 0.5"), ("regression", "NaN or infinite in 1")):
        declared = declare(features=('pl.col("y")', 'pl.col("amount")'), task=task)
        kind, _, found = sample_problems(declared, tmp_path / "2026-01-05.parquet")
        assert kind == "labels"
        assert any(words in one.message for one in found)


def test_a_line_is_relative_to_the_project() -> None:
    finding = Finding(("features",), "is\nodd", Path("/project/defs/features.py"), 3)

    assert finding.said(root=Path("/project")) == "defs/features.py:3: is odd"
    assert finding.said(root=Path("/elsewhere")) == "/project/defs/features.py:3: is odd"


def test_a_field_that_is_said_twice_is_named(tmp_path: Path) -> None:
    file = tmp_path / "defs.yaml"
    file.write_text(
        "type: x\nattributes:\n  name: a\n  training:\n    rounds: 1\n    rounds: 2\n  name: b\n"
    )
    origin = Origin(file)

    assert [one.said(origin, tmp_path) for one in origin.repeated()] == [
        "defs.yaml:6: training.rounds: said in line 5 too, which does not count; leave one out",
        "defs.yaml:7: name: said in line 3 too, which does not count; leave one out",
    ]


def test_a_line_is_that_of_the_nearest_field_that_is_there(tmp_path: Path) -> None:
    file = tmp_path / "defs.yaml"
    file.write_text(
        "type: x\n---\ntype: y\nattributes:\n  drift:\n    segments:\n    - a\n    - b\n"
    )

    assert Origin(file, 1).line(("drift", "segments", 1)) == 8
    assert Origin(file, 1).line(("drift", "leave_out", 0)) == 5
    assert Origin(file, 1).line(("gates",)) == 4
    assert Origin(file, 0).line(("gates",)) == 1
    assert Origin(tmp_path / "gone.yaml").line() == 1
