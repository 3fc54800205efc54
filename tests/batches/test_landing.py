from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from mlops_assets.batches.checks import Beside, Report
from mlops_assets.batches.landing import (
    Kind,
    Landing,
    audit,
    audit_landing,
    kind_of,
    land,
    landed_versions,
    landings,
    newest,
    publish,
    reconsider,
    refuse,
    refuse_on_main,
    succeed,
)
from mlops_assets.declaration import Declaration
from mlops_assets.declaration.sections import Files
from mlops_assets.errors import BatchRefusedError, UnknownNameError
from mlops_assets.versions import Repository
from tests import tiny

WINDOW = tiny.window(0)
PATH = f"tiny/batches/{WINDOW}.parquet"
BAD = Report(300, ("no column `colour`",), (), {})

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def save(frame: pl.DataFrame, name: str = f"{WINDOW}.parquet") -> Path:
        file = tmp_path / name
        frame.write_csv(file) if file.suffix == ".csv" else frame.write_parquet(file)
        return file

    return save


class Yard:
    """The repository with the tiny model's declaration at hand."""

    def __init__(self, repository: Repository, declaration: Declaration, save: Save) -> None:
        self.repository, self.declaration, self.save = repository, declaration, save

    def land(self, rows: int = 300) -> Landing:
        """Land the first window's batch; another count of rows is another file."""
        landing = land(
            self.repository,
            self.declaration,
            self.save(tiny.batch(0)[0].head(rows)),
            kind="batches",
        )
        assert landing is not None
        return landing

    def publish(self, landing: Landing) -> str:
        return publish(self.repository, self.declaration, landing)

    def refuse(self, landing: Landing, report: Report = BAD) -> Landing:
        return refuse(self.repository, self.declaration, landing, report)

    def newest(self) -> Landing | None:
        return newest(self.repository, self.declaration, "batches", WINDOW)

    def put(self, content: bytes | Path) -> str:
        """Put the window on main as others do, without landing it."""
        with self.repository.transaction("main", "theirs") as transaction:
            transaction.put(PATH, content)
        return transaction.commit_id

    @property
    def on_main(self) -> str:
        return self.repository.stat("main", PATH).checksum

    @property
    def branches(self) -> list[str]:
        return [name for name, _ in self.repository.branches() if name != "main"]

    @property
    def landings(self) -> list[Landing]:
        return landings(self.repository, "tiny")


@pytest.fixture
def yard(repository: Repository, declaration: Declaration, save: Save) -> Yard:
    return Yard(repository, declaration, save)


def test_a_file_lands_beside_main_and_is_published(yard: Yard) -> None:
    file = yard.save(tiny.batch(0)[0])
    landing = land(yard.repository, yard.declaration, file, metadata={"by": "ann"})

    assert landing is not None
    assert (landing.kind, landing.window, landing.refused) == ("batches", WINDOW, False)
    assert yard.repository.objects("main") == []
    assert yard.repository.read(landing.commit, PATH) == file.read_bytes()
    assert yard.repository.commit(landing.commit).metadata["by"] == "ann"
    assert yard.landings == [landing]

    commit = publish(yard.repository, yard.declaration, landing, {"dagster.run": "r1"})

    assert yard.repository.resolve("main") == commit
    assert yard.on_main == landing.version
    assert yard.repository.commit(commit).metadata["dagster.run"] == "r1"
    assert (yard.branches, yard.landings) == ([], [])


def test_landing_the_same_file_twice_is_the_same_landing(yard: Yard) -> None:
    assert yard.land() == yard.land()
    assert len(yard.branches) == 1


def test_what_main_holds_does_not_land(yard: Yard) -> None:
    yard.publish(yard.land())
    head = yard.repository.resolve("main")

    assert land(yard.repository, yard.declaration, yard.save(tiny.batch(0)[0])) is None
    assert (yard.branches, yard.repository.resolve("main")) == ([], head)


def test_a_csv_lands_as_parquet_and_twice_as_the_same(yard: Yard) -> None:
    rows = tiny.batch(0)[0]
    file = yard.save(rows, f"{WINDOW}.csv")

    landing = land(yard.repository, yard.declaration, file)
    assert land(yard.repository, yard.declaration, file) == landing
    assert landing is not None
    assert landing.kind == "batches"
    yard.publish(landing)

    assert pl.read_parquet(yard.repository.location("main", PATH).uri).equals(rows)
    assert land(yard.repository, yard.declaration, file) is None


def test_a_corrected_window_replaces_it_and_a_correction_can_be_taken_back(yard: Yard) -> None:
    first = yard.land(300)
    yard.publish(first)

    yard.publish(yard.land(299))
    assert yard.on_main != first.version

    yard.publish(yard.land(300))
    assert yard.on_main == first.version


def test_a_refused_file_stays_with_its_report_until_a_mended_one_is_published(yard: Yard) -> None:
    refused = yard.refuse(yard.land(40))

    assert (refused.refused, refused.problems) == (True, ("no column `colour`",))
    assert yard.repository.objects("main") == []
    assert (yard.landings, yard.newest()) == ([refused], None)
    report = json.loads(yard.repository.read(refused.branch, f"tiny/reports/batches/{WINDOW}.json"))
    assert (report["passed"], report["version"]) == (False, refused.version)
    with pytest.raises(BatchRefusedError, match="was refused: no column `colour`") as error:
        yard.publish(refused)
    assert error.value.problems == refused.problems

    yard.publish(yard.land(300))

    assert yard.branches == []
    assert yard.repository.tags() == [(f"refused-{refused.commit[:12]}", refused.commit)]
    assert [found.path for found in yard.repository.objects("main")] == [PATH]


def test_a_refused_file_that_lands_again_is_still_refused(yard: Yard) -> None:
    refused = yard.refuse(yard.land(40))

    assert yard.land(40) == refused


def test_refusing_twice_is_refusing_once(yard: Yard) -> None:
    landing = yard.land()

    assert yard.refuse(landing) == yard.refuse(landing)


def test_a_kill_between_branch_and_commit_is_made_good_by_landing_again(yard: Yard) -> None:
    yard.publish(yard.land(299))
    landing = yard.land()
    yard.repository.delete_branch(landing.branch)
    yard.repository.create_branch(landing.branch)  # as far as the killed one came
    assert yard.landings == []
    with yard.repository.transaction("main", "meanwhile") as transaction:
        transaction.put("theirs", b"1")

    again = yard.land()

    assert (again.branch, again.version) == (landing.branch, landing.version)
    yard.publish(again)
    assert yard.on_main == landing.version
    assert yard.repository.read("main", "theirs") == b"1"


def test_of_two_landings_for_a_window_the_newer_is_meant(yard: Yard) -> None:
    for rows in (300, 299, 298):
        landing = yard.land(rows)
        assert yard.newest() == landing

    yard.publish(landing)

    assert (yard.on_main, yard.branches) == (landing.version, [])


def test_a_landing_that_came_while_an_older_was_published_is_not_lost(yard: Yard) -> None:
    older, newer = yard.land(300), yard.land(299)

    yard.publish(older)

    assert (yard.on_main, yard.landings) == (older.version, [newer])
    yard.publish(newer)
    assert (yard.on_main, yard.landings) == (newer.version, [])


def test_publishing_twice_is_publishing_once(yard: Yard) -> None:
    landing = yard.land()

    commit = yard.publish(landing)

    assert yard.publish(landing) == commit
    assert yard.repository.resolve("main") == commit


def test_a_copy_that_publishes_late_does_not_bring_back_what_was_corrected(yard: Yard) -> None:
    first = yard.land(300)
    yard.publish(first)
    second = yard.land(299)
    yard.publish(second)

    yard.publish(first)

    assert yard.on_main == second.version


def test_what_was_checked_is_merged_and_nothing_that_came_later(yard: Yard) -> None:
    landing = yard.land()
    with yard.repository.transaction(landing.branch, "unchecked") as transaction:
        transaction.put("tiny/unchecked", b"1")

    yard.publish(landing)

    assert [found.path for found in yard.repository.objects("main")] == [PATH]


def test_each_window_and_kind_is_published_by_itself(yard: Yard) -> None:
    batch = yard.land()
    labels = land(yard.repository, yard.declaration, yard.save(tiny.batch(0)[1]))
    later = land(
        yard.repository, yard.declaration, yard.save(tiny.batch(1)[0], f"{tiny.window(1)}.parquet")
    )
    assert yard.landings == [batch, labels, later]
    assert yard.newest() == batch

    yard.publish(batch)

    assert yard.landings == [labels, later]


def test_versions_are_those_of_landings_else_of_main_and_never_refused_ones(yard: Yard) -> None:
    published = yard.land(300)
    yard.publish(published)
    versions = {WINDOW: published.version}
    refused = yard.refuse(yard.land(40))
    assert landed_versions(yard.repository, yard.declaration, "batches") == versions

    corrected = yard.land(299)

    assert landed_versions(yard.repository, yard.declaration, "batches") == {
        WINDOW: corrected.version
    }
    assert landed_versions(yard.repository, yard.declaration, "labels") == {}
    assert refused in yard.landings


def test_what_others_put_on_main_is_refused_beside_it_as_often_as_it_is_looked_at(
    yard: Yard,
) -> None:
    head = yard.put(b"theirs")
    version = yard.on_main

    refused = [
        refuse_on_main(yard.repository, yard.declaration, "batches", WINDOW, version, BAD)
        for _ in range(2)
    ]

    assert refused[0] == refused[1]
    assert yard.landings == refused[:1]
    assert yard.repository.resolve("main") == head

    mended = yard.land()
    yard.publish(mended)
    assert (yard.on_main, yard.branches) == (mended.version, [])


def test_what_others_put_on_main_meanwhile_yields_to_what_landed(yard: Yard) -> None:
    landing = yard.land()
    yard.put(b"theirs")

    yard.publish(landing)

    assert yard.on_main == landing.version


def test_what_others_put_on_main_that_is_the_same_needs_no_merge(yard: Yard) -> None:
    landing = yard.land()
    head = yard.put(yard.save(tiny.batch(0)[0]))

    assert yard.publish(landing) == head
    assert yard.branches == []


@pytest.mark.parametrize("kind", ["batches", "labels"])
@pytest.mark.parametrize("name", ["by_rows.parquet", "by_rows.csv", f"{tiny.window(3)}.csv"])
def test_kind_and_window_are_told_from_the_file(kind: Kind, name: str, yard: Yard) -> None:
    frame = tiny.batch(3)[kind == "labels"]

    landing = land(yard.repository, yard.declaration, yard.save(frame, name))

    assert landing is not None
    assert (landing.kind, landing.window) == (kind, tiny.window(3))


def both() -> pl.DataFrame:
    batch, labels = tiny.batch(0)
    return batch.with_columns(labels["paid"])


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (tiny.batch(0)[0], "batches"),
        (tiny.batch(0)[1], "labels"),
        (tiny.batch(0)[0].rename({"colour": "color"}), "batches"),
        (tiny.batch(0)[0].rename({"colour": "color", "other": "othr"}), "batches"),
        (tiny.batch(0)[1].rename({"paid": "payed"}), "labels"),
        (tiny.batch(0)[1].rename({"at": "when"}), "labels"),
        (both(), "batches"),  # whoever joined them has a batch
        (both().drop("other", "colour"), "labels"),
    ],
)
def test_labels_are_told_from_a_batch_even_with_a_column_wrong(
    frame: pl.DataFrame, kind: Kind, declaration: Declaration
) -> None:
    assert kind_of(declaration, frame.columns) == kind


def test_labels_as_csv_are_not_read_by_the_batchs_types(yard: Yard) -> None:
    labels = tiny.batch(0)[1].with_columns(amount=pl.lit("a lot"))

    landing = land(yard.repository, yard.declaration, yard.save(labels, f"{WINDOW}.csv"))

    assert landing is not None
    assert landing.kind == "labels"


@pytest.mark.parametrize("window", ["2023-12-25", "2024-01-02", "2025-01-06", "x"])
def test_a_window_nobody_declared_does_not_land(window: str, yard: Yard) -> None:
    file = yard.save(tiny.batch(0)[0])

    with pytest.raises(UnknownNameError, match=f"`{window}` is n"):
        land(yard.repository, yard.declaration, file, window=window)
    assert yard.branches == []


def test_the_window_that_is_given_counts_and_the_audit_says_it_is_wrong(yard: Yard) -> None:
    file = yard.save(tiny.batch(0)[0])
    landing = land(yard.repository, yard.declaration, file, window=tiny.window(1))

    assert landing is not None
    assert landing.window == tiny.window(1)
    report = audit(yard.declaration, "batches", landing.window, pl.scan_parquet(file))
    assert report.problems == (f"300 rows are not of window {tiny.window(1)}: 300 of {WINDOW}",)


def test_labels_may_be_unknown_and_few_and_batches_may_not(declaration: Declaration) -> None:
    batch, labels = (frame.head(10) for frame in tiny.batch(0))
    unknown = labels.with_columns(paid=pl.lit(None, pl.Int64))
    holes = batch.with_columns(amount=pl.lit(None, pl.Float64))

    assert audit(declaration, "labels", WINDOW, unknown.lazy()).passed
    assert audit(declaration, "batches", WINDOW, holes.lazy()).problems == (
        "10 rows, fewer than the 50 declared as the least",
        "`amount` is null in 100.0% of the rows; at most 20.0% may be",
    )


def test_a_model_whose_name_begins_like_anothers_has_its_own_landings(yard: Yard) -> None:
    other = yard.declaration.model_copy(update={"name": "tiny_two"})
    landing = land(yard.repository, other, yard.save(tiny.batch(0)[0]))

    assert yard.landings == []
    assert landings(yard.repository, "tiny_two") == [landing]


def test_a_refused_file_is_checked_anew_when_a_person_lands_it_again(
    repository: Repository, declaration: Declaration, tmp_path: Path
) -> None:
    # given a file that was refused
    file = tmp_path / "2024-01-01.parquet"
    tiny.batch(0)[0].write_parquet(file)
    first = land(repository, declaration, file)
    assert first is not None
    refuse(repository, declaration, first, Report(1, ("a rule since taken back",), (), {}))
    # when it only comes by again, it stays refused; when a person lands it again, it waits anew
    still = land(repository, declaration, file)
    assert still is not None
    assert still.refused
    anew = land(repository, declaration, file, again=True)
    assert anew is not None
    assert not anew.refused
    assert newest(repository, declaration, "batches", "2024-01-01") == anew
    assert [info.path for info in repository.objects(anew.branch, "tiny/reports/")] == []


def test_the_file_that_landed_last_is_meant(
    repository: Repository, declaration: Declaration, tmp_path: Path
) -> None:
    # given a window on main, and a correction that waits
    file, wrong = tmp_path / "2024-01-01.parquet", tmp_path / "wrong.parquet"
    tiny.batch(0)[0].write_parquet(file)
    tiny.batch(0, rows=200)[0].write_parquet(wrong)
    first = land(repository, declaration, file)
    assert first is not None
    publish(repository, declaration, first)
    mistake = land(repository, declaration, wrong)
    assert mistake is not None
    # when what main holds lands again, then the correction is taken back, and a tag keeps it
    assert land(repository, declaration, file) is None
    assert landings(repository, "tiny") == []
    assert (f"replaced-{mistake.commit[:12]}", mistake.commit) in repository.tags()


def test_a_damaged_file_is_refused_like_any_other(
    repository: Repository, declaration: Declaration, tmp_path: Path
) -> None:
    # given a Parquet file whose footer is whole and whose pages are not
    file = tmp_path / "2024-01-01.parquet"
    tiny.batch(0)[0].write_parquet(file)
    content = bytearray(file.read_bytes())
    content[8:2000] = b"\xff" * 1992
    file.write_bytes(bytes(content))
    report = audit(declaration, "batches", "2024-01-01", pl.scan_parquet(file))
    assert not report.passed
    assert "can't be read" in report.problems[0]


def test_a_file_that_could_not_be_read_is_not_judged_by_what_main_holds(yard: Yard) -> None:
    # given a window on main, and a refusal of a file that could not even be read
    yard.publish(yard.land())
    unread = Report(0, ("it can't be read",), (), {})
    window = (yard.declaration, "batches", WINDOW, "0" * 64, unread)
    refused = refuse_on_main(yard.repository, *window)
    # when it is looked at again, it stays as it is, since what is on its branch is main's
    assert reconsider(yard.repository, yard.declaration, refused) == refused
    assert yard.landings == [refused]


def test_what_is_read_otherwise_by_now_has_to_land_again(yard: Yard) -> None:
    # given a file whose times nobody could read
    rows = tiny.batch(0)[0].with_columns(pl.col("at").dt.strftime("%d/%m/%Y %H:%M"))
    file = yard.save(rows, f"{WINDOW}.csv")
    landing = land(yard.repository, yard.declaration, file, kind="batches")
    assert landing is not None
    report = audit_landing(yard.repository, yard.declaration, landing)
    assert "declare how it is written" in report.problems[0]
    refused = yard.refuse(landing, report)
    # when that is declared, then what lies on its branch is still what was read of it, and says so
    files = Files(times={"at": "%d/%m/%Y %H:%M"})
    yard.declaration = yard.declaration.model_copy(update={"files": files})
    again = reconsider(yard.repository, yard.declaration, refused)
    assert again.problems[0].endswith("it becomes so as files are read now; land it again")
    # and when it lands again, it passes
    better = land(yard.repository, yard.declaration, file, kind="batches")
    assert better is not None
    assert audit_landing(yard.repository, yard.declaration, better).passed


def test_what_waits_goes_on_waiting_until_its_successor_has_passed(yard: Yard) -> None:
    # given a good file that waits, and a bad one that lands for the same window
    good = yard.land(300)
    bad = land(
        yard.repository,
        yard.declaration,
        yard.save(tiny.batch(0)[0].with_columns(other=pl.lit("x"))),
    )
    assert bad is not None
    # when the bad one is refused, the good one is what waits
    yard.refuse(bad, audit_landing(yard.repository, yard.declaration, bad))
    assert yard.newest() == good
    # and when another passes, it is put away, for a tag to keep
    better = yard.land(299)
    assert good in yard.landings
    succeed(yard.repository, yard.declaration, better)
    assert yard.newest() == better
    assert good not in yard.landings
    assert (f"replaced-{good.commit[:12]}", good.commit) in yard.repository.tags()


def test_the_file_that_landed_last_is_meant_though_it_waited_before(yard: Yard) -> None:
    first, second = yard.land(300), yard.land(299)
    assert yard.newest() == second

    again = yard.land(300)

    assert (again.version, yard.newest()) == (first.version, again)
    # what lands while it is checked is not put away with the rest
    third = yard.land(298)
    succeed(yard.repository, yard.declaration, again)
    assert [one.version for one in yard.landings] == [first.version, third.version]


def labelled(yard: Yard, labels: pl.DataFrame, **how: bool) -> Landing:
    landing = land(yard.repository, yard.declaration, yard.save(labels), kind="labels", **how)
    assert landing is not None
    return landing


@pytest.mark.parametrize("published", [False, True])
def test_rows_that_landed_before_may_only_go_if_that_is_meant(yard: Yard, published: bool) -> None:
    # given labels of 80 rows, which wait or stand on main
    rows = tiny.batch(0)[1]
    before = labelled(yard, rows.head(80))
    if published:
        yard.publish(before)
    # when the other 20 land
    rest = labelled(yard, rows.slice(80, 20))
    report = audit_landing(yard.repository, yard.declaration, rest)
    # then it is refused with what it would drop
    assert report.problems[0].startswith(
        "80 of the 80 rows that landed before are not in it and would be dropped, as 2024-01-01-00"
    )
    assert "--replace" in report.problems[0]
    assert "deliveries: append" in report.problems[0]
    yard.refuse(rest, report)
    # but all of them may land, and those alone if they are to replace the others
    whole = labelled(yard, rows.head(100))
    assert audit_landing(yard.repository, yard.declaration, whole).passed
    alone = labelled(yard, rows.slice(80, 20), again=True, replace=True)
    assert alone.replaces
    assert audit_landing(yard.repository, yard.declaration, alone).passed


def appending(yard: Yard) -> None:
    part = yard.declaration.labels.model_copy(update={"deliveries": "append"})
    yard.declaration = yard.declaration.model_copy(update={"labels": part})


@pytest.mark.parametrize("published", [False, True])
def test_files_that_bring_more_rows_are_added_where_that_is_declared(
    yard: Yard, published: bool
) -> None:
    appending(yard)
    rows = tiny.batch(0)[1]
    first = labelled(yard, rows.head(80))
    if published:
        yard.publish(first)
    # when 20 more and 5 that are known land
    both = labelled(yard, rows.slice(75, 25))
    path = yard.declaration.path("labels", WINDOW)
    landed = pl.read_parquet(yard.repository.location(both.commit, path).uri)
    # then the window has them all, in their order
    assert landed.equals(rows.head(100))
    assert audit_landing(yard.repository, yard.declaration, both).passed
    # and either file again changes nothing
    succeed(yard.repository, yard.declaration, both)
    for known in (rows.slice(75, 25), rows.head(80)):
        assert labelled(yard, known) == both
    # but a row that says something else of a known key is refused
    other = labelled(yard, rows.slice(99, 1).with_columns(1 - pl.col("paid")))
    report = audit_landing(yard.repository, yard.declaration, other)
    assert report.problems == ("1 row repeats the key `id`, as 2024-01-01-0099",)
    # unless it is to replace all
    only = labelled(yard, rows.slice(99, 1), replace=True)
    assert pl.read_parquet(yard.repository.location(only.commit, path).uri).height == 1


def test_a_file_that_does_not_fit_the_contract_is_not_added_to_what_landed(yard: Yard) -> None:
    appending(yard)
    rows = tiny.batch(0)[1]
    yard.publish(labelled(yard, rows.head(80)))
    # when a file lacks the column that is asked for, or has it in another type
    for more, said in (
        (rows.slice(80, 20).drop("paid"), "no column `paid`"),
        (rows.slice(80, 20).with_columns(paid=pl.lit("x")), "20 values, as `x`, are no Int64"),
    ):
        landing = labelled(yard, more)
        report = audit_landing(yard.repository, yard.declaration, landing)
        # then that is what is wrong with it, and the rows that have no label are not there as such
        assert said in str(report.problems)
        yard.refuse(landing, report)
    # and the right file goes through
    right = labelled(yard, rows.slice(80, 20))
    assert audit_landing(yard.repository, yard.declaration, right).rows == 100


def test_labels_are_checked_with_the_batch_that_they_name(yard: Yard) -> None:
    batch, labels = tiny.batch(0)
    strangers = labels.with_columns(id=pl.lit("x") + pl.col("id"))
    # without a batch nothing can be said
    early = labelled(yard, strangers)
    assert audit_landing(yard.repository, yard.declaration, early).passed
    # with one that waits, or is on main, it is
    landing = land(yard.repository, yard.declaration, yard.save(batch), kind="batches")
    assert landing is not None
    for _ in ("waiting", "on main"):
        found = audit_landing(yard.repository, yard.declaration, early)
        assert found.problems == (
            "300 of 300 rows have keys that are not in the window's batch, as "
            + "; ".join(f"x2024-01-01-000{row}" for row in range(5))
            + "; at least 50.0% must be, as labels.min_matched_share declares",
        )
        yard.publish(landing)
    half = labelled(yard, pl.concat([labels.head(150), strangers.tail(150)]), replace=True)
    assert audit_landing(yard.repository, yard.declaration, half).passed
    # not one is never enough, unless that is declared
    part = yard.declaration.labels.model_copy(update={"min_matched_share": 0.0})
    yard.declaration = yard.declaration.model_copy(update={"labels": part})
    anyway = labelled(yard, strangers, replace=True)
    assert audit_landing(yard.repository, yard.declaration, anyway).passed


def test_keys_of_another_type_than_the_batchs_are_named(yard: Yard) -> None:
    labels = tiny.batch(0)[1].lazy()
    numbers = labels.with_row_index("n").select(pl.col("n").alias("id"))

    found = audit(yard.declaration, "labels", WINDOW, labels, Beside(batch=numbers))

    assert found.problems == ("the key `id` is String here and UInt32 in the batch",)


def test_what_is_converted_lands_as_the_contract_has_it_and_is_told(yard: Yard) -> None:
    rows = tiny.batch(0)[0]
    written = rows.with_columns(
        pl.col("at").dt.replace_time_zone(None).dt.cast_time_unit("ns"),
        pl.col("colour").cast(pl.Categorical),
        pl.lit(None).alias("amount"),
    )

    landing = land(yard.repository, yard.declaration, yard.save(written), kind="batches")

    assert landing is not None
    assert yard.landings == [landing]
    assert landing.notes == (
        "`at` converted from Datetime(time_unit='ns', time_zone=None) to "
        "Datetime(time_unit='us', time_zone='UTC')",
        "`amount` converted from Null to Float64",
        "`colour` converted from Categorical to String",
    )
    landed = pl.read_parquet(yard.repository.location(landing.commit, PATH).uri)
    assert landed.equals(rows.with_columns(pl.lit(None, pl.Float64).alias("amount")))
    # once landed it is of the contract, and the same file is the same landing
    assert land(yard.repository, yard.declaration, yard.save(written), kind="batches") == landing


@pytest.mark.parametrize(
    "columns", [["id", "at"], ["id", "at", "x"], ["customer_id;seen_at;spend"], [], ["amount", "other", "paid"]]
)  # fmt: skip
def test_what_could_be_either_is_asked_for(
    columns: list[str], yard: Yard, declaration: Declaration
) -> None:
    if columns == ["id", "at", "x"]:  # labels whose only own column is misspelt, by all else
        assert kind_of(declaration, columns) == "labels"
        return
    assert kind_of(declaration, columns) is None
    if columns:
        file = yard.save(pl.DataFrame({name: ["1"] for name in columns}))
        with pytest.raises(BatchRefusedError, match="say `--batch` or `--labels`"):
            land(yard.repository, declaration, file)
        assert yard.landings == []


def test_a_time_that_can_not_be_read_is_the_reason_that_its_window_is_not_known(yard: Yard) -> None:
    rows = tiny.batch(0)[0].with_columns(pl.col("at").dt.to_string("%d/%m/%Y %H:%M"))

    with pytest.raises(BatchRefusedError, match="`at`: 300 values, as `01/01/2024 00:00`, are no"):
        land(yard.repository, yard.declaration, yard.save(rows, "export.csv"))
    files = Files(times={"at": "%d/%m/%Y %H:%M"})
    yard.declaration = yard.declaration.model_copy(update={"files": files})
    landing = land(yard.repository, yard.declaration, yard.save(rows, "export.csv"))
    assert landing is not None
    assert landing.window == WINDOW
