from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.errors import LedgerConflictError, RegistryError
from mlops_assets.registry.ledger import Draft, Gate, Ledger

MODEL = "flight_delay"


def draft(window: str = "2013-04-01", version: int | None = 1, **changes: Any) -> Draft:
    facts: dict[str, Any] = {
        "window": window,
        "event": "promoted",
        "version": version,
        "cause": f"{window}:{version}",
        "reason": "better",
        "trigger": "drift",
        **changes,
    }
    return Draft(**facts)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def told(ledger: Ledger) -> Ledger:
    """1 in April, 2 in May, 3 refused in June, back to 1 in July."""
    ledger.append(MODEL, draft("2013-04-01", 1), None)
    ledger.append(MODEL, draft("2013-05-06", 2), 1)
    ledger.append(MODEL, draft("2013-06-03", 3, event="refused"), 2)
    ledger.append(MODEL, draft("2013-07-01", 1, event="rolled_back"), 2)
    return ledger


def test_an_entry_is_kept_whole(ledger: Ledger) -> None:
    gate = Gate(name="holdout", passed=True, value=0.01, limit=0.0, sentence="good")
    whole = draft(
        data_commit="c0ffee",
        mlflow_run_id="r1",
        gates=(gate,),
        fingerprint="f1",
        reference="b1",
        training_windows=("2013-01-07", "2013-01-14"),
    )
    entry = ledger.append(MODEL, whole, None)
    assert ledger.entries(MODEL) == [entry]
    assert entry.model_dump(include=set(Draft.model_fields)) == whole.model_dump()
    assert (entry.number, entry.previous) == (1, None)
    assert entry.at.endswith("+00:00")
    assert [path.name for path in (ledger.root / MODEL).iterdir()] == ["000001.json"]


def test_a_gate_without_a_finite_value_is_kept_as_none(ledger: Ledger) -> None:
    gate = Gate(name="holdout", passed=False, value=float("nan"), limit=None, sentence="none")
    entry = ledger.append(MODEL, draft(gates=(gate,)), None)
    assert entry.gates[0].value is None
    assert ledger.entries(MODEL) == [entry]


def test_entries_are_numbered_and_know_what_was_before(told: Ledger) -> None:
    assert [(e.number, e.event, e.version, e.previous) for e in told.entries(MODEL)] == [
        (1, "promoted", 1, None),
        (2, "promoted", 2, 1),
        (3, "refused", 3, 2),
        (4, "rolled_back", 1, 2),
    ]


def test_the_champion_is_the_newest_that_was_not_refused(told: Ledger) -> None:
    champion = told.champion(MODEL)
    assert champion is not None
    assert (champion.number, champion.version) == (4, 1)


@pytest.mark.parametrize(
    ("window", "number"),
    [
        ("2013-03-25", None),
        ("2013-04-01", None),
        ("2013-04-08", 1),
        ("2013-05-06", 1),
        ("2013-05-13", 2),
        ("2013-06-10", 2),
        ("2013-07-01", 2),
        ("2013-07-08", 4),
    ],
)
def test_a_promotion_serves_from_the_next_window_on(
    told: Ledger, window: str, number: int | None
) -> None:
    entry = told.in_force(MODEL, window)
    assert (entry.number if entry else None) == number


def test_a_later_entry_never_changes_the_past(told: Ledger) -> None:
    windows = ["2013-04-08", "2013-05-13", "2013-07-01"]
    before = [told.in_force(MODEL, window) for window in windows]
    told.append(MODEL, draft("2013-07-08", 4), 1)
    assert [told.in_force(MODEL, window) for window in windows] == before


def test_a_rollback_to_nothing_leaves_no_champion(ledger: Ledger) -> None:
    ledger.append(MODEL, draft(), None)
    ledger.append(MODEL, draft("2013-05-06", None, event="rolled_back"), 1)
    assert ledger.champion(MODEL) is None
    assert ledger.in_force(MODEL, "2013-05-13") is None
    assert ledger.in_force(MODEL, "2013-05-06") is not None


def test_appending_twice_adds_one_entry(told: Ledger) -> None:
    first = told.entries(MODEL)[0]
    assert told.append(MODEL, draft("2013-04-01", 1), None) == first
    assert len(told.entries(MODEL)) == 4


def test_a_decision_against_an_old_champion_is_refused(told: Ledger) -> None:
    with pytest.raises(LedgerConflictError, match="champion is version 1, not version 2"):
        told.append(MODEL, draft("2013-07-08", 4), 2)
    assert len(told.entries(MODEL)) == 4


def test_a_cause_is_not_decided_both_ways(ledger: Ledger) -> None:
    ledger.append(MODEL, draft(cause="d1"), None)
    with pytest.raises(LedgerConflictError, match="`d1` was promoted in entry 1"):
        ledger.append(MODEL, draft(cause="d1", event="refused"), 1)


def test_models_do_not_meet(ledger: Ledger) -> None:
    ledger.append(MODEL, draft(), None)
    assert ledger.entries("churn") == []
    assert ledger.champion("churn") is None


@pytest.mark.parametrize("name", ["", "..", "a/b", "../x", "Flight", "1st", "a\n", ".hidden"])
def test_a_name_that_could_leave_the_folder_is_refused(ledger: Ledger, name: str) -> None:
    with pytest.raises(RegistryError, match="no model can be called"):
        ledger.append(name, draft(), None)
    with pytest.raises(RegistryError, match="no model can be called"):
        ledger.entries(name)
    assert not ledger.root.exists()


def test_a_promotion_needs_a_version(ledger: Ledger) -> None:
    with pytest.raises(RegistryError, match="needs the version"):
        ledger.append(MODEL, draft(version=None), None)


def test_a_lost_or_damaged_entry_is_not_passed_over(told: Ledger) -> None:
    (told.root / MODEL / "000002.json").write_text('{"number": 2')
    with pytest.raises(RegistryError, match=r"000002\.json can't be read"):
        told.champion(MODEL)
    (told.root / MODEL / "000002.json").unlink()
    with pytest.raises(RegistryError, match="entry 2 is missing"):
        told.champion(MODEL)


def test_what_a_killed_writer_left_is_not_an_entry(ledger: Ledger) -> None:
    ledger.append(MODEL, draft(), None)
    (ledger.root / MODEL / ".000002.json.5f2b").write_text('{"numb')
    assert len(ledger.entries(MODEL)) == 1
    assert ledger.append(MODEL, draft("2013-05-06", 2), 1).number == 2


def test_a_ledger_of_another_version_is_read_and_goes_on(ledger: Ledger) -> None:
    folder = ledger.root / MODEL
    folder.mkdir(parents=True)
    shutil.copy(Path(__file__).parent / "written.json", folder / "000001.json")
    before = (folder / "000001.json").read_bytes()

    (entry,) = ledger.entries(MODEL)
    assert (entry.number, entry.version, entry.cause) == (1, 1, "initial:2024-02-05")
    assert ledger.append(MODEL, draft("2024-04-01", 2), 1).number == 2
    assert (folder / "000001.json").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["000001.json", "000002.json"]
    assert ledger.models() == [MODEL]


_TWO_WRITERS = """
import errno, json, multiprocessing, os, sys
from pathlib import Path
from mlops_assets.errors import LedgerConflictError
from mlops_assets.registry.ledger import Draft, Ledger

def write(me, root, meet, results):
    ledger = Ledger(Path(root))
    for turn in range(40):
        cause = "same" if turn % 2 else f"of {me}"
        draft = Draft(window="w", event="refused" if turn % 4 < 2 else "promoted", version=me,
                      cause=cause, reason="r", trigger="t")
        meet.wait(30)
        try:
            entry = ledger.append(f"m{turn}", draft, None)
            results.put((turn, me, entry.version))
        except LedgerConflictError:
            results.put((turn, me, None))

def without_links(*_):
    raise PermissionError(errno.EPERM, "no links here")

if not sys.argv[2]:
    os.link = without_links
fork = multiprocessing.get_context("fork")
meet, results = fork.Barrier(2), fork.SimpleQueue()
both = [fork.Process(target=write, args=(me, sys.argv[1], meet, results)) for me in (1, 2)]
[each.start() for each in both]
got = [results.get() for _ in range(80)]
[each.join() for each in both]
print(json.dumps(got))
"""


@pytest.mark.parametrize("has_links", [True, False])
def test_of_two_processes_that_append_at_once_one_wins(ledger: Ledger, has_links: bool) -> None:
    told = subprocess.run(
        [sys.executable, "-c", _TWO_WRITERS, str(ledger.root), "links" if has_links else ""],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    answers: dict[int, dict[int, int | None]] = {}
    for turn, writer, version in json.loads(told.stdout):
        answers.setdefault(turn, {})[writer] = version
    for turn, answer in answers.items():
        entries = ledger.entries(f"m{turn}")  # which fails where a number is missing
        assert len({entry.cause for entry in entries}) == len(entries)
        if turn % 2:  # two copies of one step: both are told the one entry
            assert len(entries) == 1
            assert set(answer.values()) == {entries[0].version}
        else:  # two decisions: whoever was not written was told so
            accepted = {writer for writer, version in answer.items() if version is not None}
            assert {entry.version for entry in entries} == accepted
            assert len(entries) == 1 or (len(entries) == 2 and turn % 4 == 0)
