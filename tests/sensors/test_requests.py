"""What one tick of the data sensor asks for: the oldest, a few at a time, past what can't be."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import dagster as dg
import pytest

from mlops_assets.batches.landing import land
from mlops_assets.declaration import Declaration
from mlops_assets.monitoring.due import Work
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.resources import RepositoryResource, StoreResource
from mlops_assets.sensors import data
from mlops_assets.versions import open_repository
from tests import tiny


def tick(
    folder: Path,
    declaration: Declaration,
    cursor: str | None = "no JSON",  # a person can set it to anything
) -> dg.SensorResult:
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(
            instance=instance,
            cursor=cursor,
            resources={
                "mlops_repository": RepositoryResource(url=str(folder / "repository")),
                "mlops_store": StoreResource(root=str(folder / "store")),
            },
        )
        result = data.build([declaration])(context)
        assert isinstance(result, dg.SensorResult)
        return result


def put(folder: Path, declaration: Declaration, *windows: str) -> None:
    for window in windows:
        file = folder / f"{window}.parquet"
        tiny.batch(0)[0].write_parquet(file)
        repository = open_repository(str(folder / "repository"))
        land(repository, declaration, file, kind="batches", window=window)


def asked(result: dg.SensorResult) -> list[str | None]:
    return [one.partition_key for one in result.run_requests or ()]


def test_the_oldest_are_asked_for_and_the_others_wait_for_their_turn(
    tmp_path: Path, declaration: Declaration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "AT_ONCE", 2)
    put(tmp_path, declaration, *(tiny.window(number) for number in (2, 0, 1)))
    assert asked(tick(tmp_path, declaration)) == [tiny.window(0), tiny.window(1)]


def test_what_waits_for_its_turn_is_not_reported_again_and_again(
    tmp_path: Path, declaration: Declaration, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a tick that reported what it asked for
    put(tmp_path, declaration, tiny.window(0), tiny.window(1))
    first = tick(tmp_path, declaration)
    assert len(first.asset_events) == 2
    # when one has no place for more, and the next one has again
    monkeypatch.setattr(data, "AT_ONCE", 0)
    full = tick(tmp_path, declaration, first.cursor)
    monkeypatch.setattr(data, "AT_ONCE", 25)
    # then nothing of it is reported once more
    assert tick(tmp_path, declaration, full.cursor).asset_events == []


def test_what_was_given_up_of_a_window_that_is_declared_no_more_fails_no_tick(
    tmp_path: Path, declaration: Declaration
) -> None:
    put(tmp_path, declaration, tiny.window(0))
    row = {"model": "tiny", "cause": "ingest:abc", "window": "1999-01-04", "trigger": "data"}
    said = {"decision": "held_back", "code": "failing", "reason": "", "decided_at": ""}
    Store(tmp_path / "store").add(kinds.Decision(**{**row, **said}))
    assert asked(tick(tmp_path, declaration)) == [tiny.window(0)]
    (last,) = Store(tmp_path / "store").latest(kinds.Decision, model="tiny")
    assert last.code == "done"


def test_a_window_that_dagster_does_not_know_holds_up_no_other(
    tmp_path: Path, declaration: Declaration, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a clock of ours that is years ahead of Dagster's
    monkeypatch.setenv("MLOPS_NOW", "2190-06-01T00:00:00Z")
    windows = declaration.windows.model_copy(update={"end": None})
    ahead = declaration.model_copy(update={"windows": windows})
    put(tmp_path, ahead, "2190-05-10")
    result = tick(tmp_path, ahead)
    assert asked(result) == []
    assert isinstance(result.skip_reason, dg.SkipReason)
    assert "2190-05-10 waits: Dagster" in str(result.skip_reason.skip_message)
    # then that of a known window is asked for
    put(tmp_path, ahead, tiny.window(0))
    assert asked(tick(tmp_path, ahead)) == [tiny.window(0)]


def test_work_that_was_given_up_costs_a_tick_no_question_each(
    tmp_path: Path, declaration: Declaration
) -> None:
    # given windows whose work failed as often as it is tried
    store = Store(tmp_path / "store")
    due = [Work("tiny", tiny.window(number), ("batches",), ("1",)) for number in range(6)]
    with dg.DagsterInstance.ephemeral() as instance:
        for work in due:
            tags = {"mlops/model": "tiny", "mlops/kind": "ingest", "mlops/work": work.mark}
            for number in range(declaration.retraining.attempts):
                run = dg.DagsterRun(
                    job_name="tiny__ingest",
                    status=dg.DagsterRunStatus.FAILURE,
                    tags={
                        **tags,
                        "dagster/partition": work.window,
                        "dagster/run_key": f"{work.mark}:{number}",
                    },
                )
                instance.add_run(run)
        with patch.object(instance, "get_run_records", wraps=instance.get_run_records) as asked:
            questions = []
            for some in (due[:1], due):
                runs = data.RunsOfWork.read(instance, store, declaration, some)
                assert all(runs.is_given_up(work) for work in some)
                questions.append(asked.call_count)
        # then six of them take as many questions to Dagster as one
        assert questions[1] == 2 * questions[0]
        # and none to the store, once it is written down why
        said = [data.request(runs, work) for work in due]
        with patch.object(Store, "latest") as latest, patch.object(Store, "rows") as rows:
            assert [data.request(runs, work) for work in due] == said
        assert not latest.called
        assert not rows.called
