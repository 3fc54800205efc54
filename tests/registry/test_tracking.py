from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_assets.errors import RegistryError
from mlops_assets.registry.owner import HOST, PID, PROCESS_START, owner_is_alive, owner_tags
from mlops_assets.registry.tracking import Tracking


def test_a_run_is_found_again_with_what_was_logged(tracking: Tracking, tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.md").write_text("fine")
    with tracking.run("f1", "model", "train", {"dagster_run_id": "d1"}) as run:
        assert not run.finished
        run.log_params({f"p{i}": i for i in range(150)})  # more than MLflow takes at once
        run.log_metrics({"auc": 0.7, "undefined": None, "odd": float("nan")})
        run.set_tags({"mlops.window": "2013-04-01"})
        run.log_folder(tmp_path / "report", "report")
    found = tracking.find("f1", "model")
    assert found is not None
    assert found.id == run.id
    assert found.finished
    assert found.params == {f"p{i}": str(i) for i in range(150)}
    assert found.metrics == {"auc": 0.7}
    assert found.tags["mlops.window"] == "2013-04-01"
    assert found.tags["dagster_run_id"] == "d1"
    assert tracking.download(run.id, "report/report.md", tmp_path).read_text() == "fine"


def test_the_same_work_is_one_run(tracking: Tracking) -> None:
    with tracking.run("f1", "model", "train") as first:
        pass
    with tracking.run("f1", "model", "train") as second:
        assert second.finished
    assert second.id == first.id


def test_another_fingerprint_or_stage_is_another_run(tracking: Tracking) -> None:
    ids = set()
    for fingerprint, stage in (("f1", "model"), ("f2", "model"), ("f1", "refit")):
        with tracking.run(fingerprint, stage, "train") as run:
            ids.add(run.id)
    assert len(ids) == 3
    assert tracking.find("f2", "refit") is None


def test_a_run_whose_body_fails_is_failed_and_not_found(tracking: Tracking) -> None:
    with pytest.raises(ZeroDivisionError), tracking.run("f1", "model", "train") as run:
        raise ZeroDivisionError
    assert tracking.get(run.id).status == "FAILED"
    assert tracking.find("f1", "model") is None


def test_a_found_run_stays_finished_when_the_body_fails(tracking: Tracking) -> None:
    with tracking.run("f1", "model", "train") as run:
        pass
    with pytest.raises(ZeroDivisionError), tracking.run("f1", "model", "train"):
        raise ZeroDivisionError
    assert tracking.get(run.id).status == "FINISHED"


def test_an_interrupted_run_is_failed(tracking: Tracking) -> None:
    with pytest.raises(KeyboardInterrupt), tracking.run("f1", "model", "train") as run:
        raise KeyboardInterrupt
    assert tracking.get(run.id).status == "FAILED"


def test_of_two_finished_copies_the_newest_is_found(tracking: Tracking) -> None:
    with tracking.run("f1", "model", "one"), tracking.run("f1", "model", "two") as inner:
        pass  # neither was finished when the other began
    found = tracking.find("f1", "model")
    assert found is not None
    assert found.id != inner.id


def test_runs_of_living_processes_are_not_closed(tracking: Tracking) -> None:
    with tracking.run("f1", "model", "train") as run:
        assert tracking.close_abandoned(owner_is_alive) == []
        assert tracking.get(run.id).status == "RUNNING"


def test_runs_that_are_not_ours_are_not_closed(tracking: Tracking) -> None:
    theirs = tracking.client.create_run(tracking.experiment_id).info.run_id
    assert tracking.close_abandoned(lambda _: False) == []
    assert tracking.get(theirs).status == "RUNNING"


def test_an_owner_is_known_by_more_than_its_number() -> None:
    me = owner_tags()
    assert owner_is_alive(me)
    assert owner_is_alive({**me, HOST: "elsewhere", PID: "1"})
    assert not owner_is_alive({HOST: me[HOST]})
    if me[PROCESS_START]:
        assert not owner_is_alive({**me, PROCESS_START: "1"})


def test_a_process_that_nobody_has_collected_is_dead() -> None:
    if not Path("/proc/self/stat").exists():
        pytest.skip("needs /proc")
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, still in the table
    try:
        assert not owner_is_alive({**owner_tags(), PID: str(child.pid), PROCESS_START: "5"})
    finally:
        child.wait()


def test_an_artifact_of_this_machine_is_not_copied(tracking: Tracking, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "model.txt").write_text("tree")
    with tracking.run("f1", "model", "train") as run:
        run.log_folder(tmp_path / "a", "model")
    path = tracking.download(run.id, "model", tmp_path / "cache")
    assert path == tmp_path / "artifacts" / run.id / "artifacts" / "model"
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("path", ["", "../other", "/etc/passwd", "a/../../b"])
def test_a_path_out_of_the_run_is_refused(tracking: Tracking, tmp_path: Path, path: str) -> None:
    with tracking.run("f1", "model", "train") as run:
        pass
    with pytest.raises(RegistryError, match="is no path inside"):
        tracking.download(run.id, path, tmp_path)


def test_what_is_missing_is_named(tracking: Tracking, tmp_path: Path) -> None:
    with tracking.run("f1", "model", "train") as run:
        pass
    with pytest.raises(RegistryError, match="has no artifact model"):
        tracking.download(run.id, "model", tmp_path)
    with pytest.raises(RegistryError, match="could not find run"):
        tracking.get("0" * 32)
    with pytest.raises(RegistryError, match="use no quotes"):
        tracking.find("f' or 'a' = 'a", "model")


def test_a_parameter_is_never_changed(tracking: Tracking) -> None:
    with tracking.run("f1", "model", "train") as run:
        run.log_params({"rounds": 150})
        run.log_params({"rounds": 150})
        with pytest.raises(RegistryError, match="could not log parameters"):
            run.log_params({"rounds": 151})


def test_a_deleted_experiment_says_what_to_do(tracking: Tracking) -> None:
    tracking.client.delete_experiment(tracking.experiment_id)
    again = Tracking(tracking.client, tracking.experiment, tracking.artifact_root)
    with pytest.raises(RegistryError, match="mlflow experiments restore"):
        again.find("f1", "model")


def test_a_model_needs_its_two_files(tracking: Tracking, saved: Path, tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    shutil.copy(saved / "encoding.json", tmp_path / "half")
    with tracking.run("f1", "model", "train") as run:
        with pytest.raises(RegistryError, match="no encoding"):
            run.log_model(tmp_path / "none")
        with pytest.raises(RegistryError, match=r"no model\.txt"):
            run.log_model(tmp_path / "half")
