"""`mlops store`: the same answers from the files alone, and old profiles in months."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from mlops_assets.records import kinds
from mlops_assets.records.kinds import KINDS
from mlops_assets.records.store import Store
from tests import tiny
from tests.conftest import Played, reopen

RETENTION = "  retention: {window_profiles_days: 31}\n"


def answers(played: Played) -> dict[str, Any]:
    """Return all that programs ask of the store, and what the commands say."""
    store = Store(played.project.home.store)
    found: dict[str, Any] = {}
    for name, kind in KINDS.items():
        # but for their events: those of one moment may change places
        found[name] = [
            (one.record_id, one.recorded_at, one) for one in store.latest(kind, model=tiny.MODEL)
        ]
        every = [(one.record_id, one.recorded_at, one) for one in store.rows(kind)]
        found[f"every {name}"] = sorted(every, key=lambda one: one[0])
    root = played.project.root
    return found | {"status": json.loads(tiny.mlops(root, "status", "--json").stdout)}


def test_rebuilt_the_index_gives_the_same_answers(promoted: Played) -> None:
    root, index = promoted.project.root, promoted.project.home.store / "index.duckdb"
    files = {path for path in promoted.project.home.store.rglob("*") if path.suffix == ".json"}
    before = answers(promoted)
    assert before["verdicts"]
    assert before["decisions"]
    for damage in (None, b"", b"no database" * 1000, index.read_bytes()[:9000]):
        if damage is not None:
            index.write_bytes(damage)
        done = tiny.mlops(root, "store", "rebuild", "--json")
        said = json.loads(done.stdout)
        assert said["files"] == len(files)
        assert (said["store"], said["set_aside"]) == (str(index.parent), [])
        assert answers(promoted) == before
    index.unlink()
    assert answers(promoted) == before
    assert {path for path in index.parent.rglob("*") if path.suffix == ".json"} == files


def test_two_at_once_rebuild_one_after_the_other(promoted: Played) -> None:
    before = answers(promoted)
    command = [str(tiny.BIN / "mlops"), "store", "rebuild"]
    environment = tiny.environment(promoted.project.root)
    both = [
        subprocess.Popen(
            command,
            cwd=promoted.project.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for one in both:
        out, complaint = one.communicate()
        assert (one.returncode, "the index is rebuilt from" in out) == (0, True), complaint
    assert answers(promoted) == before


@pytest.mark.slow
def test_old_profiles_are_merged_as_declared_and_the_chain_stays_whole(promoted: Played) -> None:
    root = promoted.project.root
    file = root / "tiny_project/defs/tiny/defs.yaml"
    untouched = file.read_text()
    nothing = json.loads(tiny.mlops(root, "store", "compact", "--json").stdout)["models"]
    assert [(one["model"], one["merged"], one["profiles"]) for one in nothing] == [("tiny", [], 0)]
    file.write_text(untouched + RETENTION)
    arguments = ("store", "compact", "tiny", "--grace", "0")
    said = json.loads(tiny.mlops(root, *arguments, "--dry-run", "--json").stdout)
    assert promoted.store.rows(kinds.MergedProfile) == []

    # the first window of March merges January by itself, and removes nothing that is a minute old
    reopen(promoted).turn(9)
    (month,) = promoted.store.latest(kinds.MergedProfile, model="tiny")
    done = json.loads(tiny.mlops(root, *arguments, "--json").stdout)

    assert [(one["merged"], one["profiles"]) for one in done["models"]] == [([], 5)]
    (of_tiny,) = said["models"]
    assert said["dry_run"]
    assert of_tiny["before"] == "2024-02"
    assert of_tiny["merged"] == [
        {
            "period": "2024-01",
            "windows": [tiny.window(number) for number in range(5)],
            "rows": 1500,
            "segments": 0,
        }
    ]
    assert (of_tiny["kept"], of_tiny["profiles"]) == ([], 5)
    assert of_tiny["bytes"] > 0
    verified = json.loads(tiny.mlops(root, "verify", "--json").stdout)
    assert verified["problems"] == []
    again = tiny.mlops(root, *arguments).stdout
    assert again.startswith("tiny: before 2024-02, 0 windows merged into 0 months; 0 profiles")
    # what was merged and is lost after that is named
    blob = promoted.project.home.store / "blobs" / month.profile[:2] / month.profile
    held = blob.read_bytes()
    blob.unlink()
    (lost,) = json.loads(tiny.mlops(root, "verify", "--json", check=False).stdout)["problems"]
    assert "the store's merged_profiles of 2024-01" in lost["what"]
    blob.write_bytes(held)
    unknown = tiny.mlops(root, "store", "compact", "tinny", check=False)
    assert (unknown.returncode, unknown.stderr.count("\n")) == (1, 1)
    assert "did you mean `tiny`" in unknown.stderr
    file.write_text(untouched)
