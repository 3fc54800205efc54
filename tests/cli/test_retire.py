"""What a version learnt from stays until it is retired, and goes then; nothing else goes with it."""

from __future__ import annotations

import json

import pytest

from mlops_assets.batches.maturity import landed_windows
from mlops_assets.cli.gc import collect_garbage, said_of
from mlops_assets.cli.log import read_log
from mlops_assets.cli.retire import retire_version
from mlops_assets.cli.verify import verify_models
from mlops_assets.errors import RegistryError, RepositoryCorruptError, UnknownNameError
from mlops_assets.monitoring.loop import Weighing
from mlops_assets.monitoring.reconciliation import reconcile
from mlops_assets.monitoring.recorded import RecordedSituation
from mlops_assets.monitoring.situation import EndAtOnce
from mlops_assets.resources import RegistryResource
from tests import tiny
from tests.conftest import Played

TRAINING_SET = "tiny/training_set.parquet"
EVERYTHING = {"grace": 0, "keep_days": 0}


def test_nothing_that_is_recorded_goes(promoted: Played) -> None:
    # given a home that was never collected, when what is not pinned is collected at once
    before = {path: promoted.repository.read("main", path) for path in paths(promoted)}
    collect_garbage(**EVERYTHING, dry_run=False)
    # then every window of main is as it was, and the chain is whole
    assert {path: promoted.repository.read("main", path) for path in paths(promoted)} == before
    assert verify_models().problems == ()


def paths(played: Played) -> list[str]:
    return [info.path for info in played.repository.objects("main")]


def test_the_champion_is_not_retired(promoted: Played) -> None:
    with pytest.raises(RegistryError, match="version 1 is the champion"):
        retire_version("tiny", "v1", "")
    assert len(promoted.ledger.entries("tiny")) == 1
    assert promoted.repository.resolve("pinned-tiny-v1")


@pytest.mark.parametrize(
    ("model", "version", "said"),
    [
        ("tinny", "1", "did you mean `tiny`"),
        ("tiny", "2", "no promoted version of tiny `2`; there is `1`"),
        ("tiny", "first", "no promoted version of tiny `first`"),
        ("tiny", "-1", "no promoted version"),
    ],
)
def test_what_is_not_there_cant_be_retired(
    promoted: Played, model: str, version: str, said: str
) -> None:
    with pytest.raises(UnknownNameError, match=said):
        retire_version(model, version, "")


def test_the_commands_as_a_person_types_them(promoted: Played) -> None:
    root = promoted.project.root
    collected = json.loads(tiny.mlops(root, "gc", "--dry-run", "--json").stdout)
    assert collected["dry_run"] is True
    assert collected["objects"] == collected["bytes"] == 0
    refused = tiny.mlops(root, "retire", "tiny", "1", check=False)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "is the champion and can't be retired" in refused.stderr


@pytest.fixture(scope="module")
def replaced(promoted: Played) -> Played:
    """Play on until drift has replaced the first champion."""
    number = 9
    while len([e for e in promoted.ledger.entries("tiny") if e.event == "promoted"]) < 2:
        promoted.turn(number)
        number += 1
    return promoted


def test_a_retired_version_is_released_and_all_else_stays(replaced: Played) -> None:
    repository, ledger = replaced.repository, replaced.ledger
    first, second = [e for e in ledger.entries("tiny") if e.event == "promoted"]
    # given a first champion that drift replaced, when all that can be collected is
    learnt = repository.read("pinned-tiny-v1", TRAINING_SET)
    assert learnt != repository.read("main", TRAINING_SET)
    collect_garbage(**EVERYTHING, dry_run=False)
    # then its data is kept by its branch
    assert repository.read(first.data_commit, TRAINING_SET) == learnt
    # when it is retired
    declaration = replaced.player.declaration
    landed = landed_windows(repository, declaration, "main")

    def since_training() -> int | None:
        situation = RecordedSituation.read(declaration, landed, replaced.store, ledger, EndAtOnce())
        return Weighing(situation).since_training

    since = since_training()
    outcome = retire_version("tiny", "1", "the audit is over")
    assert (outcome["outcome"], outcome["branch"]) == ("retired", "pinned-tiny-v1")
    # then the ledger says so, who serves is as it was, and nothing is decided anew
    log = read_log("tiny")[-1]
    assert (log["event"], log["version"], log["previous"]) == ("retired", 1, second.version)
    assert log["reason"].endswith("retired it: the audit is over")
    assert ledger.champion("tiny") == second
    assert ledger.in_force("tiny", tiny.window(7)) == first
    assert list(ledger.retired("tiny")) == [1]
    assert reconcile(declaration, ledger, replaced.store, RegistryResource().registry) == []
    assert since_training() == since
    # and doing it again changes nothing
    assert retire_version("tiny", "v1", "")["outcome"] == "unchanged"
    assert read_log("tiny")[-1] == log
    # and its data goes with the next collection, which only a rehearsal doesn't do
    rehearsed = collect_garbage(**EVERYTHING, dry_run=True)
    assert repository.read(first.data_commit, TRAINING_SET) == learnt
    collected = collect_garbage(**EVERYTHING, dry_run=False)
    assert collected == {**rehearsed, "dry_run": False}
    assert collected["bytes"] >= len(learnt)
    with pytest.raises(RepositoryCorruptError, match="was collected by `mlops gc` on 20"):
        repository.read(first.data_commit, TRAINING_SET)
    # and the second version's stays, and the chain is whole
    assert repository.read("pinned-tiny-v2", TRAINING_SET)
    assert verify_models().problems == ()


def test_a_retirement_that_was_killed_half_way_is_finished(replaced: Played) -> None:
    # given the ledger's entry of one whose process died before it released the data
    retire_version("tiny", "1", "")
    before = read_log("tiny")
    replaced.repository.create_branch("pinned-tiny-v1", before[0]["data_commit"])
    # when it is asked for again
    outcome = retire_version("tiny", "1", "")
    # then the branch goes, and the ledger has one entry of it
    assert outcome["outcome"] == "retired"
    assert replaced.repository.branches("pinned-tiny-v1") == []
    assert read_log("tiny") == before


def test_a_home_without_a_repository_has_nothing_to_collect(
    played: Played, capsys: pytest.CaptureFixture[str]
) -> None:
    collection = collect_garbage(24, None, dry_run=False)
    assert collection["objects"] == 0
    assert "0 objects, 0 bytes went." in said_of(collection)
    assert not (played.project.home.root / "repository").exists()
