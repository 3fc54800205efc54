"""What a person sees who lands files that are good, bad, converted, or fewer than before."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from mlops_assets.batches.landing import landings
from mlops_assets.cli.app import app
from tests import tiny
from tests.conftest import Played

WINDOW = tiny.window(0)


def land(file: Path, *options: str) -> tuple[int, dict[str, object]]:
    """Run `mlops land --json`; return its exit code and what it says."""
    done = CliRunner().invoke(app, ["land", tiny.MODEL, str(file), *options, "--json"])
    return done.exit_code, json.loads(done.stdout)


def test_what_landed_before_outlives_what_is_refused_and_is_ingested(
    played: Played, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, outcomes = tiny.batch(0)
    # given a batch in a file of a name made of patterns, with types that have to be converted
    good = tmp_path / "x[1]#%41.csv"
    rows.with_columns(pl.col("amount").map_elements(str, pl.String).str.replace(".", ",", literal=True),
                      pl.col("other").map_elements(str, pl.String).str.replace(".", ",", literal=True)).write_csv(good, separator=";")  # fmt: skip
    (tmp_path / "x1#%41.csv").write_text("nothing of it")
    code, said = land(good)
    assert (code, said["outcome"], said["window"]) == (0, "landed", WINDOW)
    assert said["notes"] == ["numbers are written with a decimal comma"]
    # when a bad file lands for the window, and one that lacks rows
    bad = tmp_path / "bad.csv"
    rows.with_columns(other=pl.lit("x")).write_csv(bad)
    few = tmp_path / "few.parquet"
    rows.head(200).write_parquet(few)
    for file, reason in ((bad, "300 values, as `x`, are no Float64"), (few, "100 of the 300 rows")):
        code, refused = land(file)
        assert (code, refused["outcome"]) == (1, "refused")
        assert reason in str(refused["problems"])
        # then what landed first still waits
        assert refused["waiting"] == said["branch"]
    # and labels are told from it, and checked with it
    strangers = tmp_path / "strangers.parquet"
    outcomes.with_columns(id=pl.lit("x") + pl.col("id")).write_parquet(strangers)
    code, refused = land(strangers)
    assert (code, refused["kind"], refused["waiting"]) == (1, "labels", None)
    assert "300 of 300 rows have keys that are not in the window's batch" in str(refused)
    # and what waits is what is ingested
    played.player.settle()
    assert played.frame("batches", 0)["amount"].to_list() == rows["amount"].to_list()
    # and the smaller one, once it is meant to replace it
    code, said = land(few, "--replace")
    assert (code, said["outcome"]) == (0, "landed")
    played.player.settle()
    assert played.frame("batches", 0).height == 200
    assert [one for one in landings(played.repository, tiny.MODEL) if one.kind == "batches"] == []


def test_a_bad_file_that_is_only_checked_when_it_is_ingested_gives_way_too(played: Played) -> None:
    rows = tiny.batch(0)[0]
    played.land(0, frame=rows.with_columns(pl.col("amount") + 1))
    played.land(0, frame=rows.drop("other"))
    played.player.settle()

    assert played.frame("batches", 0)["amount"].sum() == pytest.approx(rows["amount"].sum() + 300)
    assert [name for name, _ in played.repository.tags() if name.startswith("refused-")]
