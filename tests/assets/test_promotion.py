"""Gates are read again, a refusal is a normal outcome, and doing it twice changes nothing."""

from __future__ import annotations

import json
import os
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from mlops_assets.assets.evaluation import is_by_declared_gates
from mlops_assets.learning import environment
from mlops_assets.records import kinds
from mlops_assets.registry.ledger import Entry, Ledger
from mlops_assets.registry.owner import owner_tags
from mlops_assets.registry.run import DESCRIPTION
from mlops_assets.replay.recovery import recover
from mlops_assets.resources import RegistryResource
from mlops_assets.sensors.recovery import PROCESS_TAGS
from mlops_assets.sensors.runs import is_interrupted
from tests import tiny
from tests.conftest import Played, PlayedTo, reopen

CHAIN = ("training_set", "model", "evaluation", "champion")


def mlflow_runs(promoted: Played, status: str) -> list[str]:
    tracking = RegistryResource().tracking(tiny.MODEL)
    found = tracking.client.search_runs(
        [tracking.experiment_id], f"attributes.status = '{status}'", max_results=500
    )
    return [run.info.run_id for run in found]


def metadata(played: Played, stage: str) -> dict[str, object]:
    event = played.instance.get_latest_materialization_event(dg.AssetKey([tiny.MODEL, stage]))
    assert event is not None
    assert event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def observed(played: Played, stage: str) -> str:
    """Return what was last observed of an asset."""
    records = played.instance.fetch_observations(dg.AssetKey([tiny.MODEL, stage]), limit=1).records
    assert records[0].event_log_entry.asset_observation is not None
    return str(records[0].event_log_entry.asset_observation.description)


def test_the_first_champion_is_gated_refitted_and_written_down(promoted: Played) -> None:
    entry = promoted.ledger.entries(tiny.MODEL)[0]
    # given the declared six mature windows, it was promoted at the turn of the seventh
    assert (entry.event, entry.version, entry.trigger) == ("promoted", 1, "initial")
    assert entry.window == tiny.window(6)
    # then it learnt all of them, the held-out one too, after its gates passed
    assert list(entry.training_windows) == [tiny.window(n) for n in range(6)]
    assert {gate.name for gate in entry.gates} == {
        "better_than_baseline",
        "better_than_champion",
        "refit_scores_agree",
        "refit_ranks_agree",
    }
    assert all(gate.passed for gate in entry.gates)
    # and MLflow's alias follows, its data is pinned, nothing is left running
    assert RegistryResource().registry().champion(tiny.MODEL) == 1
    assert promoted.repository.resolve("pinned-tiny-v1") == entry.data_commit
    assert mlflow_runs(promoted, "RUNNING") == []
    assert promoted.status["retrainings"] == []
    assert promoted.status["first_training"]["promoted"] is True


def test_every_run_in_mlflow_says_what_it_read_and_what_came_of_it(promoted: Played) -> None:
    # given the first training
    tracking = RegistryResource().tracking(tiny.MODEL)
    runs: dict[str, Any] = {}
    for run in reversed(list(tracking.runs())):  # the oldest first
        runs.setdefault(run.tags["mlops.stage"], run)
    (entry,) = promoted.ledger.entries(tiny.MODEL)[:1]
    held_out = tiny.window(5)
    # then each has its metrics: held out, by window, and the gain
    challenger = runs["challenger"].metrics
    by_window = challenger[f"held_out_auc/{held_out}"]
    assert challenger["held_out_auc"] == by_window
    gain = challenger["gain_over_baseline"]
    assert gain == pytest.approx(by_window - challenger["held_out_auc_of_baseline"])
    assert challenger[f"gain_over_baseline/{held_out}"] == gain
    assert challenger["learnt_rows"] == 1_500
    assert runs["other_seed"].metrics["held_out_auc"] != by_window
    found = {gate.name: gate.value for gate in entry.gates}
    assert runs["refit"].metrics["refit_scores_agree"] == found["refit_scores_agree"]
    assert {"learnt_auc", "refit_ranks_agree_limit"} <= set(runs["refit"].metrics)
    assert runs["retraining"].metrics["promoted"] == 1.0
    assert runs["retraining"].metrics["better_than_baseline"] == gain
    # and what it read, at which commit, for whom and why
    for stage in ("challenger", "refit", "other_seed"):
        run = runs[stage]
        (read,) = tracking.client.get_run(run.id).inputs.dataset_inputs
        source = json.loads(read.dataset.source)
        assert read.dataset.name == "tiny/training_set"
        assert run.tags["mlops.training_set"].startswith(read.dataset.digest)
        assert promoted.repository.stat(source["commit"], source["path"])
        assert source["data_commit"] == run.tags["mlops.data_commit"]
        assert [(tag.key, tag.value) for tag in read.tags] == [("mlflow.data.context", "training")]
        assert run.tags["mlops.cause"] == entry.cause
        assert run.tags["mlflow.parentRunId"] == runs["retraining"].id
        assert run.tags[DESCRIPTION].endswith(f" Why: {entry.reason}.")
    assert runs["retraining"].tags[DESCRIPTION].startswith("version 1 promoted")
    version = tracking.client.get_model_version(tiny.MODEL, "1")
    assert version.description.startswith(f"Learnt from {tiny.window(0)} to {held_out}.")


def test_a_configured_mlflow_is_the_one_that_is_used(
    played: Played, fresh_mlflow: Path, tmp_path: Path
) -> None:
    # given another database than the home's, named in the run's configuration
    shutil.copy(fresh_mlflow, tmp_path / "elsewhere.db")
    address = f"sqlite:///{tmp_path}/elsewhere.db"
    # when a stage runs that tracks
    result = played.job.execute_in_process(
        instance=played.instance,
        asset_selection=[dg.AssetKey([tiny.MODEL, "model"])],
        run_config={
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            "resources": {"mlops_registry": {"config": {"tracking_uri": address}}},
        },
    )
    # then its run is there, and the home's knows nothing of it
    assert result.success
    elsewhere = RegistryResource(tracking_uri=address).tracking(tiny.MODEL)
    assert [run.tags["mlops.stage"] for run in elsewhere.runs()] == ["retraining"]
    assert elsewhere.artifact_root == f"file://{tmp_path}/artifacts"
    assert list(RegistryResource().tracking(tiny.MODEL).runs()) == []


def test_mlflows_address_stays_the_homes_and_its_files_inside_it(promoted: Played) -> None:
    # given a process in which MLflow was used, then the environment names no server
    assert "MLFLOW_TRACKING_URI" not in os.environ
    experiment = RegistryResource().tracking(tiny.MODEL).client.get_experiment_by_name(tiny.MODEL)
    assert str(promoted.project.home.root) in experiment.artifact_location
    # and nothing was written beside the home
    assert not (promoted.project.root / "mlruns").exists()


def test_it_serves_from_the_next_window_on(promoted: Played) -> None:
    versions = {one["window"]: one["version"] for one in promoted.status["windows"]}
    assert versions[tiny.window(6)] is None
    assert versions[tiny.window(7)] == 1


def test_the_same_inputs_are_not_trained_twice(promoted: Played) -> None:
    # given a model trained from this training set
    promoted.materialize("retrain", "training_set", "model")
    trained = len(mlflow_runs(promoted, "FINISHED"))
    first = metadata(promoted, "model")
    # when it is asked for again
    assert promoted.materialize("retrain", "training_set", "model").success
    # then it is the same, and all that MLflow has more is the record of this very Dagster run
    again = metadata(promoted, "model")
    assert again["reused"] is True
    assert again["fingerprint"] == first["fingerprint"]
    assert again["mlflow_run_id"] == first["mlflow_run_id"]
    assert len(mlflow_runs(promoted, "FINISHED")) == trained + 1
    # but by another LightGBM the same inputs may make another model
    with pytest.MonkeyPatch.context() as upgraded:
        upgraded.setattr(environment, "version", lambda name: f"9.{version(name)}")
        assert promoted.materialize("retrain", "model").success
    assert metadata(promoted, "model")["reused"] is False


def test_a_champion_is_never_compared_on_windows_it_saw(promoted: Played) -> None:
    # given a champion trained up to window 5, of which windows 6 and 7 are mature and unseen:
    # when the evaluation is of the windows that the champion learnt from
    entries = len(promoted.ledger.entries(tiny.MODEL))
    declaration = promoted.player.declaration
    assert declaration.gates.holdout_windows == 1
    result = promoted.materialize("retrain", *CHAIN)
    # then the newest mature window, 7, was held out, which nobody saw
    assert result.success
    assert metadata(promoted, "evaluation")["holdout"] == [tiny.window(7)]
    assert len(promoted.ledger.entries(tiny.MODEL)) == entries + 1


def test_promotion_does_not_trust_gates_of_another_evaluation(promoted: Played) -> None:
    # given a chain that was decided, and then one more evaluation, whose gates were left out
    promoted.materialize("retrain", *CHAIN)
    before = promoted.ledger.entries(tiny.MODEL)
    evaluation = dg.AssetKey([tiny.MODEL, "evaluation"])
    unchecked = dg.materialize(
        [promoted.project.repository.assets_defs_by_key[evaluation]],
        selection=dg.AssetSelection.assets(evaluation).without_checks(),
        instance=promoted.instance,
    )
    assert unchecked.success
    # when the champion is asked for alone
    result = promoted.materialize("retrain", "champion")
    # then it refuses to decide, and says what to do
    assert not result.success
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert "has not judged this challenger" in str(failure.step_failure_data)
    assert promoted.ledger.entries(tiny.MODEL) == before


def test_promotion_does_not_trust_an_evaluation_by_gates_that_are_declared_no_more(
    played_to: PlayedTo,
) -> None:
    # given a challenger that passed, and then a gate that is stricter than what it gained
    played = played_to(9)
    assert played.materialize("retrain", *CHAIN[:-1]).success
    evaluated = metadata(played, "evaluation")
    declared = played.project.root / "tiny_project/defs/tiny/defs.yaml"
    strict = declared.read_text().replace(
        "{holdout_windows: 1}", "{holdout_windows: 1, min_gain: 1}"
    )
    declared.write_text(strict)
    again = reopen(played)
    # when the champion is asked for alone, then it refuses to decide, and says what to do
    result = again.materialize("retrain", "champion")
    assert not result.success
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert "by other gates; materialize tiny/evaluation first" in str(failure.step_failure_data)
    assert len(played.ledger.entries(tiny.MODEL)) == 1
    # and done so, it decides by the gate that is declared
    assert again.materialize("retrain", "evaluation", "champion").success
    assert [entry.event for entry in played.ledger.entries(tiny.MODEL)] == ["promoted", "refused"]
    # while of an evaluation from before gates were recorded nothing else is known
    assert not is_by_declared_gates(again.player.declaration, evaluated)
    del evaluated["gates"]
    assert is_by_declared_gates(again.player.declaration, evaluated)


def test_deciding_the_same_cause_again_ends_the_same(played_to: PlayedTo) -> None:
    # given a promotion that a person asks for once more by hand: nothing changes
    played = played_to(7)
    before = played.ledger.entries(tiny.MODEL)
    assert played.materialize("retrain", "champion").success
    assert played.ledger.entries(tiny.MODEL) == before
    assert "by this very evaluation already" in metadata(played, "champion")["summary"]
    # and one whose process was killed after it wrote the ledger: the alias is not moved
    registry = RegistryResource().registry()
    registry.set_champion(tiny.MODEL, None)
    # when the very same request runs again
    tags = {
        "mlops/cause": before[0].cause,
        "mlops/trigger": "initial",
        "mlops/reason": before[0].reason,
        "mlops/model": tiny.MODEL,
    }
    assert played.materialize("retrain", *CHAIN, **tags).success
    # then the ledger is as it was, no version was added, and the alias is where it belongs
    assert played.ledger.entries(tiny.MODEL) == before
    assert registry.champion(tiny.MODEL) == 1
    assert len(registry.client.search_model_versions("name = 'tiny'")) == 1


def test_a_refused_challenger_is_no_failed_run(played_to: PlayedTo) -> None:
    # given a champion, and labels without any sense in the windows that follow
    played = played_to(8)
    for number in (8, 9):
        played.land(number, "batches", tiny.batch(number)[0])
        outcomes = tiny.batch(number)[1]
        flipped = outcomes.with_columns((1 - outcomes["paid"]).alias("paid"))
        played.land(number, "labels", flipped)
        played.player.settle()
    # when a retraining is asked for
    result = played.materialize("retrain", *CHAIN)
    # then the run succeeds, the champion stays, and the ledger and the status say why
    assert result.success
    last = played.ledger.entries(tiny.MODEL)[-1]
    assert (last.event, last.version, last.previous) == ("refused", None, 1)
    assert RegistryResource().registry().champion(tiny.MODEL) == 1
    assert played.status["champion"]["version"] == 1
    assert played.status["retrainings"][-1]["promoted"] is False
    assert "worse" in played.status["retrainings"][-1]["reason"]
    assert metadata(played, "champion")["decision"] == "refused"
    # and asked for by hand once more, the same refusal is not written twice
    entries = played.ledger.entries(tiny.MODEL)
    outcomes = played.store.rows(kinds.Outcome, model=tiny.MODEL)
    assert played.materialize("retrain", "champion").success
    assert played.ledger.entries(tiny.MODEL) == entries
    assert played.store.rows(kinds.Outcome, model=tiny.MODEL) == outcomes
    assert "refused already, in entry" in metadata(played, "champion")["summary"]


def test_the_registered_version_loads_as_an_ordinary_mlflow_model(promoted: Played) -> None:
    import mlflow
    import numpy as np

    from mlops_assets.registry.tracking import load_model

    registry = RegistryResource().registry()
    version = registry.version(tiny.MODEL, 1)
    ours = load_model(RegistryResource().tracking(tiny.MODEL), version.run_id)
    rows = promoted.frame("features", 8)
    mlflow.set_tracking_uri(promoted.project.home.mlflow)
    theirs = mlflow.pyfunc.load_model(f"models:/{tiny.MODEL}@champion")
    scores = np.asarray(theirs.predict(ours.encoding.matrix(rows)))
    assert scores == pytest.approx(ours.predict(rows).to_numpy())


def test_a_promotion_killed_before_the_alias_is_finished_from_the_ledger(
    played_to: PlayedTo,
) -> None:
    # given a ledger that says version 1, an alias that was never moved and no outcome
    played = played_to(7)
    registry = RegistryResource().registry()
    registry.set_champion(tiny.MODEL, None)
    for file in played.project.home.store.glob("*/**/*.json"):
        if '"outcomes"' in file.read_text():
            file.unlink()
    played.store.rebuild()
    assert played.store.latest(kinds.Outcome, model=tiny.MODEL) == []
    # when a process of ours starts again
    recover(played.project, played.told.append)
    # then alias and outcome follow the ledger
    assert registry.champion(tiny.MODEL) == 1
    assert [row.version for row in played.store.latest(kinds.Outcome, model=tiny.MODEL)] == [1]
    assert any("finished initial:" in message for message in played.told)


def test_a_challenger_that_learnt_nothing_new_is_no_challenger(played_to: PlayedTo) -> None:
    # given a champion, and as many new mature windows as are held out
    played = played_to(8)
    # when a retraining is started by hand
    result = played.materialize("retrain", *CHAIN)
    # then it says that there is nothing to compare, instead of promoting the champion's twin
    assert result.success
    assert "learnt nothing" in observed(played, "evaluation")
    assert len(result.get_asset_materialization_events()) == 2  # training set and challenger
    assert len(played.ledger.entries(tiny.MODEL)) == 1


def test_what_is_too_early_says_so_and_fails_nothing(played_to: PlayedTo) -> None:
    # given five windows with mature labels, where the first training needs six
    played = played_to(6)
    # when all of it is started by hand
    result = played.materialize("retrain")
    # then nothing is made, nothing is red, and the reason stands where it was met
    assert result.success
    assert result.get_asset_materialization_events() == []
    assert "5 windows with mature labels, the declaration asks for 6" in observed(
        played, "training_set"
    )
    # and so it is for each stage by itself
    for stage, missing in zip(
        CHAIN[1:], ("training set", "training set", "evaluation"), strict=True
    ):
        assert played.materialize("retrain", stage).success
        assert f"there is no {missing} yet" in observed(played, stage)
    assert played.ledger.entries(tiny.MODEL) == []
    assert mlflow_runs(played, "FAILED") == []


def test_a_promotion_killed_right_after_the_ledger_knows_what_its_scores_are_worth(
    played_to: PlayedTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a process that dies when the ledger has its entry
    played = played_to(6)
    append = Ledger.append

    def append_and_die(*arguments: Any, **named: Any) -> Entry:
        append(*arguments, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(Ledger, "append", append_and_die)
        with pytest.raises(KeyboardInterrupt):
            played.turn(6)
    # when another goes on
    recover(played.project, played.told.append)
    played.player.settle()
    # then the version that serves has an estimator of its own
    (entry,) = played.ledger.entries(tiny.MODEL)
    assert entry.version == 1
    rows = played.store.latest(kinds.Estimator, model=tiny.MODEL, champion=1)
    assert [row.made_of for row in rows] == [[tiny.window(5)]]
    assert rows[0].estimator is not None


def test_changed_expressions_never_mix_with_what_was_stored(played_to: PlayedTo) -> None:
    # given a champion, and expressions that are changed under the same names
    played = played_to(8)
    file = played.project.root / "tiny_project/defs/tiny/features.py"
    file.write_text(file.read_text().replace('pl.col("amount"),', 'pl.col("amount") * 100,'))
    again = reopen(played)
    # when the next window lands
    again.turn(8)
    # then it is scored, and the check says that the champion learnt other expressions
    check = dg.AssetCheckKey(dg.AssetKey([tiny.MODEL, "features"]), "matches_reference")
    (record,) = again.instance.event_log_storage.get_asset_check_execution_history(check, limit=1)
    assert record.event is not None
    assert "the expressions changed since version 1" in str(record.event)
    # and a retraining learns every window by the new ones
    assert again.materialize("retrain", "training_set").success
    path = again.repository.location("main", "tiny/training_set.parquet").uri
    spread = pl.read_parquet(path).group_by("window").agg(pl.col("amount").std())
    assert spread["amount"].min() > 50  # type: ignore[operator]  # Polars types a minimum as anything


def test_what_is_not_ours_or_not_dead_is_left_alone(played: Played) -> None:
    # given unfinished runs: of another project, of a living process, of a dead one

    def unfinished(**tags: str) -> str:
        run = played.instance.create_run_for_job(played.job, tags={**played.tags("ingest"), **tags})
        return run.run_id

    alive = {PROCESS_TAGS[name]: value for name, value in owner_tags().items()}
    dead = {**alive, "mlops/pid": "999999999"}
    other = unfinished(**{**dead, "mlops/model": "somebody_elses"})
    living = unfinished(**{**alive, "mlops/model": tiny.MODEL})
    gone = unfinished(**{**dead, "mlops/model": tiny.MODEL})
    # when a process of ours starts
    recover(played.project, played.told.append)
    # then only the dead one is ended, as no attempt
    runs = {run.run_id: run for run in played.instance.get_runs()}
    assert [runs[one].status.value for one in (other, living, gone)] == [
        "NOT_STARTED",
        "NOT_STARTED",
        "CANCELED",
    ]
    assert is_interrupted(runs[gone])
