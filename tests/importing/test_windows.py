from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from mlops_assets.batches.landing import Kind, landed_versions, landings, publish
from mlops_assets.declaration import Declaration
from mlops_assets.errors import SourceError
from mlops_assets.importing.dvc import DvcProject
from mlops_assets.importing.sources import in_folder, in_project
from mlops_assets.importing.windows import Outcome, bring, plan
from mlops_assets.versions import Repository, open_repository
from tests import tiny
from tests.importing.dvc_project import HandLaid


class Yard:
    """A folder to import from, and the repository to import into."""

    def __init__(self, repository: Repository, declaration: Declaration, place: Path) -> None:
        self.repository, self.declaration = repository, declaration
        self.folder, self.place, self.times = place / "history", place, 0
        self.folder.mkdir()

    def save(self, frame: pl.DataFrame, name: str) -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        frame.write_csv(file) if file.suffix == ".csv" else frame.write_parquet(file)
        return file

    def bring(
        self, *, kind: Kind | None = None, dry_run: bool = False, replaces: bool = False
    ) -> list[Outcome]:
        found = in_folder(self.folder)[0]
        return self.bring_sources(found, kind=kind, dry_run=dry_run, replaces=replaces)

    def bring_sources(
        self,
        sources: object,
        *,
        kind: Kind | None = None,
        dry_run: bool = False,
        replaces: bool = False,
    ) -> list[Outcome]:
        self.times += 1
        staging = self.place / f"staging-{self.times}"
        made = plan(self.declaration, sources, staging, kind=kind, tell=lambda _: None)  # type: ignore[arg-type]  # the tests name kinds as texts
        brought = bring(
            self.repository,
            self.declaration,
            made.pieces,
            {},
            dry_run=dry_run,
            replaces=replaces,
        )
        return [*made.refused, *brought]

    def landed(self, kind: Kind, window: str) -> pl.DataFrame:
        (landing,) = landings(self.repository, "tiny", kind, window)
        path = self.declaration.path(kind, window)
        return pl.read_parquet(self.repository.location(landing.commit, path).uri, glob=False)

    @property
    def state(self) -> list[tuple[str, str]]:
        return [*self.repository.branches(), *self.repository.tags()]


@pytest.mark.parametrize("name", ["[prod]", "a*b", "a?b#c", "a%41b"])
def test_a_folder_of_any_name_is_imported_into_a_home_of_any_name(
    declaration: Declaration, tmp_path: Path, name: str
) -> None:
    place = tmp_path / name
    place.mkdir()
    yard = Yard(open_repository(str(place / "repository")), declaration, place)
    rows = pl.concat([tiny.batch(number)[0] for number in range(2)])
    yard.save(rows.head(450), f"{name}.parquet")
    yard.save(rows.tail(150), f"{name}.csv")
    yard.save(tiny.batch(3)[0], f"{tiny.window(3)}.csv")

    assert [(one.result, one.rows, one.problems) for one in yard.bring()] == [
        ("imported", 300, ())
    ] * 3
    assert set(yard.landed("batches", tiny.window(1))["id"]) == set(rows["id"][300:])


@pytest.fixture
def yard(repository: Repository, declaration: Declaration, tmp_path: Path) -> Yard:
    return Yard(repository, declaration, tmp_path)


def told(outcomes: list[Outcome]) -> dict[tuple[str | None, str | None], str]:
    return {(one.kind, one.window): one.result for one in outcomes}


def test_files_named_by_window_land_as_they_are_oldest_first_and_labels_first(yard: Yard) -> None:
    # given two windows of batches and labels, in folders of their own, and what others left there
    for number in (1, 0):
        rows, outcomes = tiny.batch(number)
        yard.save(rows, f"batches/{tiny.window(number)}.parquet")
        yard.save(outcomes, f"labels/{tiny.window(number)}.csv")
    yard.save(tiny.batch(3)[0], "_delta_log/checkpoint.parquet")
    yard.save(tiny.batch(4)[0], ".ipynb_checkpoints/x.parquet")
    (yard.folder / "README.md").write_text("hello")
    # when they are imported
    sources, others = in_folder(yard.folder)
    found = yard.bring_sources(sources)
    # then each waits on a branch of its own, in the order in which time goes
    assert [(one.window, one.kind, one.result) for one in found] == [
        (tiny.window(number), kind, "imported")
        for number in (0, 1)
        for kind in ("labels", "batches")
    ]
    assert others == 1
    assert len(landings(yard.repository, "tiny")) == 4
    assert yard.repository.objects("main") == []
    # and a Parquet file is the very same bytes
    (landing,) = landings(yard.repository, "tiny", "batches", tiny.window(0))
    content = yard.repository.read(landing.commit, f"tiny/batches/{tiny.window(0)}.parquet")
    assert content == (yard.folder / f"batches/{tiny.window(0)}.parquet").read_bytes()
    assert yard.landed("labels", tiny.window(1)).equals(tiny.batch(1)[1])


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_files_with_many_windows_are_split_and_windows_in_many_files_joined(
    yard: Yard, ending: str
) -> None:
    # given three windows in two files that part in the middle of the second window
    rows = pl.concat([tiny.batch(number)[0] for number in range(3)])
    yard.save(rows.head(450), f"part-0.{ending}")
    yard.save(rows.tail(450), f"part-1.{ending}")
    # when they are imported
    found = yard.bring()
    # then each window has all its rows, in their order
    assert told(found) == {("batches", tiny.window(n)): "imported" for n in range(3)}
    assert [one.rows for one in found] == [300, 300, 300]
    assert found[1].files == (f"part-0.{ending}", f"part-1.{ending}")
    for number in range(3):
        landed = yard.landed("batches", tiny.window(number))
        expected = tiny.batch(number)[0]
        assert landed["id"].to_list() == expected["id"].to_list()
        assert landed.select(pl.col("amount").sub(expected["amount"]).abs().max()).item() < 1e-9
        assert landed.columns == expected.columns
    # and the same again changes nothing, however often
    before = yard.state
    assert set(told(yard.bring()).values()) == {"unchanged"}
    assert yard.state == before


def test_rows_of_one_window_stay_one_file(yard: Yard) -> None:
    # given a file that only its rows give a window, as Spark names its parts
    file = yard.save(tiny.batch(0)[0], "week=1/part-00000.parquet")
    yard.bring()
    # then it lands as it is
    (version,) = landed_versions(yard.repository, yard.declaration, "batches").values()
    content = yard.repository.read(
        landings(yard.repository, "tiny")[0].commit, f"tiny/batches/{tiny.window(0)}.parquet"
    )
    assert content == file.read_bytes()
    assert version == landings(yard.repository, "tiny")[0].version


def test_one_bad_file_stops_no_other(yard: Yard) -> None:
    # given a file that breaks the contract, three that can't be read, and good ones
    yard.save(tiny.batch(0)[0].drop("amount"), f"{tiny.window(0)}.parquet")
    good = yard.save(tiny.batch(1)[0], f"{tiny.window(1)}.parquet")
    (yard.folder / "junk.parquet").write_bytes(b"junk")
    content = bytearray(good.read_bytes())
    content[100:4000] = bytes(3900)
    (yard.folder / "rotten.parquet").write_bytes(content)
    text = tiny.batch(2)[0].write_csv()
    (yard.folder / "typed.csv").write_text(text.replace(",red", ",red,more"))
    yard.save(tiny.batch(3)[0].drop("at"), "timeless.parquet")
    yard.save(tiny.batch(4)[0].clear(), "empty.parquet")
    # when they are imported
    found = yard.bring()
    # then the good one landed, and each other is named with its problem
    assert told(found)["batches", tiny.window(1)] == "imported"
    problems = {one.files[0]: " ".join(one.problems) for one in found if one.result == "refused"}
    assert set(problems) == {
        f"{tiny.window(0)}.parquet",
        "junk.parquet",
        "rotten.parquet",
        "typed.csv",
        "timeless.parquet",
        "empty.parquet",
    }
    assert "no column `amount`" in problems[f"{tiny.window(0)}.parquet"]
    assert "can't be read" in problems["junk.parquet"]
    assert "can't be read" in problems["rotten.parquet"]
    assert "can't be read" in problems["typed.csv"]
    assert "name the file after its window" in problems["timeless.parquet"]
    assert "no rows" in problems["empty.parquet"]
    # and the refused window keeps its report on its branch, as one that landed by itself
    (refused,) = [one for one in landings(yard.repository, "tiny") if one.refused]
    assert refused.window == tiny.window(0)
    # and the same again changes nothing, and is refused again
    before = yard.state
    again = yard.bring()
    assert yard.state == before
    assert [one.result for one in again].count("refused") == 6
    assert all(one.report is None for one in again)


def test_rows_of_no_declared_window_are_said_and_the_others_land(yard: Yard) -> None:
    # given rows before the first window, and rows without a time
    rows, early = tiny.batch(0)[0], timedelta(weeks=3)
    yard.save(
        pl.concat(
            [
                rows,
                rows.head(5).with_columns(pl.col("at") - early),
                rows.head(7).with_columns(pl.lit(None, rows.schema["at"]).alias("at")),
            ]
        ),
        "all.parquet",
    )
    # then they are refused, and the rest lands
    refused, landed = yard.bring()
    assert (landed.result, landed.rows) == ("imported", 300)
    assert refused.result == "refused"
    assert "7 rows without `at`" in refused.problems[0]
    assert "5 rows of 2023-12-11 to 2023-12-11 are of no declared window" in refused.problems[0]


def test_files_that_differ_in_columns_are_not_mixed(yard: Yard) -> None:
    rows = tiny.batch(0)[0]
    yard.save(rows.head(150), "a.parquet")
    yard.save(rows.tail(150).with_columns(more=pl.lit(1)), "b.parquet")
    (refused,) = yard.bring()
    assert (refused.result, refused.window) == ("refused", tiny.window(0))
    assert refused.problems == ("a.parquet and b.parquet differ in `more`",)
    # in another order of columns they are the same
    yard.save(rows.tail(150).select(reversed(rows.columns)), "b.parquet")
    (landed,) = yard.bring()
    assert (landed.result, landed.rows) == ("imported", 300)


def test_a_window_that_two_files_claim_is_refused_for_its_keys(yard: Yard) -> None:
    yard.save(tiny.batch(0)[0], f"{tiny.window(0)}.parquet")
    yard.save(tiny.batch(0)[0].head(10), "more.parquet")
    (refused,) = yard.bring()
    assert "10 rows repeat the key `id`" in refused.problems[0]


def test_a_rehearsal_says_the_same_and_changes_nothing(yard: Yard) -> None:
    yard.save(tiny.batch(0)[0], f"{tiny.window(0)}.parquet")
    yard.save(tiny.batch(1)[0].drop("other"), f"{tiny.window(1)}.parquet")
    before = yard.state
    rehearsed = yard.bring(dry_run=True)
    assert yard.state == before
    assert told(rehearsed) == told(yard.bring())
    assert set(told(rehearsed).values()) == {"imported", "refused"}


def test_what_main_holds_is_left_and_what_differs_is_a_correction(yard: Yard) -> None:
    # given a window that was published
    yard.save(tiny.batch(0)[0], f"{tiny.window(0)}.parquet")
    yard.bring()
    publish(yard.repository, yard.declaration, landings(yard.repository, "tiny")[0])
    # then it is not landed again
    assert told(yard.bring()) == {("batches", tiny.window(0)): "unchanged"}
    assert landings(yard.repository, "tiny") == []
    # but a mended file is
    mended = tiny.batch(0)[0].with_columns(pl.col("amount") + 1)
    yard.save(mended, f"{tiny.window(0)}.parquet")
    assert told(yard.bring()) == {("batches", tiny.window(0)): "imported"}
    # and one that lacks rows of it only if that is meant; what passed still waits
    yard.save(mended.head(200), f"{tiny.window(0)}.parquet")
    (refused,) = yard.bring()
    assert refused.result == "refused"
    assert "100 of the 300 rows that landed before are not in it" in refused.problems[0]
    waiting = [one for one in landings(yard.repository, "tiny") if not one.refused]
    assert len(waiting) == 1
    assert told(yard.bring(replaces=True)) == {("batches", tiny.window(0)): "imported"}
    assert yard.landed("batches", tiny.window(0)).height == 200


def test_a_file_refused_once_is_taken_when_the_rules_have_changed(yard: Yard) -> None:
    yard.save(tiny.batch(0)[0].head(20), f"{tiny.window(0)}.parquet")
    assert told(yard.bring()) == {("batches", tiny.window(0)): "refused"}
    rules = yard.declaration.batches.model_copy(update={"min_rows": 10})
    yard.declaration = yard.declaration.model_copy(update={"batches": rules})
    assert told(yard.bring(dry_run=True)) == {("batches", tiny.window(0)): "imported"}
    assert told(yard.bring()) == {("batches", tiny.window(0)): "imported"}
    assert not landings(yard.repository, "tiny")[0].refused


def test_one_file_with_features_and_outcomes_is_what_it_is_said_to_be(yard: Yard) -> None:
    rows, outcomes = tiny.batch(0)
    yard.save(rows.join(outcomes, on=["id", "at"]), "all.parquet")
    assert told(yard.bring(kind="batches")) == {("batches", tiny.window(0)): "imported"}
    assert told(yard.bring(kind="labels")) == {("labels", tiny.window(0)): "imported"}


def test_a_folder_without_data_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no folder"):
        in_folder(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(SourceError, match=r"holds no .parquet or .csv file"):
        in_folder(tmp_path)


def dvc_sources(yard: Yard, content: Mapping[str, bytes]) -> tuple[HandLaid, Callable[[], object]]:
    laid = HandLaid(yard.place / "project")
    laid.add("data", content)
    laid.add("model.bin", b"no data")
    laid.commit()

    def sources() -> object:
        staging = yard.place / f"sources-{yard.times}"
        found, count, others = in_project(DvcProject.at(laid.root, "HEAD"), (), staging)
        assert (count, others) == (len(content), 1)
        return found

    return laid, sources


def test_what_dvc_tracks_is_linked_not_copied(yard: Yard) -> None:
    # given a DVC project with a window and a file of two
    parquet = yard.save(tiny.batch(0)[0], "x.parquet").read_bytes()
    both = pl.concat([tiny.batch(n)[0] for n in (1, 2)]).write_csv().encode()
    laid, sources = dvc_sources(yard, {f"{tiny.window(0)}.parquet": parquet, "more.csv": both})
    kept = laid.file_of(laid.keep(parquet))
    before = kept.stat()
    # when it is imported
    found = yard.bring_sources(sources())
    # then all windows are there
    assert told(found) == {("batches", tiny.window(n)): "imported" for n in range(3)}
    assert found[0].files == (f"data/{tiny.window(0)}.parquet",)
    # and the first is DVC's own file, as it was
    (landing,) = landings(yard.repository, "tiny", "batches", tiny.window(0))
    path = f"tiny/batches/{tiny.window(0)}.parquet"
    assert kept.samefile(yard.repository.location(landing.commit, path).uri)
    assert stat.S_IMODE(kept.stat().st_mode) == stat.S_IMODE(before.st_mode) == 0o444
    # and stays when DVC collects it
    kept.unlink()
    assert yard.repository.read(landing.commit, path) == parquet


def test_a_cached_file_that_could_be_written_to_is_copied(yard: Yard) -> None:
    # given a cache whose files are not protected
    parquet = yard.save(tiny.batch(0)[0], "x.parquet").read_bytes()
    laid, sources = dvc_sources(yard, {f"{tiny.window(0)}.parquet": parquet})
    kept = laid.file_of(laid.keep(parquet))
    kept.chmod(0o664)
    # when it is imported, and then changed in place
    yard.bring_sources(sources())
    assert stat.S_IMODE(kept.stat().st_mode) == 0o664
    kept.write_bytes(b"changed")
    # then what was imported is as it was
    (landing,) = landings(yard.repository, "tiny")
    path = f"tiny/batches/{tiny.window(0)}.parquet"
    assert yard.repository.read(landing.commit, path) == parquet


def test_what_dvc_can_not_give_is_refused_and_the_rest_lands(yard: Yard) -> None:
    parquet = yard.save(tiny.batch(0)[0], "x.parquet").read_bytes()
    laid, sources = dvc_sources(yard, {f"{tiny.window(0)}.parquet": parquet, "gone.csv": b"x"})
    laid.file_of(laid.keep(b"x")).unlink()
    refused, landed = yard.bring_sources(sources())
    assert (refused.files, refused.result) == (("data/gone.csv",), "refused")
    assert "`dvc fetch` it" in refused.problems[0]
    assert landed.result == "imported"
