"""Figures of one meaning are kept together, and those of another apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlops_assets.declaration import Declaration
from mlops_assets.drift.judgement import DriftPolicy
from mlops_assets.errors import DeclarationError
from mlops_assets.monitoring.meaning import (
    Figures,
    Meaning,
    Series,
    check_windows,
    differences,
    other_windows,
    remember,
)
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Entry

HERE = "tests.monitoring.expressions"
PERFORMANCE = {
    "champion": 1, "metric": "auc", "value": 0.8, "rows": 10, "predictions_version": "p",
    "labels_version": "l", "batch_version": "b", "predictions_commit": "c", "labels_commit": "c",
}  # fmt: skip


def declared(**changed: Any) -> Declaration:
    plain: dict[str, Any] = {
        "name": "tiny",
        "windows": {"every": "week", "start": "2024-01-01"},
        "batches": {"contract": "a.b:Batch", "time": "at", "key": ["id"]},
        "labels": {"contract": "a.b:Outcome", "target": f"{HERE}:PAID", "mature_after_days": 7},
        "features": f"{HERE}:FEATURES",
    }
    for path, value in changed.items():
        section, _, name = path.partition("__")
        if name:
            plain.setdefault(section, {})[name] = value
        else:
            plain[section] = value
    return Declaration.model_validate(plain)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def measured(store: Store, window: str, meaning: str | None, **changed: Any) -> kinds.Performance:
    row = {"model": "tiny", "window": window, "meaning": meaning, **PERFORMANCE, **changed}
    store.add(kinds.Performance(**row))
    return store.latest(kinds.Performance, model="tiny", window=window)[0]


@pytest.mark.parametrize(
    ("changed", "performance", "staleness"),
    [
        ({"labels__target": f"{HERE}:UNPAID"}, True, True),
        # the same expression under another name is the same target
        ({"labels__target": f"{HERE}:PAID_AS_WELL"}, False, False),
        ({"task": "regression", "gates__metric": "mae"}, True, True),
        ({"gates__metric": "brier"}, True, True),
        ({"gates__metric": "auc"}, False, False),  # what it is anyway
        ({"retraining__kpi": f"{HERE}:MONEY", "retraining__cost": 5.0}, False, True),
        ({"labels__mature_after_days": 8}, True, True),
        ({"windows__every": "day"}, True, True),
        ({"windows__timezone": "Asia/Tokyo"}, True, True),
        ({"batches__key": ["id", "day"]}, True, True),
        ({"windows__start": "2024-02-05"}, False, False),
        ({"training__rounds": 40, "gates__holdout_windows": 1}, False, False),
    ],
)
def test_a_digest_changes_with_what_makes_figures_incomparable(
    changed: dict[str, Any], performance: bool, staleness: bool
) -> None:
    before, after = Meaning.declared(declared()), Meaning.declared(declared(**changed))

    assert (before.digest("performance") != after.digest("performance")) is performance
    assert (before.digest("staleness") != after.digest("staleness")) is staleness


def test_money_by_another_expression_is_another_measure() -> None:
    money, more = (
        Meaning.declared(declared(retraining__kpi=f"{HERE}:{name}", retraining__cost=5.0))
        for name in ("MONEY", "MORE_MONEY")
    )
    assert money.digest("staleness") != more.digest("staleness")
    assert money.digest("performance") == more.digest("performance")


def test_figures_from_before_meanings_are_of_the_one_first_seen(store: Store) -> None:
    # given a home whose rows say nothing of what they mean
    row = measured(store, "2024-01-01", None)
    by_brier = measured(store, "2024-01-08", None, metric="brier")
    # when it is opened, then nothing has to be measured again, but for another metric's
    assert Series.of(declared(), store).holds("performance", row)
    assert not Series.of(declared(), store).holds("performance", by_brier)
    assert Series.of(declared(gates__metric="brier"), store).holds("performance", by_brier)
    # and when the target changes later, they are of the one before
    remember(declared(), store)
    other = declared(labels__target=f"{HERE}:UNPAID")
    remember(other, store)
    assert not Series.of(other, store).holds("performance", row)
    assert not Series.of(other, store).holds("performance", None)
    assert Series.of(declared(), store).holds("performance", row)


def test_what_changed_is_said_part_by_part() -> None:
    before = Meaning.declared(declared())
    other = declared(
        labels__target=f"{HERE}:UNPAID", labels__mature_after_days=8.5, gates__metric="brier"
    )
    assert differences(before, Meaning.declared(other)) == [
        "labels.target is another expression",
        "gates.metric was auc and is brier",
        "labels.mature_after_days was 7 and is 8.5",
    ]
    money = declared(retraining__kpi=f"{HERE}:MONEY", retraining__cost=5.0)
    (said,) = differences(before, Meaning.declared(money))
    assert said.startswith("what staleness is counted in was auc and is money by ")
    assert differences(before, before) == []


@pytest.mark.parametrize("figures", ["performance", "staleness"])
def test_a_meaning_that_returns_finds_its_figures(store: Store, figures: Figures) -> None:
    first, second = declared(), declared(labels__target=f"{HERE}:UNPAID")
    row = measured(store, "2024-01-01", Meaning.declared(first).digest(figures))
    for one in (first, second, first):
        remember(one, store)
    # then what is in force is the newest one again, and is kept once for each change
    seen = Series.as_recorded(store, "tiny")
    assert seen is not None
    assert seen.now == Meaning.declared(first)
    assert seen.holds(figures, row)
    assert not Series.of(second, store).holds(figures, row)
    remember(first, store)
    assert len(store.rows(kinds.Meaning, model="tiny")) == 3


def test_a_version_that_learnt_something_else_is_named(store: Store) -> None:
    # given an entry that says what it learnt, and one from before there was that
    remember(declared(), store)
    learnt = Meaning.declared(declared()).learnt
    entries = [Entry.model_construct(version=3, learnt=one) for one in (learnt, {})]
    for entry in entries:
        same = Series.of(declared(gates__metric="brier", labels__mature_after_days=9), store)
        assert same.learnt_now(entry)
        assert same.unlike(entry) == ""
        inverted = Series.of(declared(labels__target=f"{HERE}:UNPAID"), store)
        assert not inverted.learnt_now(entry)
        assert inverted.unlike(entry) == "the target changed since version 3 learnt"
        assert inverted.scores_alike(entry)
        number = Series.of(declared(task="regression", labels__target=f"{HERE}:AMOUNT"), store)
        said = "the task changed from binary to regression since version 3 learnt"
        assert number.unlike(entry) == said
        assert not number.scores_alike(entry)


def test_counts_of_labels_are_of_one_target(store: Store) -> None:
    remember(declared(), store)
    landed = {"model": "tiny", "window": "w", "version": "v", "commit_id": "c"}
    for meaning in (Meaning.declared(declared()).digest("labels"), None):
        row = kinds.Labels(**landed, rows=7, unknown=0, meaning=meaning)
        assert Series.of(declared(gates__metric="brier"), store).holds("labels", row)
        other = Series.of(declared(labels__target=f"{HERE}:UNPAID"), store)
        assert not other.holds("labels", row)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"windows__every": "day"}, "windows.every was week and is day"),
        ({"windows__timezone": "Asia/Tokyo"}, "windows.timezone was UTC and is Asia/Tokyo"),
        ({"batches__key": ["id", "day"]}, "batches.key was id and is id, day"),
        ({"batches__time": "later"}, "batches.time was at and is later"),
    ],
)
def test_windows_declared_otherwise_than_they_landed_are_refused(
    store: Store, changed: dict[str, Any], named: str
) -> None:
    check_windows(declared(**changed), store)  # nothing has landed yet
    remember(declared(), store)

    with pytest.raises(DeclarationError, match=named) as refused:
        remember(declared(**changed), store)

    assert "under another name" in str(refused.value)
    check_windows(declared(windows__start="2024-02-05", windows__end="2030-01-07"), store)
    check_windows(declared(windows__timezone="Etc/UTC"), store)  # another name of the same zone
    assert len(store.rows(kinds.Meaning, model="tiny")) == 1


def test_a_zone_that_was_recorded_by_another_name_of_utc_is_the_same(store: Store) -> None:
    # given a home whose meaning was recorded as the zone was spelled then
    parts = {**Meaning.declared(declared()).parts, "timezone": "Etc/UTC"}
    store.add(kinds.Meaning(model="tiny", parts=parts))
    # then neither name is another declaration, and nothing begins anew
    for zone in ("Etc/UTC", "UTC"):
        check_windows(declared(windows__timezone=zone), store)
        assert Series.of(declared(windows__timezone=zone), store).first == Meaning.declared(
            declared()
        )


def test_a_home_from_before_meanings_tells_the_length_by_its_verdicts(store: Store) -> None:
    declaration = declared()
    policy = DriftPolicy.declared(declaration.drift, declaration.windows.per_year)
    store.add(
        kinds.Verdict(model="tiny", window="2024-01-01", batch_version="b", champion=None, profile="p", reference=None, rows=10, exceeds=False, verdict="insufficient", sentence="", policy=store.add_blob(policy.to_bytes()), detail={}, features_commit="c"),
    )  # fmt: skip
    assert other_windows(declaration, store) == ""
    assert "windows.every" in other_windows(declared(windows__every="month"), store)
