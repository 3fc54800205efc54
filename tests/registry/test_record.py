from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlops_assets.errors import RegistryError
from mlops_assets.registry.record import RECORD_FILE, Code, TrainingRecord, checksums
from mlops_assets.registry.run import RECORD
from mlops_assets.registry.tracking import Tracking
from mlops_assets.revision import Revision


@pytest.fixture
def record() -> TrainingRecord:
    return TrainingRecord(
        declaration={"name": "tiny", "training": {"seed": 1}},
        code=Code(
            version="1-a-b",
            learning="1",
            expressions="a",
            features={"z": "1", "a": "2"},
            target="t",
        ),
        windows=("2024-01-01", "2024-01-08"),
        parameters={
            "learning_rate": 0.1,
            "num_leaves": 15,
            "extra_trees": True,
            "boosting": "gbdt",
        },
        rounds=20,
        seed=1,
        training_set="c" * 64,
        commit="a" * 40,
        data_commit="b" * 40,
        model="d" * 64,
        files={"model.txt": "e" * 64},
        libraries={"polars": "2.1.0"},
        machine={"cpus": "2"},
        revision=Revision("f" * 40, dirty=True, folder="."),
    )


def test_a_record_is_read_as_it_was_written(record: TrainingRecord) -> None:
    again = TrainingRecord.from_json(record.to_json().encode())
    assert again == record
    # types and order decide the fingerprint
    assert [type(value) for value in again.parameters.values()] == [float, int, bool, str]
    assert list(again.code.features) == ["z", "a"]


def test_a_record_of_a_newer_version_can_be_read(record: TrainingRecord) -> None:
    newer = {**json.loads(record.to_json()), "carbon": 12}
    assert TrainingRecord.from_json(json.dumps(newer).encode()) == record


def test_a_damaged_record_is_named_with_its_place(record: TrainingRecord) -> None:
    broken = {**json.loads(record.to_json()), "rounds": "many"}
    with pytest.raises(RegistryError, match=r"damaged \(rounds: .*restore training\.json"):
        TrainingRecord.from_json(json.dumps(broken).encode())
    with pytest.raises(RegistryError, match="damaged"):
        TrainingRecord.from_json(b"{")


def test_a_runs_record_is_found_with_its_checksum(
    tracking: Tracking, record: TrainingRecord, tmp_path: Path
) -> None:
    with tracking.run("f1", "refit", "with") as run:
        run.log_record(record)
    with tracking.run("f2", "refit", "without") as other:
        pass
    found = tracking.record(run.id, tmp_path)
    assert found == (record, tracking.get(run.id).tags[RECORD])
    assert tracking.record(other.id, tmp_path) is None


def test_a_changed_record_has_another_checksum_and_a_lost_one_is_an_error(
    tracking: Tracking, record: TrainingRecord, tmp_path: Path
) -> None:
    with tracking.run("f1", "refit", "with") as run:
        run.log_record(record)
    file = tracking.download(run.id, RECORD_FILE, tmp_path)
    file.write_text(file.read_text().replace('"seed": 1,', '"seed": 2,'))
    found = tracking.record(run.id, tmp_path)
    assert found is not None
    assert found[1] != tracking.get(run.id).tags[RECORD]
    file.unlink()
    with pytest.raises(RegistryError, match=r"no artifact training\.json"):
        tracking.record(run.id, tmp_path)


def test_what_is_logged_as_a_model_is_known_by_its_checksums(
    tracking: Tracking, saved: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in saved.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    with tracking.run("f1", "refit", "with") as run:
        files = run.log_model(folder)
    assert {"model.txt", "encoding.json", "MLmodel"} <= set(files)
    assert checksums(tracking.download(run.id, "model", tmp_path)) == files


def test_a_model_whose_files_were_changed_is_not_handed_out(
    tracking: Tracking, record: TrainingRecord, saved: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in saved.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    with tracking.run("f1", "refit", "with") as run:
        files = run.log_model(folder)
        run.log_record(record.model_copy(update={"files": files}))

    kept = tracking.model(run.id, tmp_path)
    assert (kept / "model.txt").read_bytes() == (saved / "model.txt").read_bytes()

    (kept / "model.txt").write_bytes((saved / "model.txt").read_bytes()[:-100])
    with pytest.raises(RegistryError, match=r"changed since it was trained: model\.txt"):
        tracking.model(run.id, tmp_path)
