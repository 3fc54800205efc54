"""Old profiles merged down: those of a month's windows into one of the whole month.

The merged profile and the record of what it holds are on the disk before anything is removed. One
killed in between leaves both, and the next goes on from there. Nothing can be taken out of a sum:
a window that was corrected after its month was merged keeps a profile of its own.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from mlops_assets.declaration import Declaration
from mlops_assets.declaration.sections import Drift
from mlops_assets.errors import StoreError
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.sketches.profile import Profile

WHOLE = ""  # among segments: all rows
_DRAFTS = timedelta(hours=1)  # no living writer takes that long for one file
_PROFILES = """
SELECT "window", segment, profile, parts
FROM (
    SELECT
        "window",
        '' AS segment,
        profile,
        json_extract(detail, '$.segment_profiles')::VARCHAR AS parts,
        recorded_at,
        record_id
    FROM verdicts WHERE model = ?
    UNION ALL
    SELECT "window", segment, profile, NULL, recorded_at, record_id
    FROM segments WHERE model = ?
)
ORDER BY recorded_at, record_id
"""
_REFERENCES = """
SELECT DISTINCT
    "window",
    unnest(json_keys(detail, '$.reference_windows')) AS made_of,
    unnest(json_extract_string(detail, '$.reference_windows.*')) AS profile
FROM verdicts WHERE model = ?
"""


@dataclass(frozen=True)
class Month:
    """A month that was merged: how many segments, and which windows it holds now."""

    period: str
    windows: tuple[str, ...]
    rows: int
    segments: int


@dataclass(frozen=True)
class Compaction:
    """What was merged and removed; ``kept`` are old windows left as they are, each with why.

    ``before`` is the first month too young to be merged.
    """

    before: str | None = None
    merged: tuple[Month, ...] = ()
    kept: Mapping[str, str] = field(default_factory=dict)
    removed: int = 0
    size: int = 0


def compact(
    store: Store, declaration: Declaration, grace: timedelta, *, rehearse: bool = False
) -> Compaction:
    """Merge what the declared retention says of a model, and remove what is merged.

    A month is merged once all of it is older than the retention, by the time of the data. Profiles
    stay that were added within ``grace``, that the declared reference is made of, or that a verdict
    was judged by which is not merged itself. With ``rehearse``, nothing is changed. Again, it goes
    on with what a killed one left, and else changes nothing.

    Raises:
        StoreBusyError: another process compacts this store.
        StoreError: a merged profile is damaged or lost.

    """
    if not store.root.exists():
        return Compaction()
    with store.compacting():
        if not rehearse:
            store.remove_drafts(max(grace, _DRAFTS).total_seconds())
        return _compacted(store, declaration, grace, rehearse=rehearse)


def is_due(declaration: Declaration, window: str) -> bool:
    """Whether a window is the first of a month: when it comes, there may be more to merge."""
    windows = declaration.windows
    return _period(windows.key(windows.begins(window) - timedelta(seconds=1))) != _period(window)


def merged_into(store: Store, model: str, window: str) -> str | None:
    """Return the month into whose profile that of a window was merged, if it was."""
    period = _period(window)
    rows = store.latest(kinds.MergedProfile, model=model, period=period, segment=WHOLE)
    return period if any(window in row.windows for row in rows) else None


@dataclass
class _History:
    """The profiles of a model: by window those of the newest verdict, and those it replaced.

    ``months`` are the rows of what was merged, by month and segment.
    """

    newest: dict[str, dict[str, str]]
    replaced: dict[str, list[str]]
    months: dict[tuple[str, str], kinds.MergedProfile]

    @classmethod
    def read(cls, store: Store, model: str) -> _History:
        every: dict[str, list[tuple[str, str, str | None]]] = {}
        for window, *rest in store.query(_PROFILES, [model, model]).iter_rows():
            every.setdefault(window, []).append((rest[0], rest[1], rest[2]))
        newest: dict[str, dict[str, str]] = {}
        replaced: dict[str, list[str]] = {}
        for window, rows in every.items():
            verdicts = [row for row in rows if row[0] == WHOLE]
            if not verdicts:
                continue  # segments are recorded before their verdict
            _, whole, parts = verdicts[-1]
            now = {WHOLE: whole, **json.loads(parts or "{}")}
            newest[window] = now
            replaced[window] = sorted({row[1] for row in rows} - set(now.values()))
        months: dict[tuple[str, str], kinds.MergedProfile] = {
            (row.period, row.segment): row for row in store.latest(kinds.MergedProfile, model=model)
        }
        return cls(newest, replaced, months)

    def held(self, window: str) -> str | None:
        """Return the profile of all its rows with which a window was merged, if it was."""
        month = self.months.get((_period(window), WHOLE))
        return month.windows[window][0] if month and window in month.windows else None

    def is_merged(self, window: str) -> bool:
        """Whether its month holds what the newest verdict is of."""
        return self.held(window) == self.newest[window][WHOLE]

    def removable(self) -> Iterator[str]:
        """Yield the profiles of merged windows, there or not."""
        for row in self.months.values():
            for window, profiles in row.windows.items():
                if window not in self.newest or self.is_merged(window):
                    yield from profiles

    def needed(self, store: Store, model: str, protected: Collection[str] = ()) -> Iterator[str]:
        """Yield the profiles that have to stay: of ``protected`` windows in any case."""
        for window, parts in self.newest.items():
            if window in protected or not self.is_merged(window):
                yield from parts.values()
            if not self.is_merged(window):
                yield from self.replaced[window]
        for row in self.months.values():
            yield row.profile
        for window, made_of, profile in store.query(_REFERENCES, [model]).iter_rows():
            if not self.is_merged(window):
                yield profile
                yield from self.newest.get(made_of, {}).values()  # its segments are compared too


def _compacted(
    store: Store, declaration: Declaration, grace: timedelta, *, rehearse: bool
) -> Compaction:
    model = declaration.name
    history = _History.read(store, model)
    before = _before(declaration, history.newest)
    if before is None:
        return Compaction()
    protected = _reference(declaration.drift, sorted(history.newest))
    months, kept = [], {}
    for period, windows in _old(history, before).items():
        new = []
        for window in windows:
            if window in protected:
                kept[window] = "the declared reference is made of it"
            elif history.held(window):
                kept[window] = f"it was profiled again after {period} was merged"
            elif lost := _lost(store, history.newest[window].values()):
                kept[window] = lost
            else:
                new.append(window)
        if new and (len(new) > 1 or (period, WHOLE) in history.months):
            rows = _merge(store, model, period, new, history, rehearse=rehearse)
            history.months.update({(period, row.segment): row for row in rows})
            whole = history.months[period, WHOLE]
            months.append(Month(period, tuple(whole.windows), whole.rows, len(rows) - 1))
    needed = set(history.needed(store, model, protected))
    removed = _remove(store, model, history, needed, grace, rehearse=rehearse)
    return Compaction(before, tuple(months), kept, len(removed), sum(removed))


def _merge(
    store: Store,
    model: str,
    period: str,
    new: list[str],
    history: _History,
    *,
    rehearse: bool,
) -> list[kinds.MergedProfile]:
    """Merge windows into their month, and record that; return the rows of the month."""
    rows = []
    for segment in sorted({segment for window in new for segment in history.newest[window]}):
        of_it = [window for window in new if segment in history.newest[window]]
        month = history.months.get((period, segment))
        blobs = [history.newest[window][segment] for window in of_it]
        earlier = [month.profile] if month else []
        merged = Profile.merge(Profile.from_bytes(store.blob(name)) for name in earlier + blobs)
        windows = dict(month.windows) if month else {}
        for window, blob in zip(of_it, blobs, strict=True):
            windows[window] = [blob, *(history.replaced[window] if segment == WHOLE else [])]
        rows.append(
            kinds.MergedProfile(
                model=model,
                period=period,
                segment=segment,
                profile=merged.hash if rehearse else store.add_blob(merged.to_bytes()),
                rows=merged.rows,
                windows=dict(sorted(windows.items())),
            )
        )
    if not rehearse:
        store.add_many(rows)
    return rows


def _remove(
    store: Store,
    model: str,
    history: _History,
    needed: set[str],
    grace: timedelta,
    *,
    rehearse: bool,
) -> list[int]:
    """Remove what is merged and needed neither here nor by another model; return the sizes."""
    for (other,) in store.query("SELECT DISTINCT model FROM verdicts").iter_rows():
        if other != model:  # equal rows have equal profiles
            needed |= set(_History.read(store, other).needed(store, other))
    sizes = (
        store.remove(name, grace.total_seconds(), rehearse=rehearse)
        for name in sorted(set(history.removable()) - needed)
    )
    return [size for size in sizes if size is not None]


def _period(window: str) -> str:
    """Return the month in which a window begins."""
    return window[:7]


def _before(declaration: Declaration, known: Collection[str]) -> str | None:
    """Return the month that the retention reaches back to; None where nothing is merged."""
    days, windows = declaration.retention.window_profiles_days, declaration.windows
    newest = max(filter(windows.declares, known), default=None)
    if days is None or newest is None:
        return None
    return f"{windows.ends(newest) - timedelta(days=days):%Y-%m}"


def _reference(drift: Drift, known: list[str]) -> set[str]:
    """Return the windows that the declared reference is made of, now or for the next windows."""
    if drift.reference == "fixed":
        begin, end = str(drift.reference_from), str(drift.reference_until)
        return {window for window in known if begin <= window <= end}
    if drift.reference == "trailing":
        return set(known[-((drift.reference_windows or 0) + drift.of_last) :])
    return set()  # the champion's stands by itself


def _old(history: _History, before: str) -> dict[str, list[str]]:
    """Return the windows that are not merged of each month before that one, oldest first."""
    months: dict[str, list[str]] = {}
    for window in sorted(history.newest):
        if _period(window) < before and not history.is_merged(window):
            months.setdefault(_period(window), []).append(window)
    return months


def _lost(store: Store, profiles: Collection[str]) -> str:
    """Say which of some profiles can't be read; empty where all can."""
    for name in profiles:
        try:
            store.blob(name)
        except StoreError as error:
            return str(error)
    return ""
