"""What changing each field is said to do is what the code does."""

from __future__ import annotations

import os
import types
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import dagster as dg
import pytest
import yaml
from pydantic import BaseModel

import mlops_assets.defs.flight_delay as flights
from mlops_assets.components.model import definitions
from mlops_assets.declaration import Declaration
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.monitoring.due import MEASURING, Compared, Measured, unmeasured
from mlops_assets.monitoring.effects import EFFECTS, EXPLAINED, Effect
from mlops_assets.monitoring.loop import rules_of
from mlops_assets.monitoring.meaning import Figures, Meaning, Series, other_windows, remember
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Entry

HERE = "tests.monitoring.expressions"
FIXED = {"reference": "fixed", "reference_from": "2013-01-07", "reference_until": "2013-02-04"}
PERFORMANCE = {"worst": 0.6, "needed": 2, "of_last": 3}
SEGMENTS = {"segments": ["carrier"]}

#: field -> what is declared before and after, by section, where another value alone won't do
BESIDE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "task": ({}, {"task": "regression", "gates": {"metric": "rmse"}}),
    "windows.every": ({"windows": {"timezone": "UTC"}}, {"windows": {"every": "day"}}),
    "training.frame_windows": (
        {"training": {"frame": "rolling", "frame_windows": 20}},
        {"training": {"frame_windows": 30}},
    ),
    "training.frame": ({}, {"training": {"frame": "rolling", "frame_windows": 20}}),
    "drift.reference": ({}, {"drift": FIXED}),
    "drift.reference_from": ({"drift": FIXED}, {"drift": {"reference_from": "2013-01-14"}}),
    "drift.reference_until": ({"drift": FIXED}, {"drift": {"reference_until": "2013-02-11"}}),
    "drift.reference_windows": (
        {"drift": {"reference": "trailing", "reference_windows": 9}},
        {"drift": {"reference_windows": 8}},
    ),
    "drift.segments": ({}, {"drift": SEGMENTS}),
    "drift.segments_decide": ({"drift": SEGMENTS}, {"drift": {"segments_decide": True}}),
    "retraining.kpi": (
        {"retraining": {"cost": 100.0, "kpi": f"{HERE}:MONEY"}},
        {"retraining": {"kpi": f"{HERE}:MORE_MONEY"}},
    ),
    **{
        f"retraining.performance.{name}": (
            {"retraining": {"performance": PERFORMANCE}},
            {"retraining": {"performance": {**PERFORMANCE, name: value}}},
        )
        for name, value in (("worst", 0.7), ("needed", 1), ("of_last", 4))
    },
}
#: field -> another value
OTHER: dict[str, Any] = {
    "name": "another", "description": "Another.", "owners": ["team:others"],
    "features": f"{HERE}:FEATURES",
    "windows.start": "2013-01-07", "windows.end": "2015-02-02", "windows.timezone": "UTC",
    "batches.contract": "mlops_assets.defs.flight_delay.schema:Arrivals",
    "batches.time": "dep_time", "batches.key": ["flight_id", "carrier"], "batches.min_rows": 400,
    "batches.max_null_share": 0.3, "batches.null_shares": {}, "batches.history": "elsewhere",
    "batches.history_until": "2013-12-02", "batches.deliveries": "append",
    "labels.contract": "mlops_assets.defs.flight_delay.schema:Departures",
    "labels.target": f"{HERE}:UNPAID", "labels.mature_after_days": 14,
    "labels.min_matched_share": 0.6, "labels.deliveries": "append", "labels.history": "elsewhere",
    "files.separator": ";", "files.decimal": ",", "files.thousands": "'", "files.nulls": ["NA"],
    "files.encoding": "cp1252", "files.times": {"sched_dep": "%d/%m/%Y %H:%M"},
    "files.timezone": "UTC", "files.ambiguous": "latest", "files.max_rows": 10,
    "files.max_bytes": 10,
    "training.first_after": 14, "training.rounds": 61, "training.seed": 2,
    "training.parameters": {"num_leaves": 7}, "gates.metric": "brier", "gates.holdout_windows": 3,
    "gates.min_gain": 0.1, "gates.min_gain_over_baseline": 0.1, "gates.score_agreement": 6,
    "gates.rank_agreement": 7,
    "drift.false_alarms_per_year": 2, "drift.needed": 1, "drift.of_last": 4,
    "drift.leave_out": ["visib"], "drift.prediction_share": 0.1, "drift.min_row_share": 0.4,
    "drift.null_change": 0.1, "drift.new_categories": 0.1, "drift.most_segments": 10,
    "drift.min_segment_rows": 90,
    "retraining.triggers": ["drift"], "retraining.new_windows": 4, "retraining.every_windows": 4,
    "retraining.cooldown_windows": 5, "retraining.in_flight_minutes": 60, "retraining.cost": 0.02,
    "retraining.attempts": 2, "retraining.runs_per_month": 2, "retraining.minutes_per_month": 9,
    "retraining.breaker_after": 4, "retraining.breaker_windows": 9,
    "retention.window_profiles_days": 365,
}  # fmt: skip

#: what becomes of the stages' code versions: an asset reads as stale in Dagster, and no more
STALE: dict[Effect, set[str]] = {
    "training": {"model", "training_set", "staleness", "evaluation", "champion", "features"},
    "gates": {"evaluation", "champion", "training_set", "staleness"},
    "landing": {"batches", "labels", "training_set", "model"},
    "measured again": {
        "performance", "staleness", "batches", "labels", "training_set", "model", "evaluation",
        "champion",
    },
    "staleness again": {"staleness"},
    "new target": {
        "performance", "staleness", "batches", "labels", "training_set", "model",
        "evaluation", "champion",  # another task comes with another metric
    },
    "refused": {"performance", "staleness", "batches", "labels"},
}  # fmt: skip


def fields(model: type[BaseModel], section: str = "") -> Iterator[str]:
    """Yield the path of each field, down into every part that has fields of its own."""
    for name, field in model.model_fields.items():
        parts = [
            kind
            for kind in (field.annotation, *get_args(field.annotation))
            if isinstance(kind, type)
            and not isinstance(kind, types.GenericAlias)
            and issubclass(kind, BaseModel)
        ]
        if parts:
            yield from fields(parts[0], f"{section}{name}.")
        else:
            yield f"{section}{name}"


@cache
def plain() -> dict[str, Any]:
    folder = Path(os.fspath(str(flights.__file__))).parent
    return dict(yaml.safe_load((folder / "defs.yaml").read_text())["attributes"])


def with_(declared: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
    return {
        **declared,
        **{
            name: {**declared.get(name, {}), **value} if isinstance(value, dict) else value
            for name, value in changed.items()
        },
    }


def pair(path: str) -> tuple[Declaration, Declaration]:
    """Return a declaration, and the same but for one field."""
    section, _, name = path.partition(".")
    alone = {section: {name: OTHER[path]} if name else OTHER[path]} if path in OTHER else {}
    before, after = BESIDE.get(path, ({}, alone))
    first = with_(plain(), before)
    both = (Declaration.model_validate(one) for one in (first, with_(first, after)))
    one, other = (declaration.within("mlops_assets.defs.flight_delay") for declaration in both)
    return one, other


def stages(declaration: Declaration) -> dict[str, str | None]:
    """Return the code version of each stage."""
    return _stages(declaration.model_dump_json())


@cache
def _stages(declared: str) -> dict[str, str | None]:
    declaration, found = Declaration.model_validate_json(declared), {}
    for asset in definitions(declaration).assets or ():
        if isinstance(asset, dg.AssetsDefinition):
            found |= {key.path[-1]: asset.code_versions_by_key[key] for key in asset.keys}
    return found


def test_every_field_has_an_effect_and_no_other_has() -> None:
    assert sorted(EFFECTS) == sorted(fields(Declaration))
    assert set(EFFECTS.values()) == set(EXPLAINED) == set(get_args(Effect))
    assert set(EFFECTS) == OTHER.keys() | BESIDE.keys()


@pytest.mark.parametrize("path", EFFECTS)
def test_a_field_does_what_is_said_of_it(path: str, tmp_path: Path) -> None:
    effect, store = EFFECTS[path], Store(tmp_path / "store")
    before, after = pair(path)
    assert before != after
    remember(before, store)
    series = Series.of(after, store)
    # given what was recorded of a window, and a champion, by the declaration of before
    meaning = Meaning.declared(before)
    versions = ("batch", "labels")
    rows: dict[Figures, Measured | Compared | None] = {
        "performance": Measured(*versions, "whatever", meaning.digest("performance")),
        "staleness": Compared(*versions, "whatever", meaning.digest("staleness")),
    }
    champion = Entry.model_construct(version=1, learnt=meaning.learnt)

    # then what is due again, refused and learnt anew is what is said
    due = {
        "measured again": MEASURING,
        "new target": MEASURING,
        "refused": MEASURING,
        "staleness again": ("staleness",),
    }
    assert unmeasured(rows, versions, series) == due.get(effect, ())
    assert bool(other_windows(after, store)) == (effect == "refused")
    assert bool(series.unlike(champion)) == (effect == "new target")
    by = [DriftPolicy.declared(one.drift, one.windows.per_year).hash for one in (before, after)]
    assert (by[0] != by[1]) == (effect == "verdicts" or path == "windows.every")
    if effect in ("shown", "landing", "verdicts", "retention", "gates", "range"):
        assert rules_of(before) == rules_of(after)
    assert (before.path("batches") != after.path("batches")) == (effect == "another model")
    # and in Dagster no stage reads as stale that has nothing to do with it
    versions_before, versions_after = stages(before), stages(after)
    stale = {name for name in versions_before if versions_before[name] != versions_after[name]}
    assert stale <= STALE.get(effect, set())
    if effect == "training":
        assert stale & {"model", "training_set"}
    if effect == "gates":
        assert {"evaluation", "champion"} <= stale
    if effect in ("measured again", "new target"):
        assert {"performance", "staleness"} <= stale


def test_windows_that_begin_later_are_the_same_windows() -> None:
    before, after = pair("windows.start")
    assert before.windows.declares("2012-12-31")
    assert not after.windows.declares("2012-12-31")
    assert after.windows.declares("2013-01-07")
