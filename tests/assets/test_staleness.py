"""Twins are compared on every window whose labels matured, with what was known when it came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from mlops_assets.assets.staleness import build
from mlops_assets.batches.maturity import landed_windows
from mlops_assets.decisions.staleness import Staleness
from mlops_assets.declaration import Declaration
from mlops_assets.errors import DeclarationError
from mlops_assets.learning.training import FittedModel
from mlops_assets.learning.twins import MOST_ROWS
from mlops_assets.monitoring.due import due
from mlops_assets.monitoring.loop import Weighing
from mlops_assets.monitoring.recorded import RecordedSituation
from mlops_assets.monitoring.situation import EndAtOnce
from mlops_assets.monitoring.twins import Known, Twins, chosen
from mlops_assets.records import kinds
from tests import tiny
from tests.conftest import Played, open_project, reopen

WEEK = 12 / (365.25 / 7)  # months
TWINS = ("fresh_twin", "champion_twin", "champion_twin_blob", "known_commit")


def rows(played: Played) -> dict[int, kinds.Staleness]:
    """Return the newest row of each window, by its number."""
    found = {row.window: row for row in played.store.latest(kinds.Staleness, model=tiny.MODEL)}
    return {n: found[tiny.window(n)] for n in range(20) if tiny.window(n) in found}


def standing(played: Played, declaration: Declaration | None = None) -> Staleness:
    declared = declaration or played.player.declaration
    landed = landed_windows(played.repository, declared, "main")
    return Weighing(
        RecordedSituation.read(declared, landed, played.store, played.ledger, EndAtOnce())
    ).standing


def waiting(played: Played) -> list[tuple[str, tuple[str, ...]]]:
    found = due(played.repository, played.store, played.player.declaration)
    return [(work.window, work.stages) for work in found]


def twins(played: Played) -> Twins:
    return Twins(played.player.declaration, played.repository, played.store)


def by_hand(played: Played, number: int) -> dg.ExecuteInProcessResult:
    return played.materialize("ingest", "staleness", window=tiny.window(number))


def summary(result: dg.ExecuteInProcessResult) -> str:
    assert result.success
    (event,) = result.get_asset_materialization_events()
    return str(event.materialization.metadata["summary"].value)


@dataclass
class Story:
    """A history with labels that are late, partly missing and corrected, and what was said when."""

    played: Played
    said: dict[str, Staleness] = field(default_factory=dict)
    rows: dict[str, dict[int, kinds.Staleness]] = field(default_factory=dict)

    def note(self, moment: str) -> None:
        self.said[moment], self.rows[moment] = standing(self.played), rows(self.played)


@pytest.fixture(scope="module")
def promoted(
    tmp_path_factory: pytest.TempPathFactory, begun: Callable[[int, Path], Played]
) -> Played:
    """Return a project of its own, without drift: nothing is retrained by itself."""
    played = begun(9, tmp_path_factory.mktemp("story") / "project")
    tiny.write_history(played.project.root, 14, drift_at=99)
    return played


@pytest.fixture(scope="module")
def story(promoted: Played) -> Story:
    played = promoted
    told = Story(played)

    def outcomes(number: int, labelled: int = 300) -> pl.DataFrame:
        place = pl.int_range(pl.len())
        return tiny.batch(number)[1].with_columns(
            pl.when(place < labelled).then(pl.col("paid")).alias("paid")
        )

    told.note("the first week is mature")
    played.land(9, "batches")
    played.player.settle()
    told.note("a week without labels")
    played.land(10, "batches")
    played.land(10, "labels", outcomes(10, labelled=60))
    played.player.settle()
    played.turn(11)
    told.note("labels late and partly missing")
    played.land(9, "labels")
    played.player.settle()
    told.note("the late ones came")
    played.land(10, "labels", outcomes(10))
    played.turn(12)
    told.note("all are there")
    played.land(2, "labels", outcomes(2).with_columns((1 - pl.col("paid")).alias("paid")))
    played.player.settle()
    told.note("what was learnt from was corrected")
    played.land(8, "labels", outcomes(8).with_columns((1 - pl.col("paid")).alias("paid")))
    played.player.settle()
    told.note("what was judged was corrected")
    return told


def test_the_first_week_of_a_champion_gains_nothing_by_one_fit(story: Story) -> None:
    # given a champion of the turn of week 6, which learnt what a retraining would have
    first = story.rows["the first week is mature"]
    assert list(first) == [7]
    row = first[7]
    assert (row.champion, row.since) == (1, tiny.window(6))
    assert row.fresh_twin == row.champion_twin
    assert row.fresh == row.served > 0.6
    assert (row.gain, row.reason, row.rows) == (0.0, "", 300)
    # then the sum begins, and says which week it waits for
    said = story.said["the first week is mature"]
    assert (said.total, said.rate, said.due, said.judged) == (0.0, 0.0, False, 1)
    assert said.unjudged == (tiny.window(8),)
    assert "labels are trusted 7 days after a window's end" in said.sentence
    assert said.cost == 0.01


def test_later_weeks_are_compared_with_the_same_twin_of_the_champion(story: Story) -> None:
    every = story.rows["all are there"]
    assert list(every) == [7, 8, 9, 10, 11]
    assert len({row.champion_twin for row in every.values()}) == 1
    assert len({row.champion_twin_blob for row in every.values()}) == 1
    fresh = [row.fresh_twin for row in every.values()]
    # what was known grew by a week each time, until the labels of week 9 were late
    assert len(set(fresh[:4])) == 4
    assert fresh[4] == fresh[3]
    for row in every.values():
        assert row.gain == pytest.approx(row.fresh - row.served)
        assert row.months == pytest.approx(WEEK)


def test_the_sum_is_of_all_that_was_judged_and_each_row_says_it_as_it_was(story: Story) -> None:
    every, said = story.rows["all are there"], story.said["all are there"]
    assert said.total == pytest.approx(sum(row.gain for row in every.values()) * WEEK)
    assert said.rate == every[11].gain
    assert (every[11].total, every[11].rate) == (pytest.approx(said.total), said.rate)
    assert every[11].sentence.startswith("not stale: ")
    assert said.unjudged == (tiny.window(12),)


def test_weeks_without_enough_labels_are_named_with_what_they_wait_for(story: Story) -> None:
    # given a week whose labels never came, one of which a fifth did, and one that is not mature
    said = story.said["labels late and partly missing"]
    assert said.unjudged == (tiny.window(9), tiny.window(10), tiny.window(11))
    assert said.judged == 2
    for number, why in (
        (9, "labels were due and have not landed"),
        (10, "20% of its 300 rows have a label, where 100% is usual"),
        (11, "labels are trusted 7 days after a window's end"),
    ):
        assert f"not judged: {tiny.window(number)} ({why}" in said.sentence
    # then only the week with some labels has a row, which says why it was not judged
    found = story.rows["labels late and partly missing"]
    assert list(found) == [7, 8, 10]
    assert (found[10].gain, found[10].rows) == (None, 60)
    # and the sum goes on with what was judged
    assert found[10].total == found[8].total


def test_labels_that_come_late_are_judged_when_they_come_and_were_not_known_before(
    story: Story,
) -> None:
    before, after = story.rows["labels late and partly missing"], story.rows["the late ones came"]
    assert set(after) - set(before) == {9}
    assert after[9].gain is not None
    assert all(after[n] == before[n] for n in before)
    # what is known before a week is what had landed, whatever came since
    known = {n: twins(story.played).known_before(tiny.window(n)) for n in (9, 11, 12)}
    assert list(known[9].versions) == [tiny.window(n) for n in range(8)]
    assert list(known[11].versions) == [tiny.window(n) for n in range(9)]
    assert list(known[12].versions) == [tiny.window(n) for n in range(11)]


def test_labels_that_are_completed_are_judged_again(story: Story) -> None:
    before, after = story.rows["the late ones came"], story.rows["all are there"]
    assert before[10].gain is None
    assert after[10].gain is not None
    assert after[10].rows == 300
    assert after[10].labels_version != before[10].labels_version
    assert [getattr(after[10], name) for name in TWINS] == [
        getattr(before[10], name) for name in TWINS
    ]


def test_a_correction_of_what_was_learnt_from_makes_no_row_wrong(story: Story) -> None:
    # given labels of a week that both twins learnt from, which were not known to be wrong then
    before = story.rows["all are there"]
    assert story.rows["what was learnt from was corrected"] == before
    assert story.said["what was learnt from was corrected"] == story.said["all are there"]


def test_a_correction_of_what_was_judged_is_judged_again_by_the_same_twins(story: Story) -> None:
    before, after = (
        story.rows["what was learnt from was corrected"],
        story.rows["what was judged was corrected"],
    )
    assert after[8].labels_version != before[8].labels_version
    assert [getattr(after[8], name) for name in TWINS] == [
        getattr(before[8], name) for name in TWINS
    ]
    # answers turned round turn the metric round
    for side in ("fresh", "served"):
        turned = 1 - getattr(before[8], side)
        assert getattr(after[8], side) == pytest.approx(turned, abs=1e-9)
    assert {n for n in after if after[n] != before[n]} == {8}
    # and the sum is of the corrected week
    change = (after[8].gain - before[8].gain) * WEEK
    said = story.said
    assert said["what was judged was corrected"].total == pytest.approx(
        said["what was learnt from was corrected"].total + change
    )


def test_nothing_is_left_to_do_and_a_lost_judgement_is_due_by_itself(story: Story) -> None:
    played = story.played
    assert waiting(played) == []
    before = rows(played)[11]
    # given a run that was killed between the metric and the judgement
    for file in played.project.home.store.glob("*/**/*.json"):
        if '"kind":"staleness"' in file.read_text() and tiny.window(11) in file.read_text():
            file.unlink()
    played.store.rebuild()
    assert waiting(played) == [(tiny.window(11), ("staleness",))]
    # when it is made good, then the row is the same
    played.player.settle()
    again = rows(played)[11]
    measured = ("fresh", "served", "gain", "rate", "labels_version", "batch_version", *TWINS)
    assert [getattr(again, name) for name in measured] == [
        getattr(before, name) for name in measured
    ]
    # but for the sum, which is of what is known now: week 8 was corrected since
    assert again.total == standing(played).total != before.total


def test_under_another_metric_every_window_is_measured_again(story: Story) -> None:
    # given a history that was judged by auc, and a declaration that now asks for another metric
    played = story.played
    declared = played.player.declaration
    gates = declared.gates.model_copy(update={"metric": "brier"})
    other = declared.model_copy(update={"gates": gates})
    # then windows judged by auc say nothing of it, and are due
    found = due(played.repository, played.store, other)
    both = ("performance", "staleness")
    assert [(one.window, one.stages) for one in found] == [
        (tiny.window(number), both) for number in rows(played)
    ]
    said = standing(played, other)
    assert (said.judged, said.due, said.cost) == (0, False, None)
    assert "(not measured yet)" in said.sentence


@pytest.mark.parametrize(
    ("kpi", "words"),
    [("pathlib:Path", "is no Polars expression"), ("pathlib:Pat", "did you mean `Path`")],
)
def test_a_kpi_that_is_none_is_said_before_anything_runs(
    story: Story, kpi: str, words: str
) -> None:
    declared = story.played.player.declaration
    money = declared.retraining.model_copy(update={"cost": 1.0, "kpi": kpi})
    with pytest.raises(DeclarationError, match=words):
        build(declared.model_copy(update={"retraining": money}))


def test_a_week_that_is_not_mature_is_not_judged_by_hand_either(story: Story) -> None:
    # given a week of which the labels are there, and not to be trusted yet
    before = rows(story.played)
    result = by_hand(story.played, 12)
    assert summary(result).startswith(f"nothing to judge on {tiny.window(12)} yet: labels are")
    # nor one that no champion served
    assert "no champion was in force" in summary(by_hand(story.played, 3))
    assert rows(story.played) == before


def test_a_lost_twin_is_made_again_bit_for_bit(story: Story) -> None:
    # given a kept twin of the champion that is gone
    played = story.played
    before = rows(played)[11]
    blob = before.champion_twin_blob
    file = played.project.home.store / "blobs" / blob[:2] / blob
    content = file.read_bytes()
    assert FittedModel.from_bytes(content).features == ("amount", "other", "colour")
    file.unlink()
    # when another week is judged
    played.turn(13)
    # then it is compared with the same twin, which is kept again
    assert rows(played)[12].champion_twin_blob == blob
    assert file.read_bytes() == content


def test_a_refused_challenger_changes_nothing_and_a_promotion_begins_a_new_sum(
    story: Story,
) -> None:
    # given a retraining by hand, after which another version serves
    played = story.played
    before = rows(played)
    assert played.materialize("retrain").success
    champion = played.ledger.champion(tiny.MODEL)
    assert champion is not None
    assert champion.version == 2
    # then what was judged stays as it was, and the new one's sum is empty
    assert rows(played) == before
    said = standing(played)
    assert (said.total, said.judged, said.unjudged, said.due) == (0.0, 0, (), False)
    assert said.sentence == "staleness can't be judged yet"
    # and it is judged from the week on that it serves, against what it learnt from
    assert waiting(played) == []
    for number in (14, 15):
        played.land(number, "batches", tiny.batch(number)[0])
        played.land(number, "labels", tiny.batch(number)[1])
        played.player.settle()
    found = rows(played)
    assert (found[13].champion, found[14].champion) == (1, 2)
    assert (found[14].since, found[14].gain) == (tiny.window(13), 0.0)
    assert standing(played).judged == 1


@pytest.fixture(scope="module")
def in_money(tmp_path_factory: pytest.TempPathFactory, fresh_home: Path, as_it_was: None) -> Played:
    """Return a project with a rolling frame and a KPI, that drifts while its champion serves."""
    folder = tiny.make_project(tmp_path_factory.mktemp("money") / "project", drift_at=4)
    declared = folder / "tiny_project/defs/tiny/defs.yaml"
    rolling = "first_after: 3\n    frame: rolling\n    frame_windows: 2"
    money = "{triggers: [], cooldown_windows: 2, cost: 150, kpi: .features:KPI}"
    text = declared.read_text().replace("first_after: 6", rolling)
    declared.write_text(text.replace("{triggers: [drift], cooldown_windows: 2}", money))
    features = folder / "tiny_project/defs/tiny/features.py"
    features.write_text(features.read_text() + KPI)
    opened = open_project(folder, fresh_home)
    opened.turn(*range(8))
    return opened


KPI = """
# written to whoever seems likely to pay: 3 a letter, 10 from each who does
KPI = pl.when(pl.col("score") > 0.5).then(pl.col("target").cast(pl.Int64) * 10 - 3).otherwise(0)
"""


def test_a_kpi_counts_money_a_month_of_every_row(in_money: Played) -> None:
    played = in_money
    row = rows(played)[6]
    # given what the champion's twin says of that week
    twin = FittedModel.from_bytes(played.store.blob(row.champion_twin_blob))
    features = played.frame("features", 6)
    paid = features.join(tiny.batch(6, drifted=True)[1], on="id")["paid"]
    written = paid.filter(twin.predict(features) > 0.5)
    # then its figure is the letters' money, for a month instead of a week
    earned = 10 * int(written.sum()) - 3 * written.len()
    assert row.served == pytest.approx(earned / WEEK)
    assert row.gain == pytest.approx(row.fresh - row.served)
    assert row.gain > 0
    assert row.measure.startswith("money by ")
    # and the declared cost is what the sum has to be worth
    said = standing(played)
    assert said.cost == 150
    assert said.total == pytest.approx(sum(one.gain for one in rows(played).values()) * WEEK)
    assert said.due
    assert " money over 3 windows" in said.sentence


def test_twins_follow_the_declared_frame(in_money: Played) -> None:
    # given a rolling frame of two weeks, and one that is held out before the refit
    found = twins(in_money)
    champion = in_money.ledger.champion(tiny.MODEL)
    assert champion is not None
    known = list(found.known_before(tiny.window(6)).versions)
    assert known == [tiny.window(n) for n in (2, 3, 4)]
    assert tuple(found.known_to(champion).versions) == champion.training_windows
    assert len(champion.training_windows) == 3


def test_a_window_for_which_no_twin_can_be_made_says_why(in_money: Played) -> None:
    # given a declaration that now asks for more weeks than had landed before that one
    declared = in_money.project.root / "tiny_project/defs/tiny/defs.yaml"
    declared.write_text(declared.read_text().replace("first_after: 3", "first_after: 50"))
    again = reopen(in_money)
    # when it is judged, then no run fails, and the row says what is missing
    assert by_hand(again, 6).success
    row = rows(again)[6]
    assert (row.gain, row.fresh_twin, row.rows) == (None, None, 300)
    assert "there are no twins: 5 windows with mature labels" in row.reason
    assert row.reason in standing(again).sentence


def test_a_twin_of_much_data_reads_some_of_every_week(played: Played) -> None:
    # given six weeks with more rows than a twin learns from, a tenth of them without a label
    for number in range(6):
        batch, outcomes = tiny.batch(number, rows=6_000)
        known = pl.int_range(pl.len()) % 10 != 0
        paid = pl.when(known).then(pl.col("paid")).alias("paid")
        played.land(number, "batches", batch)
        played.land(number, "labels", outcomes.with_columns(paid))
    played.player.settle()
    found = twins(played)
    six = found.known_before(tiny.window(7))
    five = Known(six.commit, dict(list(six.versions.items())[:5]))
    # when twins of six and of five weeks are made
    more, fewer = found.read_rows(six), found.read_rows(five)
    # then each learns from as many labelled rows, of each week alike
    assert list(more.rows.columns) == ["window", "amount", "other", "colour", "target"]
    assert more.labelled == pytest.approx([0.9] * 6)
    for learnt_rows, weeks in ((more, 6), (fewer, 5)):
        assert learnt_rows.rows.height == MOST_ROWS
        assert learnt_rows.rows["target"].null_count() == 0
        counts = learnt_rows.rows.group_by("window").len()["len"]
        assert counts.len() == weeks
        assert counts.to_list() == pytest.approx([MOST_ROWS / weeks] * weeks, rel=0.1)
    # and what more weeks leave of a week is part of what fewer did
    rest = more.rows.filter(pl.col("window") != tiny.window(5))
    assert rest.join(fewer.rows, on=["window", "amount"]).height == rest.height
    # the labels beside the features are their own
    joined = played.frame("features", 3).join(tiny.batch(3, rows=6_000)[1], on="id")
    third = more.rows.filter(pl.col("window") == tiny.window(3)).join(joined, on="amount")
    assert (third["target"] == (third["paid"] == 1)).all()
    # two twins of the same are the same
    assert found.fit(found.read_rows(six)) == found.fit(more)
    assert found.fingerprint(six) != found.fingerprint(five)


def test_of_very_many_windows_some_are_read_the_same_for_every_twin() -> None:
    names = [f"2024-01-01T{number:04d}" for number in range(400)]
    some = chosen(names, 1)
    assert len(some) == 200
    assert some == sorted(set(some) & set(names))
    assert len(set(chosen(names[:399], 1)) & set(some)) >= 199
