"""Old windows in one profile for each month: nothing counted twice or lost, whenever it is killed."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlops_assets.declaration import Declaration
from mlops_assets.errors import StoreBusyError
from mlops_assets.monitoring.retention import WHOLE, Compaction, compact, is_due, merged_into
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.sketches.profile import Profile, profile, profile_segments
from tests.drift.weeks import rows
from tests.sketches import stock

NOW, HOUR, DAY = timedelta(0), timedelta(hours=1), timedelta(days=1)
MONTHS = ("2024-01", "2024-02", "2024-03")  # of 16 weeks, those that are old enough
HEIGHT = 60


def declared(days: int | None = 31, model: str = "m", **drift: Any) -> Declaration:
    return Declaration.model_validate(
        {
            "name": model,
            "windows": {"every": "week", "start": "2024-01-01"},
            "batches": {"contract": "a.b:Batch", "time": "at", "key": ["id"]},
            "labels": {"contract": "a.b:Outcome", "target": "a.b:TARGET", "mature_after_days": 7},
            "features": "a.b:FEATURES",
            "drift": drift,
            "retention": {"window_profiles_days": days},
        }
    )


def week(number: int) -> str:
    return str(date(2024, 1, 1) + timedelta(weeks=number))


def data(number: int, seed: int = 0) -> pl.DataFrame:
    return rows(number + 1000 * seed, height=HEIGHT + number)


def land(
    store: Store,
    number: int,
    seed: int = 0,
    *,
    model: str = "m",
    commit: str = "",
    reference: Mapping[str, str] | None = None,
    only: tuple[str, ...] = (),
) -> None:
    """Record what a window's verdict records of its profiles."""
    frame = data(number, seed)
    common = {"model": model, "window": week(number), "champion": 1}
    common |= {
        "features_commit": commit or f"c{seed}",
        "score": None,
        "score_limit": None,
        "exceeds": False,
    }
    common |= {"verdict": "stable", "sentence": "s", "policy": "p"}
    parts = [
        {
            **common,
            "segment": name,
            "profile": store.add_blob(part.to_bytes()),
            "rows": part.rows,
            "warnings": [],
        }
        for name, part in profile_segments(frame, ["carrier"]).items()
    ]
    store.add_many([kinds.Segment(**one) for one in parts])
    own = {"batch_version": "b", "profile": store.add_blob(profile(frame).to_bytes())}
    named = {part["segment"]: part["profile"] for part in parts}
    if only:
        named = {segment: named[segment] for segment in only}
    detail = {"reference_windows": reference or {}, "segment_profiles": named}
    store.add(
        kinds.Verdict(
            **{**common, **own, "reference": None, "rows": frame.height, "detail": detail}
        )
    )


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = Store(tmp_path_factory.mktemp("landed") / "store")
    for number in range(16):
        land(store, number)
    return store.root


@pytest.fixture
def store(landed: Path, tmp_path: Path) -> Store:
    return Store(Path(shutil.copytree(landed, tmp_path / "store")))


def blobs(store: Store) -> set[str]:
    return {path.name for path in (store.root / "blobs").rglob("*") if path.is_file()}


def months(store: Store, segment: str = WHOLE) -> dict[str, kinds.MergedProfile]:
    rows = store.latest(kinds.MergedProfile, model="m", segment=segment)
    return {row.period: row for row in rows}


def own(store: Store, number: int) -> str:
    (row,) = store.latest(kinds.Verdict, model="m", window=week(number))
    return str(row.profile)


def of_segments(store: Store, number: int) -> list[str]:
    return [row.profile for row in store.latest(kinds.Segment, model="m", window=week(number))]


def test_a_month_is_one_profile_that_counts_as_its_windows_did(store: Store) -> None:
    before = [stock.read(store.blob(own(store, number))) for number in range(5)]
    counts = [view.get_column("carrier").to_summary_dict()["counts/n"] for view in before]
    carriers = [stock.items(view, "carrier") for view in before]

    done = compact(store, declared(), NOW)

    assert done.before == "2024-03"
    assert [month.period for month in done.merged] == ["2024-01", "2024-02"]
    january = months(store)["2024-01"]
    assert list(january.windows) == [week(number) for number in range(5)]
    assert january.rows == sum(counts) == sum(HEIGHT + number for number in range(5))
    merged = stock.read(store.blob(january.profile))
    assert merged.get_column("carrier").to_summary_dict()["counts/n"] == january.rows
    assert stock.items(merged, "carrier") == {
        name: sum(items[name] for items in carriers) for name in ("AA", "DL", "UA")
    }
    parts = [months(store, f"carrier={name}")["2024-01"] for name in ("AA", "DL", "UA")]
    assert sum(part.rows for part in parts) == january.rows
    # nine weeks with four profiles each went, all others and eight merged ones are there
    assert done.removed == 36
    assert len(blobs(store)) == (16 - 9) * 4 + 8
    assert not store.has_blob(own(store, 8))
    assert store.has_blob(own(store, 9))
    assert merged_into(store, "m", week(0)) == "2024-01"
    assert merged_into(store, "m", week(9)) is None


def test_doing_it_again_changes_nothing_and_later_it_goes_on(store: Store) -> None:
    first = compact(store, declared(), NOW)
    held, events = blobs(store), store.rows(kinds.MergedProfile)

    again = compact(store, declared(), NOW)

    assert (again.merged, again.removed, again.size) == ((), 0, 0)
    assert (blobs(store), store.rows(kinds.MergedProfile)) == (held, events)
    assert first.size > 0
    for number in range(16, 30):
        land(store, number)
    later = compact(store, declared(), NOW)
    assert [month.period for month in later.merged] == ["2024-03", "2024-04", "2024-05"]
    assert months(store)["2024-01"].profile == events[0].profile


def test_what_is_left_does_not_grow_with_the_windows_of_a_month(tmp_path: Path) -> None:
    sizes = []
    for every in (1, 2):
        store = Store(tmp_path / str(every))
        for number in range(0, 26, every):
            land(store, number)
        compact(store, declared(), NOW)
        old = {row.profile for row in store.latest(kinds.MergedProfile, model="m")}
        sizes.append(len(old))
    assert sizes[0] == sizes[1]


def test_a_rehearsal_says_exactly_what_would_be_done(store: Store) -> None:
    before = blobs(store)
    said = compact(store, declared(), NOW, rehearse=True)
    assert (blobs(store), store.rows(kinds.MergedProfile)) == (before, [])
    assert compact(store, declared(), NOW) == said


def test_profiles_added_just_now_stay_until_they_are_older(store: Store) -> None:
    done = compact(store, declared(), DAY)
    assert (len(done.merged), done.removed) == (2, 0)
    assert store.has_blob(own(store, 0))
    assert compact(store, declared(), NOW).removed == 36


@pytest.mark.parametrize("days", [None, 365])
def test_nothing_is_merged_that_is_not_old_enough(store: Store, days: int | None) -> None:
    before = blobs(store)
    done = compact(store, declared(days), NOW)
    assert (done.merged, done.removed, blobs(store)) == ((), 0, before)
    assert compact(Store(store.root.parent / "none"), declared(), NOW) == Compaction()


def test_the_declared_reference_stays_as_it_is(store: Store) -> None:
    trailing = declared(reference="trailing", reference_windows=8)
    done = compact(store, trailing, NOW, rehearse=True)
    # windows 5 to 12 are what 15 is judged by
    assert done.kept == dict.fromkeys(
        map(week, range(5, 9)), "the declared reference is made of it"
    )

    fixed = declared(reference="fixed", reference_from=week(1), reference_until=week(2))
    done = compact(store, fixed, NOW)
    assert done.kept == dict.fromkeys([week(1), week(2)], "the declared reference is made of it")
    assert list(months(store)["2024-01"].windows) == [week(0), week(3), week(4)]
    assert store.has_blob(own(store, 1))


def test_what_a_younger_verdict_was_judged_by_stays(store: Store) -> None:
    land(store, 16, reference={week(3): own(store, 3)})
    compact(store, declared(), NOW)
    assert merged_into(store, "m", week(3)) == "2024-01"
    assert store.has_blob(own(store, 3))
    assert all(map(store.has_blob, of_segments(store, 3)))
    assert not store.has_blob(own(store, 2))
    assert not any(map(store.has_blob, of_segments(store, 2)))


def test_what_was_merged_stays_once_a_reference_of_it_is_declared(store: Store) -> None:
    # given windows that were merged, whose profiles are within the grace still
    compact(store, declared(), DAY)
    assert merged_into(store, "m", week(1)) == "2024-01"
    # when a reference of them is declared and the grace is over
    fixed = declared(reference="fixed", reference_from=week(1), reference_until=week(2))
    compact(store, fixed, NOW)
    # then they stay, with their segments
    for number in (1, 2):
        assert all(map(store.has_blob, [own(store, number), *of_segments(store, number)]))
    assert not store.has_blob(own(store, 3))


def test_only_the_segments_of_the_newest_verdict_are_merged(store: Store) -> None:
    # given a window judged again by fewer segments, of the same features
    land(store, 1, only=("carrier=AA", "carrier=DL"))
    # when its month is merged
    compact(store, declared(), NOW)
    # then the other segment's profile of before isn't counted
    windows = {name: months(store, f"carrier={name}")["2024-01"].windows for name in ("AA", "UA")}
    assert week(1) in windows["AA"]
    assert week(1) not in windows["UA"]
    assert week(0) in windows["UA"]


def test_a_profile_that_another_model_has_too_stays(store: Store) -> None:
    land(store, 0, model="other")
    compact(store, declared(), NOW)
    assert store.has_blob(own(store, 0))
    assert not store.has_blob(own(store, 1))


def test_a_window_that_comes_late_joins_its_month(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for number in (0, 1, 3, 4, *range(5, 16)):
        land(store, number)
    compact(store, declared(), NOW)
    land(store, 2)
    compact(store, declared(), NOW)
    january = months(store)["2024-01"]
    assert list(january.windows) == [week(number) for number in range(5)]
    assert january.rows == sum(HEIGHT + number for number in range(5))
    assert not store.has_blob(own(store, 2))


def test_a_window_corrected_after_its_month_was_merged_keeps_its_own(store: Store) -> None:
    # given one that was corrected before, and one after
    land(store, 1, seed=1)
    compact(store, declared(), NOW)
    january = months(store)["2024-01"]
    land(store, 2, seed=1)
    # when it is done again
    done = compact(store, declared(), NOW)
    # then the first was merged as it was corrected, and nothing of it stays
    assert january.windows[week(1)][0] == own(store, 1)
    assert not any(map(store.has_blob, january.windows[week(1)]))
    # and the second stays beside the month, which still holds what it was
    assert done.kept == {week(2): "it was profiled again after 2024-01 was merged"}
    assert store.has_blob(own(store, 2))
    assert months(store)["2024-01"] == january
    # corrected back, the month holds it again
    land(store, 2, commit="c2")
    assert compact(store, declared(), NOW).kept == {}
    assert not store.has_blob(own(store, 2))


def test_a_window_whose_profile_is_lost_is_named_and_left_out(store: Store) -> None:
    lost = own(store, 1)
    (store.root / "blobs" / lost[:2] / lost).unlink()
    done = compact(store, declared(), NOW)
    assert "no blob" in done.kept[week(1)]
    assert week(1) not in months(store)["2024-01"].windows


@pytest.mark.parametrize(
    ("every", "window", "due"),
    [
        ("week", "2024-02-05", True),
        ("week", "2024-02-12", False),
        ("day", "2024-02-01", True),
        ("day", "2024-02-02", False),
        ("hour", "2024-02-01T00", True),
        ("hour", "2024-02-01T01", False),
        ("month", "2024-02-01", True),
    ],
)
def test_it_is_due_with_the_first_window_of_a_month(every: str, window: str, due: bool) -> None:
    fields = declared().model_dump()
    fields["windows"] = {"every": every, "start": "2024-01-01"}
    assert is_due(Declaration.model_validate(fields), window) is due


def test_what_killed_writers_left_goes_with_it(store: Store) -> None:
    staging = store.root / "staging"
    old, young = staging / "old", staging / "young"
    for draft, hours in ((old, 2), (young, 0)):
        draft.write_bytes(b"half a prof")
        made = time.time() - 3600 * hours
        os.utime(draft, (made, made))

    compact(store, declared(), NOW, rehearse=True)
    assert old.exists()
    compact(store, declared(), 3 * HOUR)
    assert old.exists()
    compact(store, declared(), NOW)
    assert (old.exists(), young.exists()) == (False, True)


def test_two_at_once_are_not_let_in(store: Store) -> None:
    impatient = Store(store.root, lock_timeout=0.05)
    with store.compacting(), pytest.raises(StoreBusyError, match="being compacted"):
        compact(impatient, declared(), NOW)


def _killed(root: Path, after: int) -> None:
    """Compact, and be killed before the so manieth file that is made, linked, moved or removed."""
    steps = count(1)

    def step(event: str, arguments: tuple[Any, ...]) -> None:
        changes = event in ("os.rename", "os.link", "os.remove") or (
            event == "open" and isinstance(arguments[1], str) and arguments[1][:1] in ("x", "w")
        )
        if changes and str(root) in str(arguments[0]) and next(steps) > after:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(step)
    compact(Store(root), declared(), NOW)


def test_killed_anywhere_both_are_there_and_the_next_finishes(store: Store, tmp_path: Path) -> None:
    # given a store that was never killed, to compare with
    whole = Store(Path(shutil.copytree(store.root, tmp_path / "whole")))
    compact(whole, declared(), NOW)
    # when it is killed again and again, each time some steps further
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlops_assets.monitoring.retention", "polars", "duckdb"])
    ends = []
    for after in (1, 3, 6, 9, 14, 20, 28, 1000):
        worker = context.Process(target=_killed, args=(store.root, after))
        worker.start()
        worker.join()
        ends.append(worker.exitcode)
        # then every window can be read: its own profile, or the month's that holds it
        for number in range(16):
            if not store.has_blob(own(store, number)):
                month = months(store)[week(number)[:7]]
                assert week(number) in month.windows
                assert Profile.from_bytes(store.blob(month.profile)).rows == month.rows
    # and in the end it is as if it had never been killed
    assert ends == [-signal.SIGKILL] * 7 + [0]
    assert blobs(store) == blobs(whole)
    for segment in (WHOLE, "carrier=AA"):
        content = [list(rows.values()) for rows in (months(store, segment), months(whole, segment))]
        assert content[0] == content[1]
