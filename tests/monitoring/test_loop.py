from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops_assets.batches.maturity import LandedWindows
from mlops_assets.decisions.staleness import TwinDifference, staleness
from mlops_assets.declaration import Declaration
from mlops_assets.monitoring.loop import Weighing, against_drift
from mlops_assets.monitoring.recorded import RecordedSituation
from mlops_assets.monitoring.situation import EndAtOnce
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Draft, Ledger
from tests import tiny
from tests.conftest import open_project


@pytest.fixture
def declaration(tmp_path: Path, fresh_home: Path) -> Declaration:
    return open_project(tiny.make_project(tmp_path / "project", 3), fresh_home).player.declaration


def weighing(
    declaration: Declaration, landed: LandedWindows, folder: Path, ledger: Ledger
) -> Weighing:
    """Return what is weighed of a ledger beside which nothing is recorded and nothing runs."""
    store = Store(folder / "store")
    return Weighing(RecordedSituation.read(declaration, landed, store, ledger, EndAtOnce()))


@pytest.mark.parametrize(
    ("judged", "newest", "denied"),
    [
        # given a verdict by 2 of the last 3 windows: labels of one of them may deny it
        (4, 5, True),
        (4, 6, True),
        # what they say of quiet windows before is no denial
        (4, 7, False),
        (4, 40, False),
    ],
)
def test_labels_of_windows_before_the_drift_say_nothing_against_it(
    declaration: Declaration, judged: int, newest: int, denied: bool
) -> None:
    quiet = [TwinDifference(tiny.window(number), 0.23, 0.0) for number in range(judged + 1)]
    batches = tuple(tiny.window(number) for number in range(newest + 1))
    landed = LandedWindows(batches, (), (), datetime(2024, 1, 1, tzinfo=UTC))

    said = against_drift(declaration, staleness(quiet, 0.01), landed)

    assert (said is not None) is denied


def test_a_declaration_that_begins_later_now_leaves_attempts_of_before_out(
    tmp_path: Path, declaration: Declaration
) -> None:
    # given a champion of a window that is declared no more, and a refusal of one that is
    ledger = Ledger(tmp_path / "ledger")
    facts = {"reason": "better", "trigger": "drift", "training_windows": (tiny.window(0),)}
    for number, event, version in ((1, "promoted", 1), (5, "refused", None)):
        window = tiny.window(number)
        one = Draft(window=window, event=event, version=version, cause=window, **facts)
        ledger.append(declaration.name, one, 1 if number == 5 else None)
    windows = declaration.windows.model_copy(update={"start": tiny.window(4)})
    later = declaration.model_copy(update={"windows": windows})
    held = tuple(tiny.window(number) for number in (4, 5, 6))
    landed = LandedWindows(held, held, held, later.windows.ends(held[-1]))

    found = weighing(later, landed, tmp_path, ledger)

    assert [one.window for one in found.attempts] == [tiny.window(5)]
    assert found.since_training == 1
    assert found.evidence(lambda what, error: pytest.fail(f"{what}: {error}")) == []


def test_a_trigger_that_fails_keeps_no_other_from_being_heard(
    tmp_path: Path, declaration: Declaration
) -> None:
    # given a champion, and beside a schedule that is due a trigger that nothing can weigh
    ledger = Ledger(tmp_path / "ledger")
    facts = {"reason": "better", "trigger": "initial", "training_windows": (tiny.window(0),)}
    first = tiny.window(1)
    ledger.append(
        declaration.name,
        Draft(window=first, event="promoted", version=1, cause=first, **facts),
        None,
    )
    triggers = {"triggers": ["unheard_of", "schedule"], "every_windows": 1}
    retraining = declaration.retraining.model_copy(update=triggers)
    asked = declaration.model_copy(update={"retraining": retraining})
    held = tuple(tiny.window(number) for number in range(4))
    landed = LandedWindows(held, held, held, asked.windows.ends(held[-1]))
    told: list[str] = []

    found = weighing(asked, landed, tmp_path, ledger).evidence(
        lambda what, error: told.append(f"{what}: {error}")
    )

    assert [one.trigger for one in found] == ["schedule"]
    assert len(told) == 1
    assert told[0].startswith("unheard_of: ")


def test_what_was_not_judged_denies_nothing(declaration: Declaration) -> None:
    landed = LandedWindows((tiny.window(0),), (), (), None)
    unknown = [TwinDifference(tiny.window(0), 0.23, None, "labels are late")]

    assert against_drift(declaration, staleness(unknown, 0.01), landed) is None
