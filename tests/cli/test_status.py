"""`mlops status`: what needs a person on top, in 80 columns, and nothing that isn't so."""

from __future__ import annotations

import pytest

from mlops_assets.cli.status import read_status, show_model, show_status
from mlops_assets.monitoring.status import needs
from tests.conftest import Played

WINDOW = {
    "rows": 123_456,
    "verdict": "insufficient",
    "metric": 0.71,
    "estimate": 0.72,
    "version": 12,
    "score": 0.2003,
    "limit": 0.2,
    "sentence": "insufficient: no rows",
}
MODEL = {
    "model": "tiny",
    "every": "hour",
    "metric": "auc",
    "declared": True,
    "broken": None,
    "champion": {
        "version": 12,
        "window": "2024-01-01T03",
        "age_windows": 1,
        "promoted_at": "2024-01-01T04:00:00+00:00",
        "data_commit": None,
        "mlflow_run_id": None,
        "trained_on": ["2024-01-01T00", "2024-01-01T02"],
    },
    "first_training": None,
    "retrainings": [
        {
            "window": f"2024-01-01T0{hour}",
            "trigger": "staleness",
            "reason": "what not retraining has cost " * 6,
            "version": None,
            "promoted": False,
        }
        for hour in (4, 5)
    ],
    "held_back": [],
    "given_up": None,
    "missing": [],
    "windows": [{**WINDOW, "window": f"2024-01-01T{hour:02}"} for hour in range(20)],
    "reference": "the reference is too short for 1 false alarm a year: its 3 windows allow 9",
    "paused": {"by": "me", "reason": "an\x1b[2K audit\nLanded: all"},
    "refused": [],
    "waiting": [
        {"kind": "batches", "window": "2024-01-01T20", "branch": "landing-x", "reason": "not over"}
    ],
    "withdrawn": [],
    "due": [],
    "outdated": [],
    "other_target": "the target changed since version 12 learnt",
    "other_windows": None,
    "declared_otherwise": [
        {"window": "2024-01-01T06", "reason": "gates.metric was auc and is brier: " * 3}
    ],
    "hanging": [],
    "stopped_sensors": [],
    "needs": [{"what": "batches of 2024-01-01T07 were refused: [/red] \x1b[31m", "do": "mend it"}],
}


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_eighty_columns_hold_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    show_model(MODEL)
    lines = printed(capsys)
    assert max(map(len, lines)) <= 80
    # what a person has to do comes first, then what serves and since when
    assert lines[1].startswith(r"  ! batches of 2024-01-01T07 were refused: [/red] \x1b[31m")
    assert lines[2] == "    mend it"
    assert "promoted at 2024-01-01T03 (1 hour ago)" in lines[3]
    # nothing from outside steers the terminal or begins a line
    assert "  paused by me: an\\x1b[2K audit\\nLanded: all; `mlops resume tiny` ends it" in lines
    # the newest window is the first row, whole, below the metric's name
    (head,) = (n for n, line in enumerate(lines) if line.split()[:2] == ["window", "rows"])
    assert "auc as expected" in lines[head - 1]
    assert lines[head + 1].split() == [
        "2024-01-01T19",
        "123,456",
        "v12",
        "insufficient",
        "0.2003",
        "0.2000",
        "0.7200",
        "0.7100",
    ]
    assert "8 earlier windows" in lines[head + 13]
    assert sum("too short" in line for line in lines) == 1
    # and so is the newest decision
    retrained = [line for line in lines if "retrained on" in line]
    assert [line.split()[0] for line in retrained] == ["2024-01-01T05", "2024-01-01T04"]


def test_of_a_declaration_that_cannot_be_kept_the_first_fault_is_said() -> None:
    faults = "schema.py:10: the key column `id` is String\nfeatures.py:3: `mean`\nfeatures.py:4: x"
    said, do = needs({**MODEL, "broken": faults}, None, None)[0].values()
    assert said == (
        "the declaration can't be kept: schema.py:10: the key column `id` is String (and 2 more "
        "faults)"
    )
    assert do == "mend it; `mlops check tiny` names every fault"


def test_a_warning_is_explained_and_old_records_say_it_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = f"warning: wind is missing; the score is within the limit; {MODEL['reference']}"
    odd = {**WINDOW, "window": "2024-01-02T00", "verdict": "warning", "sentence": said}
    show_model({**MODEL, "windows": [odd, {**odd, "window": "2024-01-02T01"}]})
    text = " ".join(" ".join(printed(capsys)).split())
    assert text.count("warning: wind is missing; the score is within the limit") == 2
    assert text.count("too short") == 1


def test_what_is_declared_and_what_was_are_told_apart(
    played: Played, capsys: pytest.CaptureFixture[str]
) -> None:
    home = played.project.home
    # given a declared model without data, and data of one that is not declared any more
    (home.ledger / "gone").mkdir(parents=True)
    status = read_status()
    gone, fresh = status["models"]
    assert (gone["model"], gone["declared"], gone["needs"]) == ("gone", False, [])
    assert (fresh["declared"], fresh["metric"], fresh["every"]) == (True, "auc", "week")
    assert fresh["needs"] == [
        {"what": "no data yet", "do": "`mlops replay tiny` plays its history"}
    ]
    show_status(status)
    said = "\n".join(printed(capsys))
    assert said.startswith(f"home: {home.root}\n")
    assert "gone  (no longer declared)" in said
    # then the next one loads no definitions, until a file is another
    kept = home.cache / "declared.json"
    kept.write_text(kept.read_text().replace('"week"', '"day"'))
    assert read_status("tiny")["models"][0]["every"] == "day"
    (played.project.root / "tiny_project/defs/other.py").write_text("OTHER = 1\n")
    assert read_status("tiny")["models"][0]["every"] == "week"
