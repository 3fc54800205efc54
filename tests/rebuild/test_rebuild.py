"""A registered version is trained again from what was recorded, and what differs is named."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlops_assets.assets import model as training_stage
from mlops_assets.cli.rebuild import rebuild_version
from mlops_assets.declaration import Declaration
from mlops_assets.errors import RebuildError, UnknownNameError
from mlops_assets.rebuild.report import Reproduction
from mlops_assets.registry import record
from mlops_assets.registry.ledger import pinned_branch
from mlops_assets.registry.run import RECORD
from mlops_assets.resources import RegistryResource
from tests import tiny
from tests.conftest import Played

FEATURES = "tiny_project/defs/tiny/features.py"
DECLARED = "tiny_project/defs/tiny/defs.yaml"
WINDOWS = 13  # enough for the drift from window 9 on to end in a second version


def git(folder: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    return subprocess.run(
        ["git", *settings, *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture(scope="module")
def promoted(
    tmp_path_factory: pytest.TempPathFactory, begun: Callable[[int, Path], Played]
) -> Played:
    """Return a project in git with a superseded version, a champion, and a corrected window.

    The superseded one was trained when every feature was rounded to float32.
    """
    opened = begun(6, tmp_path_factory.mktemp("rebuilding") / "project")
    folder = opened.project.root
    (folder / ".gitignore").write_text("history/\nhandmade-*\n__pycache__/\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "as it was trained")
    with pytest.MonkeyPatch.context() as before:
        for module in (training_stage, record):
            before.setattr(module, "LEARNING_VERSION", "1")
        opened.turn(6)
    opened.turn(*range(7, WINDOWS))
    corrected = tiny.batch(2)[1].with_columns(paid=pl.lit(1, dtype=pl.Int64))
    opened.land(2, "labels", corrected)
    opened.player.settle()
    return opened


def state(played: Played) -> dict[str, Any]:
    """Return everything that a rebuild must leave alone."""
    home = played.project.home
    with sqlite3.connect(home.root / "mlflow/mlflow.db") as mlflow:
        counts = [
            mlflow.execute(f"select count(*) from {table}").fetchone()[0]
            for table in ("runs", "tags", "model_versions", "registered_model_aliases")
        ]
    files = [home.root / "ledger", home.root / "store", home.root / "mlflow/artifacts"]
    return {
        "mlflow": counts,
        "files": {
            str(file): file.read_bytes()
            for folder in files
            for file in folder.rglob("*")
            if file.is_file()
        },
        "branches": played.repository.branches(),
        "tags": played.repository.tags(),
        "dagster": len(played.instance.get_runs()),
        "code": git(played.project.root, "status", "--porcelain"),
    }


def forget_modules() -> None:
    """Let the project's code be read again, as a new process would."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "tiny_project"]:
        del sys.modules[name]


@contextmanager
def changed(file: Path, pattern: str, replacement: str) -> Iterator[None]:
    """Change a file's text for a while."""
    before = file.read_text()
    text, count = re.subn(pattern, replacement, before, count=1)
    assert count == 1
    file.write_text(text)
    forget_modules()
    try:
        yield
    finally:
        file.write_text(before)
        forget_modules()


@contextmanager
def moved_away(*places: Path) -> Iterator[None]:
    """Take files or folders away for a while."""
    for place in places:
        place.rename(place.with_name(f"{place.name}.away"))
    try:
        yield
    finally:
        for place in places:
            place.with_name(f"{place.name}.away").rename(place)


def artifact(played: Played, path: str, version: int = 1) -> Path:
    """Return the file of an artifact of the run that made a version."""
    run_id = RegistryResource().registry().version(tiny.MODEL, version).run_id
    return RegistryResource().tracking(tiny.MODEL).download(run_id, path, Path())


def fact(found: Reproduction, what: str) -> tuple[str | None, str | None, bool | None]:
    (one,) = [one for one in found.facts if one.what == what]
    return one.recorded, one.now, one.same


@pytest.mark.parametrize("version", ["1", "v2"])
def test_a_version_is_the_same_bit_for_bit_and_nothing_else_is_touched(
    promoted: Played, version: str
) -> None:
    # given two versions, one of them superseded, and a window corrected since
    number = int(version.removeprefix("v"))
    assert promoted.status["champion"]["version"] == 2
    assert promoted.status["outdated"] == [tiny.window(2)]
    encoding = artifact(promoted, "model/encoding.json", number).read_text()
    assert ("width" in encoding) == (number == 2)
    before = state(promoted)
    # when one is rebuilt
    found = rebuild_version(tiny.MODEL, version)
    # then it is what was registered, from data and code as they were
    assert found.identical
    assert (found.version, found.code, found.trained_on) == (number, "present", "rebuilt")
    assert {one.same for one in found.facts} == {True}
    assert (found.differences, found.missing, found.max_score_difference) == ((), (), None)
    assert fact(found, "learning version") == (str(number), str(number), True)
    windows = promoted.ledger.entries(tiny.MODEL)[0].training_windows
    assert number == 2 or found.rows == 300 * len(windows)
    # and the state is as before
    assert state(promoted) == before


def test_the_command_prints_a_table_and_a_documented_json(promoted: Played) -> None:
    person = tiny.mlops(promoted.project.root, "rebuild", tiny.MODEL, "v1")
    assert "tiny version 1 is reproduced" in person.stdout
    assert re.search(r"training set +\w{12} +\w{12} +yes", person.stdout)
    program = tiny.mlops(promoted.project.root, "rebuild", tiny.MODEL, "1", "--json")
    found = json.loads(program.stdout)
    assert set(found) == {
        "model",
        "version",
        "identical",
        "verdict",
        "code",
        "trained_on",
        "facts",
        "differences",
        "missing",
        "notes",
        "max_score_difference",
        "rows",
        "seconds",
    }
    assert set(found["facts"][0]) == {"what", "recorded", "now", "same"}
    assert Reproduction.from_json(found).as_json() == {
        **found,
        "facts": [dict(one) for one in found["facts"]],
        **{name: tuple(found[name]) for name in ("differences", "missing", "notes")},
    } | {"facts": tuple(found["facts"])}


@pytest.mark.parametrize(
    ("model", "version", "said"),
    [
        ("tiny", "9", "no version of tiny `9`; there is `1`, `2`"),
        ("tiny", "newest", "no version of tiny `newest`; there is `1`, `2`"),
        ("tinny", "1", "did you mean `tiny`?"),
    ],
)
@pytest.mark.usefixtures("promoted")
def test_what_there_is_is_said_to_who_asks_for_another(model: str, version: str, said: str) -> None:
    with pytest.raises(UnknownNameError, match=re.escape(said)):
        rebuild_version(model, version)


def test_a_mistake_at_the_command_line_is_one_line(promoted: Played) -> None:
    done = tiny.mlops(promoted.project.root, "rebuild", tiny.MODEL, "9", "--json", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip() == "error: no version of tiny `9`; there is `1`, `2`"


CHANGED = (r'"amount": pl.col\("amount"\)', '"amount": pl.col("amount") * 2.0')


def test_changed_features_are_taken_from_the_recorded_commit(promoted: Played) -> None:
    # given features that were changed and committed since
    root = promoted.project.root
    commit = git(root, "rev-parse", "HEAD")
    with changed(root / FEATURES, *CHANGED):
        git(root, "commit", "--quiet", "--all", "-m", "another feature")
        before = state(promoted)
        # when the version is rebuilt
        found = rebuild_version(tiny.MODEL, "1")
        # then the code that trained it was used, beside the project
        assert found.identical
        assert (found.code, found.trained_on) == (commit, "rebuilt")
        assert commit[:12] in found.notes[0]
        assert {one.same for one in found.facts} == {True}
        assert state(promoted) == before
        git(root, "reset", "--quiet", "--hard", commit)


def test_a_project_that_no_longer_loads_is_rebuilt_from_git(promoted: Played) -> None:
    with changed(promoted.project.root / FEATURES, "import polars as pl", "import polarss as pl"):
        found = rebuild_version(tiny.MODEL, "1")
    assert found.identical
    assert found.code != "present"


def test_without_git_the_changed_feature_is_named(promoted: Played) -> None:
    # given a changed feature and no git to find the recorded one in
    root = promoted.project.root
    with moved_away(root / ".git"), changed(root / FEATURES, *CHANGED):
        found = rebuild_version(tiny.MODEL, "1")
    # then it says which, and that the recorded rows still give the same model
    assert not found.identical
    assert found.differences[:2] == (
        "the feature expressions differ: `amount` is changed",
        "the training set made again differs: `amount` in 1,800 rows of 1,800",
    )
    assert (found.code, found.trained_on) == ("present", "recorded")
    assert "is in no git work tree" in found.notes[0]
    assert fact(found, "model")[2] is True
    assert fact(found, "fingerprint")[2] is False
    assert "in doubt" in found.verdict


def test_a_changed_target_shows_in_the_training_set(promoted: Played) -> None:
    target = promoted.project.root / FEATURES
    with changed(target, r'pl.col\("paid"\) == 1', 'pl.col("paid") == 0'):
        found = rebuild_version(tiny.MODEL, "1", checkout=False)
    assert found.differences[:2] == (
        "the target's expression differs",
        "the training set made again differs: `target` in 1,800 rows of 1,800",
    )


def test_a_column_that_features_no_longer_have_is_named(promoted: Played) -> None:
    features = promoted.project.root / FEATURES
    with changed(features, r'"other": pl.col\("other"\)', '"another": pl.col("other")'):
        found = rebuild_version(tiny.MODEL, "1", checkout=False)
    assert "`other` is gone, `another` is new" in found.differences[0]
    assert "column `other` is gone; column `another` is new" in found.differences[1]


def test_the_recorded_seed_counts_and_not_the_declared_one(promoted: Played) -> None:
    with changed(promoted.project.root / DECLARED, "rounds: 20", "rounds: 30\n    seed: 77"):
        found = rebuild_version(tiny.MODEL, "1")
    assert found.identical
    assert found.code == "present"


def test_a_registered_model_that_was_tampered_with_is_named(promoted: Played) -> None:
    # given a registered model one leaf of which was changed since
    model = artifact(promoted, "model/model.txt")
    with changed(model, r"leaf_value=-?[\d.]+", "leaf_value=0.75"):
        found = rebuild_version(tiny.MODEL, "1")
    # then the file is named, and that what was recorded can still be had
    assert not found.identical
    assert "was changed since it was trained: model.txt" in found.differences[0]
    assert fact(found, "registered model")[2] is False
    assert fact(found, "model")[2] is True
    assert "in doubt" in found.verdict


def test_a_registered_model_that_is_gone_is_named(promoted: Played) -> None:
    with moved_away(artifact(promoted, "model")):
        found = rebuild_version(tiny.MODEL, "1")
    assert not found.identical
    assert "the registered model can't be read" in found.differences[0]
    assert fact(found, "registered model")[2] is False
    assert fact(found, "model")[2] is True


def test_a_record_that_was_changed_is_named_and_trains_another_model(promoted: Played) -> None:
    # given a record whose seed is another than the one that trained
    with changed(
        artifact(promoted, "training.json"),
        '"seed": 1,\n "training_set',
        '"seed": 2,\n "training_set',
    ):
        found = rebuild_version(tiny.MODEL, "1")
    # then record, fingerprint and model say so, each by itself
    assert not found.identical
    assert "the record of the training was changed" in found.differences[0]
    assert fact(found, "fingerprint")[2] is False
    assert fact(found, "model")[2] is False
    assert found.max_score_difference is not None
    assert 0 < found.max_score_difference < 1
    assert any("apart on 1,800 rows" in difference for difference in found.differences)


@contextmanager
def without_record(promoted: Played) -> Iterator[None]:
    """Make the first version's run one of before there were records, for a while."""
    tracking = RegistryResource().tracking(tiny.MODEL)
    run_id = RegistryResource().registry().version(tiny.MODEL, 1).run_id
    record = artifact(promoted, "training.json")
    checksum = tracking.get(run_id).tags[RECORD]
    tracking.client.delete_tag(run_id, RECORD)
    try:
        with moved_away(record):
            yield
    finally:
        tracking.client.set_tag(run_id, RECORD, checksum)


def test_a_run_without_a_record_is_rebuilt_as_far_as_it_is_known(promoted: Played) -> None:
    with without_record(promoted):
        found = rebuild_version(tiny.MODEL, "1")
    assert found.identical
    assert fact(found, "fingerprint")[2] is True
    assert fact(found, "lightgbm")[2] is None
    assert found.missing == (
        "the declaration",
        "code version",
        "target expression",
        "model's checksum",
        "library versions",
        "machine",
        "project's git commit",
    )


def test_another_way_to_put_versions_together_is_no_difference(
    promoted: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a later version of this package that digests a declaration otherwise
    monkeypatch.setattr(Declaration, "digest", lambda *_parts: "otherwise")
    # then the record still fits the ledger, and a run without one can't be said to
    assert rebuild_version(tiny.MODEL, "1").identical
    with without_record(promoted):
        found = rebuild_version(tiny.MODEL, "1")
    assert fact(found, "model")[2] is True
    assert len(found.differences) == 1
    assert "and which was not recorded" in found.differences[0]


def test_a_run_without_a_record_says_that_its_code_is_not_known(promoted: Played) -> None:
    with without_record(promoted), changed(promoted.project.root / FEATURES, *CHANGED):
        found = rebuild_version(tiny.MODEL, "1")
    assert not found.identical
    assert "`amount` may be changed" in found.differences[0]
    assert "no git commit was recorded" in found.notes[0]


def test_a_record_that_is_gone_is_no_old_run(promoted: Played) -> None:
    with moved_away(artifact(promoted, "training.json")):
        found = rebuild_version(tiny.MODEL, "1")
    assert not found.identical
    assert "training.json" in found.differences[0]


def test_a_released_version_is_rebuilt_while_its_data_is_reachable(promoted: Played) -> None:
    # given a version whose branch was released
    repository = promoted.repository
    branch = pinned_branch(tiny.MODEL, 1)
    commit = repository.resolve(branch)
    learnt_from = [
        f"{tiny.MODEL}/training_set.parquet",
        f"{tiny.MODEL}/batches/{tiny.window(0)}.parquet",
    ]
    objects = [Path(one.uri) for one in repository.locations(commit, learnt_from)]
    repository.delete_branch(branch)
    try:
        # when the data is still there, then it is rebuilt
        assert rebuild_version(tiny.MODEL, "1").identical
        # when only the recorded training set is gone, then too
        with moved_away(objects[0]):
            assert rebuild_version(tiny.MODEL, "1").identical
        # when only a batch is gone, then the recorded rows are trained on, and it is said
        with moved_away(objects[1]):
            found = rebuild_version(tiny.MODEL, "1")
        assert not found.identical
        assert found.trained_on == "recorded"
        assert "the training set can't be made again" in found.differences[0]
        # and when both are gone, then it says that they were released
        with moved_away(*objects), pytest.raises(RebuildError, match="its data was released"):
            rebuild_version(tiny.MODEL, "1")
    finally:
        repository.create_branch(branch, commit)
    with moved_away(*objects), pytest.raises(RebuildError, match="mlops verify"):
        rebuild_version(tiny.MODEL, "1")
