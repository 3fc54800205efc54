"""Each thing that can break is broken once: it is named, and nothing else is; mended, all is well."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from mlops_assets.backup.restoring import restore
from mlops_assets.backup.taking import take
from mlops_assets.cli.status import read_status
from mlops_assets.cli.verify import show, verify_models
from mlops_assets.errors import UnknownNameError
from mlops_assets.home import Home
from mlops_assets.records import kinds
from mlops_assets.registry.ledger import Draft
from mlops_assets.resources import RegistryResource
from tests import tiny
from tests.conftest import Played

BATCH = f"tiny/batches/{tiny.window(2)}.parquet"
Break = Callable[[Played], AbstractContextManager[None]]


def data(played: Played, path: str) -> Path:
    return Path(played.repository.location("main", path).uri)


@contextmanager
def moved_away(file: Path) -> Iterator[None]:
    aside = file.with_name(f"{file.name}.aside")
    file.rename(aside)
    yield
    aside.rename(file)


@contextmanager
def with_content(file: Path, content: bytes) -> Iterator[None]:
    before, mode = file.read_bytes(), file.stat().st_mode
    file.chmod(0o644)
    file.write_bytes(content)
    yield
    file.write_bytes(before)
    file.chmod(mode)


@contextmanager
def a_lost_object(played: Played) -> Iterator[None]:
    with moved_away(data(played, BATCH)):
        yield


@contextmanager
def a_flipped_byte(played: Played) -> Iterator[None]:
    file = data(played, BATCH)
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    with with_content(file, bytes(content)):
        yield


@contextmanager
def a_lost_pinned_branch(played: Played) -> Iterator[None]:
    head = played.repository.resolve("pinned-tiny-v1")
    played.repository.delete_branch("pinned-tiny-v1")
    yield
    played.repository.create_branch("pinned-tiny-v1", head)


def entry_file(played: Played) -> Path:
    return played.project.home.ledger / "tiny" / "000001.json"


@contextmanager
def edited_entry(played: Played, **changes: object) -> Iterator[None]:
    file = entry_file(played)
    edited = json.loads(file.read_text()) | changes
    with with_content(file, json.dumps(edited).encode()):
        yield


def an_edited_reason(played: Played) -> AbstractContextManager[None]:
    return edited_entry(played, reason="because")


def an_edited_commit(played: Played) -> AbstractContextManager[None]:
    # a commit that is there, and holds no such training set
    (first,) = [c.id for c in played.repository.log("main") if not c.parents]
    return edited_entry(played, data_commit=first)


def a_made_up_commit(played: Played) -> AbstractContextManager[None]:
    return edited_entry(played, data_commit="1" * 40)


def an_edited_fingerprint(played: Played) -> AbstractContextManager[None]:
    return edited_entry(played, fingerprint="f" * 64)


def an_edited_previous(played: Played) -> AbstractContextManager[None]:
    return edited_entry(played, previous=7)


def a_torn_entry(played: Played) -> AbstractContextManager[None]:
    return with_content(entry_file(played), b'{"number": 1,')


@contextmanager
def a_deleted_run(played: Played) -> Iterator[None]:
    client = RegistryResource().get().client()
    run_id = played.ledger.entries("tiny")[0].mlflow_run_id
    client.delete_run(run_id)
    yield
    client.restore_run(run_id)


@contextmanager
def lost_artifacts(played: Played) -> Iterator[None]:
    run_id = played.ledger.entries("tiny")[0].mlflow_run_id
    folder = RegistryResource().tracking("tiny").download(run_id, "model", played.project.root)
    with moved_away(folder):
        yield


@contextmanager
def a_moved_alias(played: Played) -> Iterator[None]:
    registry = RegistryResource().registry()
    registry.set_champion("tiny", None)
    yield
    registry.set_champion("tiny", 1)


@contextmanager
def a_wrong_tag(played: Played) -> Iterator[None]:
    client = RegistryResource().get().client()
    before = client.get_model_version("tiny", "1").tags["mlops.data_commit"]
    client.set_model_version_tag("tiny", "1", "mlops.data_commit", "2" * 40)
    yield
    client.set_model_version_tag("tiny", "1", "mlops.data_commit", before)


@contextmanager
def no_mlflow(played: Played) -> Iterator[None]:
    with moved_away(played.project.home.root / "mlflow" / "mlflow.db"):
        yield


@contextmanager
def a_lost_profile(played: Played) -> Iterator[None]:
    (verdict, *_) = played.store.latest(kinds.Verdict, model="tiny")
    profile = verdict.profile
    with moved_away(played.project.home.store / "blobs" / profile[:2] / profile):
        yield


@contextmanager
def a_lost_twin(played: Played) -> Iterator[None]:
    (judged,) = played.store.latest(kinds.Staleness, model="tiny")
    blob = judged.champion_twin_blob
    with moved_away(played.project.home.store / "blobs" / blob[:2] / blob):
        yield


BREAKS: list[tuple[Break, str]] = [
    (a_lost_object, f"the data of `{BATCH}` is missing"),
    (a_flipped_byte, f"the data of `{BATCH}` is damaged"),
    (a_lost_pinned_branch, "no branch pinned-tiny-v1"),
    (an_edited_reason, "ledger entry 1 of tiny says reason 'because'"),
    (an_edited_commit, "no object `tiny/training_set.parquet`"),
    (a_made_up_commit, f"no commit {'1' * 40}, which ledger entry 1 of tiny names"),
    (an_edited_previous, "ledger entry 1 of tiny was decided against version 7"),
    (a_torn_entry, "000001.json can't be read"),
    (a_deleted_run, "which ledger entry 1 of tiny"),
    (lost_artifacts, "has lost the files of the model that ledger entry 1 of tiny promoted"),
    (a_moved_alias, "the alias `champion` is at version None"),
    (a_wrong_tag, f"no commit {'2' * 40}, which version 1 of tiny in MLflow names"),
    (no_mlflow, "no MLflow database"),
    (a_lost_profile, "the store has no blob"),
    (a_lost_twin, f"named by the store's staleness of {tiny.window(7)}"),
]


@pytest.mark.parametrize(("broken", "said"), BREAKS, ids=[b.__name__ for b, _ in BREAKS])
def test_what_is_broken_is_named_and_nothing_else(
    promoted: Played, broken: Break, said: str
) -> None:
    with broken(promoted):
        problems = verify_models().problems

    assert [said in one.what for one in problems] == [True], problems
    assert problems[0].where
    assert problems[0].do


def test_a_restored_home_is_whole_and_says_the_same(
    promoted: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = read_status(tiny.MODEL)
    take(promoted.project.home, tmp_path / "backup.tgz", lambda _: None)
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path / "new"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "new" / "dagster"))
    restore(Home.find(), tmp_path / "backup.tgz", lambda _: None)
    verification = verify_models()
    assert (verification.home, verification.problems) == (str(tmp_path / "new"), ())
    assert verification.checked["MLflow runs"] > 0
    assert read_status(tiny.MODEL) == {**said, "home": str(tmp_path / "new")}


def test_an_edited_fingerprint_is_held_against_run_and_version(promoted: Played) -> None:
    with an_edited_fingerprint(promoted):
        problems = verify_models().problems

    assert len(problems) == 2
    assert all(f"ledger entry 1 of tiny names {'f' * 64}" in one.what for one in problems)


def test_a_ledger_that_was_cut_short_is_noticed(promoted: Played) -> None:
    with moved_away(entry_file(promoted)):
        whats = [one.what for one in verify_models().problems]

    assert len(whats) == 2
    assert "the store has an outcome of initial:" in whats[0]
    assert "the alias `champion` is at version 1" in whats[1]


def test_a_lost_commit_is_named_with_all_who_name_it(promoted: Played) -> None:
    # given a repository that is another one altogether
    repository = Path(promoted.project.home.repository)
    aside = repository.with_name("aside")
    repository.rename(aside)
    _ = promoted.repository
    try:
        problems = verify_models().problems
    finally:
        shutil.rmtree(repository)
        aside.rename(repository)

    named = [one.what for one in problems if "there is no commit" in one.what]
    assert any("tiny/batches of 2024-01-01, the store's batches of 2024-01-01" in n for n in named)


def test_a_missing_repository_is_one_problem_and_is_not_made(promoted: Played) -> None:
    repository = Path(promoted.project.home.repository)
    with moved_away(repository):
        whats = [one.what for one in verify_models().problems]
        assert not repository.exists()

    assert len(whats) == 2
    assert "no branch pinned-tiny-v1" in whats[0]
    assert "there is no repository" in whats[1]


def test_the_command_exits_with_one_and_needs_no_declared_module(promoted: Played) -> None:
    # given a folder without a project, and the home of one
    root = promoted.project.root
    with moved_away(root / "tiny_project"), a_lost_pinned_branch(promoted):
        done = tiny.mlops(root, "verify", "tiny", "--json", check=False)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    report = json.loads(done.stdout)
    assert report["models"] == ["tiny"]
    assert report["checked"]["ledger entries"] == 1
    assert report["checked"]["recorded objects"] >= 30
    (problem,) = report["problems"]
    assert sorted(problem) == ["do", "what", "where"]
    assert "mlops retire tiny 1" in problem["do"]


def test_a_person_is_told_in_words(promoted: Played, capsys: pytest.CaptureFixture[str]) -> None:
    with a_lost_pinned_branch(promoted):
        show(verify_models())
    show(verify_models())

    told = capsys.readouterr().out
    assert "broken: there is no branch pinned-tiny-v1" in told
    assert "1 broken." in told
    assert told.endswith("2 branches read; all there and whole.\n")


def test_an_unknown_model_is_told(promoted: Played) -> None:
    with pytest.raises(UnknownNameError, match="did you mean `tiny`"):
        verify_models("tinny")


def test_a_retired_version_needs_no_branch(promoted: Played) -> None:
    entry = promoted.ledger.entries("tiny")[0]
    branch = promoted.repository.resolve("pinned-tiny-v1")
    promoted.repository.delete_branch("pinned-tiny-v1")
    draft = Draft(
        **entry.model_dump(include=set(Draft.model_fields))
        | {"event": "retired", "cause": "retire:v1:1"}
    )
    promoted.ledger.append("tiny", draft, 1)

    assert verify_models().problems == ()

    (promoted.project.home.ledger / "tiny" / "000002.json").unlink()
    promoted.repository.create_branch("pinned-tiny-v1", branch)
