"""A reference that would need profiles that the retention merged says so, and none is made up."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from mlops_assets.drift.past import Row
from mlops_assets.drift.reference import Reference
from mlops_assets.errors import ProfileError, StoreError
from mlops_assets.monitoring.judging import RecordedWindows, reference_for
from mlops_assets.monitoring.retention import compact
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Entry
from mlops_assets.sketches.profile import Profile, profile
from tests.drift.weeks import IMPORTANCE
from tests.monitoring.test_retention import data, declared, land, own, week


def test_a_window_merged_away_is_named_and_can_be_had_again(tmp_path: Path) -> None:
    # given old windows that were merged, and then another reference declared
    store = Store(tmp_path / "store")
    for number in range(16):
        land(store, number)
    champion = Reference.build({week(9): profile(data(9))}, IMPORTANCE)
    entry = Entry.model_construct(
        version=1, window=week(9), reference=store.add_blob(champion.to_bytes())
    )
    compact(store, declared(), timedelta(0))
    recorded = RecordedWindows(
        declared(reference="fixed", reference_from=week(2), reference_until=week(3)), store
    )
    rows = store.newest(kinds.Verdict, Row, model="m")
    # when a window would be judged by it
    with pytest.raises(ProfileError, match=f"{week(2)}.* was merged into that of 2024-01 by the"):
        reference_for(recorded.policy, recorded, recorded.scorer(entry), week(15), rows)
    # then materializing does what the sentence says: the profile is there again
    for number in (2, 3):
        assert store.add_blob(profile(data(number)).to_bytes()) == own(store, number)
    found, made_of = reference_for(
        recorded.policy, recorded, recorded.scorer(entry), week(15), rows
    )
    assert found.windows == (week(2), week(3))
    assert made_of == {week(number): own(store, number) for number in (2, 3)}
    # what was lost otherwise is no such thing
    lost = own(store, 12)
    (store.root / "blobs" / lost[:2] / lost).unlink()
    trailing = RecordedWindows(declared(reference="trailing", reference_windows=2), store)
    with pytest.raises(StoreError, match="no blob"):
        reference_for(trailing.policy, trailing, trailing.scorer(entry), week(15), rows)
    assert Profile.from_bytes(store.blob(own(store, 11))).rows == data(11).height
