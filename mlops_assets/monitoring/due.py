"""What is due of a model: derived from what lies there and what was done of it, never a cursor.

A lost cursor, a killed run or a restored home ends in the same work.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Container, Hashable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from mlops_assets import clock
from mlops_assets.batches.landing import KINDS, MAIN, landed_versions, landings
from mlops_assets.batches.maturity import landed_windows
from mlops_assets.declaration import Declaration
from mlops_assets.declaration.windows import Windows
from mlops_assets.drift.past import Row, outdated
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.errors import ObjectNotFoundError
from mlops_assets.monitoring.meaning import Figures, Meaning, Series
from mlops_assets.records import kinds
from mlops_assets.records.store import Store

if TYPE_CHECKING:
    from mlops_assets.versions import Repository

# performance ends both: estimated once a window is scored, measured once its labels are mature
SCORING = ("batches", "features", "predictions", "drift_profile", "performance")
JUDGING = ("drift_profile",)
MEASURING: tuple[Figures, ...] = ("performance", "staleness")

_LISTED_FOR_ONE = 60  # so many objects are listed in the time in which one is asked for


class Landed(NamedTuple):
    """Of a window's newest labels."""

    version: str


class Measured(NamedTuple):
    """Of a window's newest performance."""

    batch_version: str
    labels_version: str
    metric: str
    meaning: str | None


class Compared(NamedTuple):
    """Of a window's newest comparison of twins."""

    batch_version: str
    labels_version: str
    measure: str
    meaning: str | None


class Estimated(NamedTuple):
    """Of a window's newest estimate."""

    champion: int
    predictions_version: str


@dataclass(frozen=True)
class Work:
    """Stages of one window that are due, and of which data."""

    model: str
    window: str
    stages: tuple[str, ...]
    versions: tuple[str, ...]

    @property
    def kinds(self) -> list[str]:
        """What each of the versions is of, if it landed: a batch comes before its labels."""
        return [stage for stage in self.stages if stage in KINDS]

    @property
    def mark(self) -> str:
        """What makes it this piece of work and no other."""
        text = json.dumps([self.model, self.window, self.stages, self.versions])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Waiting:
    """What landed and can't be worked on yet: for what it waits, and until when."""

    model: str
    window: str
    kind: str  # `batches` or `labels`
    reason: str
    until: datetime | None = None  # None: no moment is known, somebody has to act


@dataclass(frozen=True)
class Agenda:
    """What is due of a model, and what waits; both oldest window first."""

    work: tuple[Work, ...]
    waiting: tuple[Waiting, ...]


def due(
    repository: Repository, store: Store, declaration: Declaration, until: str | None = None
) -> list[Work]:
    """Return what has landed or matured and was not worked on, oldest window first.

    With `until`, windows after it are not looked at.
    """
    return list(agenda(repository, store, declaration, until).work)


def waiting(repository: Repository, store: Store, declaration: Declaration) -> list[Waiting]:
    """Return what landed and can't be worked on yet, oldest window first, each with its reason."""
    return list(agenda(repository, store, declaration).waiting)


def agenda(
    repository: Repository, store: Store, declaration: Declaration, until: str | None = None
) -> Agenda:
    """Return what is due and what waits.

    With `until`, windows after it are not looked at. While neither the repository nor the store
    nor the declaration changes, and no window ends that waits for that, the answer is remembered:
    sensors ask every few seconds.
    """
    model, now, main = declaration.name, clock.now(), repository.resolve(MAIN)
    # commits name their whole content, so that no two repositories can be taken for each other
    mark = (
        until,
        declaration.digest(),
        Meaning.declared(declaration),
        main,
        tuple(repository.branches(f"landing-{model}-")),
        store.mark(),
    )
    known = _remembered.get(model)
    if known is None or known.mark != mark or not known.since <= now < known.until:
        found = _agenda(repository, store, declaration, now, main)
        ends = [one.until for one in found.waiting if one.until is not None]
        kept = Agenda(
            tuple(one for one in found.work if until is None or one.window <= until),
            tuple(one for one in found.waiting if until is None or one.window <= until),
        )
        known = _Remembered(mark, kept, now, min(ends, default=_NEVER))
        _remembered[model] = known
    return known.agenda


@dataclass(frozen=True)
class _Remembered:
    """An answer: of which state it is, and between which moments it holds."""

    mark: Hashable
    agenda: Agenda
    since: datetime
    until: datetime


_NEVER = datetime.max.replace(tzinfo=UTC)
_remembered: dict[str, _Remembered] = {}  # of each model the newest


def _agenda(
    repository: Repository, store: Store, declaration: Declaration, now: datetime, main: str
) -> Agenda:
    model, windows, present = declaration.name, declaration.windows, declaration.windows.key(now)
    landed_on_branches = landings(repository, model)
    refused = {
        (landing.kind, landing.window, landing.version)
        for landing in landed_on_branches
        if landing.refused
    }
    there = {
        kind: {
            window: version
            for window, version in landed_versions(repository, declaration, kind).items()
            if (kind, window, version) not in refused and windows.declares(window)
        }
        for kind in KINDS
    }
    landed = {
        kind: {window: one for window, one in there[kind].items() if window < present}
        for kind in KINDS
    }
    waits = [
        Waiting(model, window, kind, unfinished(windows, window), windows.ends(window))
        for kind in KINDS
        for window in there[kind].keys() - landed[kind].keys()
    ]
    waits += [
        Waiting(
            model,
            one.window,
            one.kind,
            f"{one.window} is none of the declared windows any more; `mlops withdraw {model} "
            f"{one.window}` takes it back",
        )
        for one in landed_on_branches
        if not one.refused and not windows.declares(one.window)
    ]
    judged = store.newest(kinds.Verdict, Row, model=model)
    labelled = store.newest(kinds.Labels, Landed, model=model)
    series = Series.of(declaration, store)
    measured: dict[Figures, Mapping[str, Measured | Compared]] = {
        "performance": store.newest(kinds.Performance, Measured, model=model),
        "staleness": store.newest(kinds.Staleness, Compared, model=model),
    }
    work: dict[str, tuple[list[str], list[str]]] = {}

    def add(window: str, stages: tuple[str, ...], version: str) -> None:
        known = work.setdefault(window, ([], []))
        known[0].extend(stages)
        known[1].append(version)

    for window, version in landed["batches"].items():
        if window not in judged or judged[window].batch_version != version:
            add(window, SCORING, version)
    for window, version in landed["labels"].items():
        # labels that came before their batch wait for it
        if window not in labelled or labelled[window].version != version:
            add(window, ("labels",), version)
    mature = landed_windows(repository, declaration, MAIN).mature
    for window in mature:
        row = judged.get(window)
        if window in work or row is None or row.champion is None:
            continue
        labels = labelled[window].version if window in labelled else ""
        versions = (row.batch_version, labels)
        rows = {stage: measured[stage].get(window) for stage in MEASURING}
        stages = unmeasured(rows, versions, series)
        if stages:  # in another meaning it is another piece of work
            add(window, stages, "/".join((*versions, *map(series.digest, stages))))
    others = landed["batches"].keys() - work.keys()
    for left in left_undone(repository, store, declaration, judged, others, mature, main):
        add(*left)
    return Agenda(
        tuple(
            Work(model, window, tuple(work[window][0]), tuple(work[window][1]))
            for window in sorted(work)
        ),
        tuple(sorted(waits, key=lambda one: (one.window, one.kind))),
    )


def unestimated(
    repository: Repository,
    store: Store,
    declaration: Declaration,
    judged: Mapping[str, Row],
    windows: Iterable[str],
    commit: str,
) -> list[tuple[str, tuple[str, ...], str]]:
    """Return windows whose scores were never estimated, with the stage and the batch.

    Their runs ended after the verdict, by which a batch counts as worked on, and before the
    estimate.
    """
    scored = sorted(window for window in windows if judged[window].champion is not None)
    if not scored:
        return []
    known = store.newest(kinds.Estimate, Estimated, model=declaration.name)
    paths = {window: declaration.path("predictions", window) for window in scored}
    if len(scored) * _LISTED_FOR_ONE < len(judged):
        there = dict(_stats(repository, commit, paths.values()))
    else:
        objects = repository.objects(commit, f"{declaration.name}/predictions/")
        there = {info.path: info.checksum for info in objects}
    found: list[tuple[str, tuple[str, ...], str]] = []
    for window in scored:
        row, scores = known.get(window), there.get(paths[window])
        now = (judged[window].champion, scores)
        if scores and (row is None or (row.champion, row.predictions_version) != now):
            found.append((window, ("performance",), judged[window].batch_version))
    return found


def _stats(repository: Repository, commit: str, paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each of the paths that a commit holds, with its checksum."""
    for path in paths:
        with contextlib.suppress(ObjectNotFoundError):
            yield path, repository.stat(commit, path).checksum


def judged_otherwise(
    store: Store,
    declaration: Declaration,
    judged: Mapping[str, Row],
    windows: Container[str],
) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Yield those of the windows whose verdicts were made of another past, with stage and past.

    One is left as it is where a profile that it would be made of was merged with others of its
    month: it can't be made again.
    """
    policy = DriftPolicy.declared(declaration.drift, declaration.windows.per_year)
    there = cache(store.has_blob)  # neighbours have nearly the same reference
    for window, past, reference in outdated(policy, judged):
        if window in windows and all(there(profile) for _, profile, _ in reference):
            yield window, JUDGING, past.digest


def left_undone(
    repository: Repository,
    store: Store,
    declaration: Declaration,
    judged: Mapping[str, Row],
    windows: AbstractSet[str],
    mature: Iterable[str],
    commit: str,
) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Yield what is due of windows that were judged: stages, and of which data.

    Verdicts that were made of another past, and metrics that were not estimated since a run ended
    before it could.
    """
    yield from judged_otherwise(store, declaration, judged, windows)
    yield from unestimated(repository, store, declaration, judged, windows - set(mature), commit)


def unfinished(windows: Windows, window: str) -> str:
    """Say for what a window waits that is not over yet by the wall clock."""
    return (
        f"{window} is not over: it is taken when it ends, {windows.ends(window):%Y-%m-%d %H:%M %Z}"
    )


def unmeasured(
    rows: Mapping[Figures, Measured | Compared | None], versions: tuple[str, str], series: Series
) -> tuple[Figures, ...]:
    """Return the stages that did not measure this batch and these labels in what is declared now."""
    return tuple(
        stage
        for stage, row in rows.items()
        if row is None
        or (row.batch_version, row.labels_version) != versions
        or not series.holds(stage, row)
    )
