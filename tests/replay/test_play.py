"""A replay tries again what was refused, goes past what can't be read, and says what it left."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from mlops_assets.batches.landing import Landing, check_landing, landings
from mlops_assets.cli.replay import replay_model, show
from mlops_assets.replay.play import Summary, reconsider_refused
from tests import tiny
from tests.conftest import Played, reopen


def declare(played: Played, before: str, after: str) -> Played:
    """Change the declaration, and open the project anew."""
    declared = played.project.root / "tiny_project/defs/tiny/defs.yaml"
    assert before in declared.read_text()
    declared.write_text(declared.read_text().replace(before, after))
    return reopen(played)


def replay(until: int) -> Summary:
    return replay_model(tiny.MODEL, until=tiny.window(until))


def test_what_was_refused_is_tried_again_when_rule_or_file_were_mended(
    played: Played, capsys: pytest.CaptureFixture[str]
) -> None:
    # given a rule that refuses every batch, and a file that can't be read
    history = played.project.root / "history/batches"
    good = (history / f"{tiny.window(1)}.parquet").read_bytes()
    (history / f"{tiny.window(1)}.parquet").write_bytes(b"no Parquet")
    played = declare(played, "min_rows: 50", "min_rows: 400")
    found = replay(until=2)
    assert (len(found.refused), found.failed, found.clean) == (3, (), False)
    show(found)
    assert "of which none landed, in " in capsys.readouterr().out
    # when nothing was mended, then it says the same again
    assert replay(until=2).refused == found.refused
    # when the rule is, then all but the file that can't be read are played
    played = declare(played, "min_rows: 400", "min_rows: 50")
    found = replay(until=2)
    assert found.played == 2
    assert [one["window"] for one in played.status["windows"]] == [tiny.window(0), tiny.window(2)]
    (problem,) = found.refused
    assert problem.startswith(
        f"batches of {tiny.window(1)}: {tiny.window(1)}.parquet can't be read"
    )
    # when the file is, then it lands late, and nothing is left
    (history / f"{tiny.window(1)}.parquet").write_bytes(good)
    found = replay(until=2)
    assert (found.played, found.clean) == (1, True)
    assert len(played.status["windows"]) == 3
    assert not landings(played.repository, tiny.MODEL)


def test_an_older_file_that_would_pass_by_now_does_not_replace_a_mended_one(
    played: Played,
) -> None:
    # given a file that was refused, and a mended one for the same window, which waits
    rows = tiny.batch(0)[0]
    half = rows.with_columns(amount=pl.when(pl.int_range(pl.len()) % 2 == 0).then("amount"))
    old = land_checked(played, half)
    assert old.refused
    new = land_checked(played, rows)
    assert not new.refused
    # when the rule that refused the first is taken back, and all is tried again
    played = declare(played, "min_rows: 50", "min_rows: 50\n    max_null_share: 1.0")
    reconsider_refused(played.repository, played.player.declaration)
    # then the mended one is still what is meant
    played.player.settle()
    assert played.frame("batches", 0)["amount"].null_count() == 0


def land_checked(played: Played, rows: pl.DataFrame) -> Landing:
    return check_landing(played.repository, played.player.declaration, played.land(0, frame=rows))[
        0
    ]


@pytest.mark.parametrize("what", ["a folder", "a link to nothing"])
def test_what_is_no_file_is_refused_and_holds_nobody_up(played: Played, what: str) -> None:
    file = played.project.root / "history/batches" / f"{tiny.window(1)}.parquet"
    file.unlink()
    if what == "a folder":
        file.mkdir()
    else:
        file.symlink_to("nowhere")
    found = replay(until=2)
    assert [one.partition(": ")[0] for one in found.refused] == [f"batches of {tiny.window(1)}"]
    assert [one["window"] for one in played.status["windows"]] == [tiny.window(0), tiny.window(2)]


def test_files_of_no_window_and_of_times_to_come_are_left_out_with_a_line(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = played.project.root / "history/batches"
    os.link(history / f"{tiny.window(0)}.parquet", history / "2023-12-01.parquet")
    # given a present in the middle of the second week
    monkeypatch.setenv("MLOPS_NOW", (tiny.FIRST + timedelta(weeks=1, days=2)).isoformat())
    found = replay_model(tiny.MODEL)
    # then the first week is played, the second waits for its end, and all else is named
    assert (found.played, found.clean) == (1, True)
    assert {(one.window, one.kind) for one in found.waiting} == {
        (tiny.window(1), "batches"),
        (tiny.window(1), "labels"),
    }
    left_out = {Path(line.split(": ")[0]).stem for line in found.skipped}
    assert left_out == {"2023-12-01", *(tiny.window(number) for number in range(2, 14))}
