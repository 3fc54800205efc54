"""What landed is taken back: nothing of it counts any more, nothing of it is lost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets.batches import withdrawing
from mlops_assets.batches.landing import Landing, landings, publish
from mlops_assets.batches.maturity import landed_windows
from mlops_assets.batches.withdrawing import Withdrawal
from mlops_assets.cli.land import land_file
from mlops_assets.cli.verify import verify_models
from mlops_assets.cli.withdraw import withdraw_window
from mlops_assets.errors import ConflictError, HomeError, UnknownNameError
from mlops_assets.monitoring.due import due
from mlops_assets.monitoring.twins import Twins
from mlops_assets.records import kinds
from mlops_assets.versions import Repository
from tests import tiny
from tests.conftest import Played, PlayedTo


def withdraw(number: int, *, labels: bool | None = None) -> dict[str, Any]:
    return withdraw_window(tiny.MODEL, tiny.window(number), labels=labels, reason="wrong plant")


def history(number: int, kind: str = "batches") -> Path:
    return Path("history") / kind / f"{tiny.window(number)}.parquet"


def seen(played: Played, number: int) -> dict[str, Any]:
    windows = played.status["windows"]
    found: dict[str, Any] = next(one for one in windows if one["window"] == tiny.window(number))
    return found


def test_what_waits_is_taken_back_and_lands_by_itself_no_more(played: Played) -> None:
    played.land(0)
    with pytest.raises(UnknownNameError, match="nothing of 2024-01-08 has landed"):
        withdraw(1)
    outcome = withdraw(0)
    assert (outcome["kind"], outcome["withdrawn"]) == ("batches", "waiting")
    assert landings(played.repository, tiny.MODEL) == []
    assert not played.player.tick("data")
    # a tag keeps it
    (tag,) = outcome["tags"]
    played.repository.stat(tag, f"tiny/batches/{tiny.window(0)}.parquet")
    # neither replay nor import lands it again, a person does
    assert played.land(0) is None
    assert land_file(tiny.MODEL, history(0), window=None, labels=None).landing is not None
    assert len(landings(played.repository, tiny.MODEL)) == 1


def test_an_ingested_window_counts_no_more_until_it_lands_again(played_to: PlayedTo) -> None:
    # given a champion, and windows that were scored, measured and judged stale or not
    played = played_to(9)
    declaration, window = played.player.declaration, tiny.window(7)
    before = seen(played, 7)
    assert before["metric"] is not None
    # when one of them is withdrawn
    outcome = withdraw(7)
    assert (outcome["kind"], outcome["withdrawn"]) == ("batches", "ingested")
    # then it is a version without rows, that nobody asks to be worked on
    assert played.frame("batches", 7).height == 0
    assert window not in [one.window for one in due(played.repository, played.store, declaration)]
    landed = landed_windows(played.repository, declaration, "main")
    assert window not in (*landed.batches, *landed.mature)
    assert landed.withdrawn == (window,)
    # and it counts nowhere, and is said to be withdrawn
    after = seen(played, 7)
    assert (after["rows"], after["metric"], after["verdict"]) == (0, None, "insufficient")
    assert "withdrawn by" in after["sentence"]
    assert "wrong plant" in after["sentence"]
    (said,) = played.status["withdrawn"]
    assert (said["window"], said["kind"], said["reason"]) == (window, "batches", "wrong plant")
    gains = {row.window: row.gain for row in played.store.latest(kinds.Staleness, model="tiny")}
    assert gains[window] is None
    assert not [one for one in played.status["missing"] if one["window"] == window]
    # nor does a twin of a later window learn from it, though its features are there
    assert played.frame("features", 7).height > 0
    twins = Twins(declaration, played.repository, played.store)
    assert list(twins.known_before(tiny.window(9)).versions) == [tiny.window(n) for n in range(7)]
    # and Dagster shows what stands on it as stale
    key = dg.AssetKey([tiny.MODEL, "batches"])
    (event,) = played.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key, asset_partitions=[window]), limit=1
    ).records
    materialization = event.asset_materialization
    assert materialization is not None
    assert materialization.metadata["dagster/row_count"].value == 0
    # and all that was ever recorded is there
    assert verify_models(tiny.MODEL).problems == ()
    # asked for twice it is the same
    head = played.repository.resolve("main")
    withdraw(7)
    assert played.repository.resolve("main") == head
    # when the same file lands again, all is as it was; measured at once, it is not estimated first
    assert land_file(tiny.MODEL, history(7), window=None, labels=None).landing is not None
    played.player.settle()
    assert seen(played, 7) == {**before, "estimate": None}
    assert played.status["withdrawn"] == []
    assert landed_windows(played.repository, declaration, "main").withdrawn == ()


def test_labels_alone_are_taken_back(played_to: PlayedTo) -> None:
    played = played_to(9)
    metric = seen(played, 7)["metric"]
    outcome = withdraw(7, labels=True)
    assert (outcome["kind"], outcome["withdrawn"]) == ("labels", "ingested")
    assert (seen(played, 7)["metric"], seen(played, 7)["rows"]) == (None, 300)
    played.player.settle()
    assert seen(played, 7)["metric"] is None
    land_file(tiny.MODEL, history(7, "labels"), window=None, labels=None)
    played.player.settle()
    assert seen(played, 7)["metric"] == metric


def test_nothing_is_called_taken_back_that_is_published_meanwhile(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a batch that waits, and a run that publishes it while a person takes it back
    played.land(0)
    put_away = withdrawing._put_away

    def late(repository: Repository, model: str, gone: Sequence[Landing]) -> tuple[str, ...]:
        publish(repository, played.player.declaration, gone[-1])
        return put_away(repository, model, gone)

    monkeypatch.setattr(withdrawing, "_put_away", late)
    # then that is said, and done when it is asked for again
    with pytest.raises(ConflictError, match="main holds them now; withdraw them once more"):
        withdraw(0)
    assert withdraw(0)["withdrawn"] == "ingested"


def test_nothing_is_withdrawn_under_the_hands_of_a_run(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a batch that waits, and a run that begins to work on it while a person takes it back
    played.land(0)
    tags = {**played.tags("ingest"), "dagster/partition": tiny.window(0)}
    take_back = withdrawing.withdraw

    def late(*arguments: Any, **options: Any) -> Withdrawal:
        done: Withdrawal = take_back(*arguments, **options)
        played.instance.create_run_for_job(
            played.job, tags=tags, status=dg.DagsterRunStatus.STARTED
        )
        return done

    monkeypatch.setattr("mlops_assets.monitoring.withdrawal.withdraw", late)
    with pytest.raises(HomeError, match="began to work on 2024-01-01 of tiny at this very moment"):
        withdraw(0)
    # and while it works, nothing is touched
    with pytest.raises(HomeError, match="withdraw it when that has ended"):
        withdraw(0)
