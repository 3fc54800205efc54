"""A window judged as it is declared: segments, references of three kinds, windows that are missing."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets.assets.drift_profile import build
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.errors import DeclarationError
from mlops_assets.records import kinds
from mlops_assets.sketches.profile import Profile
from tests import tiny
from tests.conftest import Played, open_project, reopen

SEGMENTS = "segments: [colour], most_segments: 2, min_segment_rows: 20"


def declare(played: Played, drift: str) -> Played:
    """Declare another drift policy, as a person would who edits the file."""
    file = played.project.root / "tiny_project/defs/tiny/defs.yaml"
    kept = [line for line in file.read_text().splitlines() if not line.startswith("  drift:")]
    file.write_text("\n".join([*kept, f"  drift: {{{drift}}}", ""]))
    return reopen(played)


def verdict(played: Played, number: int) -> kinds.Verdict:
    (row,) = played.store.latest(kinds.Verdict, model=tiny.MODEL, window=tiny.window(number))
    return row


@pytest.fixture(scope="module")
def segmented(
    tmp_path_factory: pytest.TempPathFactory, fresh_home: Path, as_it_was: None
) -> Played:
    """Return a project with segments, a first champion and two windows that it scored."""
    folder = tiny.make_project(tmp_path_factory.mktemp("segmented") / "project")
    opened = declare(open_project(folder, fresh_home), SEGMENTS)
    opened.turn(*range(9))
    return opened


def test_one_thing_after_another(segmented: Played) -> None:
    """A history costs half a minute, so that the steps share one."""
    played = segmented
    segments_are_profiled_and_judged(played)
    played = a_window_that_never_landed_is_named(played)
    played = a_changed_policy_takes_effect_at_once(played)
    played = a_trailing_reference_ends_before_the_windows_that_decide(played)
    a_fixed_reference_is_the_declared_range(played)


def metadata(played: Played, number: int) -> dict[str, Any]:
    """Return the values that Dagster's UI shows of a window."""
    wanted = dg.AssetRecordsFilter(
        asset_key=dg.AssetKey([tiny.MODEL, "drift_profile"]),
        asset_partitions=[tiny.window(number)],
    )
    (record,) = played.instance.fetch_materializations(wanted, limit=1).records
    materialization = record.asset_materialization
    assert materialization is not None
    return {name: value.value for name, value in materialization.metadata.items()}


def pictures(played: Played, number: int) -> dict[str, bytes]:
    """Return the pictures among them, as PNG."""
    texts = {name: str(value) for name, value in metadata(played, number).items()}
    return {
        name: base64.b64decode(text.split("base64,")[1].rstrip(")"))
        for name, text in texts.items()
        if "data:image/png;base64," in text
    }


def segments_are_profiled_and_judged(played: Played) -> None:
    # given windows before the first champion, and the first that it scored
    first, row = verdict(played, 0), verdict(played, 8)
    assert first.verdict == "insufficient"
    assert row.champion == 1
    # then both have profiles of parts of their rows: of the two largest, and of the others as one
    for number, judged in ((0, first), (8, row)):
        parts = played.store.latest(kinds.Segment, model=tiny.MODEL, window=tiny.window(number))
        assert len(parts) == 3
        found = [Profile.from_bytes(played.store.blob(part.profile)).rows for part in parts]
        assert found == [part.rows for part in parts]
        assert sum(found) == judged.rows == 300
        named = {part.segment: part.profile for part in parts}
        assert judged.detail["segment_profiles"] == named
    # and those that have a reference are judged, each by its own windows
    judged_parts = row.detail["segments"]
    assert len(judged_parts) == 3
    assert {part["verdict"] for part in judged_parts.values()} <= {"stable", "warning"}
    kept = {part.segment: part for part in parts if part.segment in judged_parts}
    assert len(kept) >= 2
    assert all(part.score is not None for part in kept.values())
    # and the worst are drawn in full, and figures given that Dagster draws by window
    assert not pictures(played, 0)
    assert [picture[:4] for picture in pictures(played, 8).values()] == [b"\x89PNG"]
    figures = {name for name, value in metadata(played, 8).items() if isinstance(value, float)}
    of_each = {f"distance of {name}" for name in ("amount", "other", "colour")}
    assert {"drift_score", "limit", *of_each} <= figures


def a_window_that_never_landed_is_named(played: Played) -> Played:
    played.turn(10)
    row = verdict(played, 10)
    assert f"1 before it doesn't count: {tiny.window(9)} never landed" in row.sentence
    assert row.detail["unjudged"] == {tiny.window(9): "never landed"}
    return played


def a_changed_policy_takes_effect_at_once(played: Played) -> Played:
    # given another policy, and no promotion since
    before = verdict(played, 10)
    played = declare(played, "leave_out: [amount], false_alarms_per_year: 12")
    played.turn(11)
    row = verdict(played, 11)
    # then the next window is judged by it, and says that those before were not
    assert row.champion == before.champion
    assert row.policy != before.policy
    kept = DriftPolicy.model_validate_json(played.store.blob(row.policy))
    assert (kept.leave_out, kept.false_alarms_per_year) == (["amount"], 12)
    lines = played.store.latest(kinds.Distance, model=tiny.MODEL, window=tiny.window(11))
    assert next(line.share for line in lines if line.feature == "amount") == 0
    assert row.detail["unjudged"][tiny.window(10)] == "was judged by another policy"
    # and the policy of before can be looked up too
    assert json.loads(played.store.blob(before.policy))["segments"] == ["colour"]
    return played


def a_trailing_reference_ends_before_the_windows_that_decide(played: Played) -> Played:
    played = declare(played, f"reference: trailing, reference_windows: 4, {SEGMENTS}")
    played.turn(12)
    row = verdict(played, 12)
    # 9 never landed; 10 and 11 decide together with 12
    assert list(row.detail["reference_windows"]) == [tiny.window(n) for n in (5, 6, 7, 8)]
    assert row.reference is None
    assert row.detail["m"] == 4
    # those of before the champion have no scores: there is nothing to compare its own with
    lines = played.store.latest(kinds.Distance, model=tiny.MODEL, window=tiny.window(12))
    assert {line.feature for line in lines} == {"amount", "other", "colour"}
    # the segments were profiled before, so that they have a reference at once
    assert len(row.detail["segments"]) == 3
    assert any(part["verdict"] != "insufficient" for part in row.detail["segments"].values())
    return played


def a_fixed_reference_is_the_declared_range(played: Played) -> None:
    first, last = tiny.window(2), tiny.window(8)
    played = declare(
        played, f'reference: fixed, reference_from: "{first}", reference_until: "{last}"'
    )
    played.turn(13)
    row = verdict(played, 13)
    assert list(row.detail["reference_windows"]) == [tiny.window(n) for n in range(2, 9)]
    assert row.exceeds  # the history drifts from its tenth window on
    # a window of the range, judged again, is no part of what it is compared with
    done = played.materialize("ingest", "drift_profile", **{"dagster/partition": last})
    assert done.success
    assert verdict(played, 8).sentence == (
        f"insufficient: the declared reference ends with {last}: later windows are judged"
    )


def test_a_feature_that_is_none_is_refused_by_name(promoted: Played) -> None:
    declared = promoted.player.declaration
    drift = declared.drift.model_copy(update={"leave_out": ["amuont"]})
    with pytest.raises(DeclarationError, match="no feature `amuont`; did you mean `amount`"):
        build(declared.model_copy(update={"drift": drift}))
