"""Judge by twins what a retraining would have earned on a window, and what waiting has cost so far."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl

from mlops_assets.batches.maturity import LandedWindows
from mlops_assets.batches.objects import scan
from mlops_assets.decisions.staleness import (
    Staleness,
    StalenessPolicy,
    TwinDifference,
    default_cost,
    staleness,
)
from mlops_assets.declaration import Declaration
from mlops_assets.errors import (
    FeatureError,
    ObjectNotFoundError,
    RefNotFoundError,
    TrainingError,
)
from mlops_assets.learning.training import FittedModel
from mlops_assets.learning.training_set import TARGET
from mlops_assets.learning.twins import Comparison, compare_twins
from mlops_assets.monitoring.meaning import Series
from mlops_assets.monitoring.measure import kpi, measure
from mlops_assets.monitoring.rows import features_of
from mlops_assets.monitoring.twins import Twins
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Entry


@dataclass(frozen=True)
class TwinComparison:
    """How two twins did on a window, and which they were; None: there is no such twin."""

    comparison: Comparison
    fresh: str | None = None  # fingerprints
    champion: str | None = None
    blob: str | None = None  # of the champion's
    commit: str | None = None  # that holds what the fresh one learnt from


def measure_staleness(
    twins: Twins,
    entries: Sequence[Entry],
    entry: Entry,
    landed: LandedWindows,
    window: str,
    commits: Mapping[str, str],
    warn: Callable[[str], None],
) -> tuple[kinds.Staleness, Staleness]:
    """Compare the twins on a window with mature labels, and record what waiting has cost by then.

    Args:
        twins: of the model.
        entries: of its ledger.
        entry: that was in force when the window landed, with a version.
        landed: which windows landed.
        window: its key.
        commits: from which its features and its labels are read.
        warn: is told what was made again.

    Returns:
        The row as it was recorded, and the sum up to this window.

    """
    declaration, versions, records = twins.declaration, twins.repository, twins.store
    promotion = next(
        one for one in reversed(entries) if one.event == "promoted" and one.version == entry.version
    )
    series = Series.of(declaration, records)
    judged = compare(twins, promotion, window, commits, series.unlike(promotion), warn)
    found = judged.comparison
    compared = compared_so_far(declaration, records, series, entry) | {window: found}
    standing = stand(declaration, landed, entry.window, window, compared.get)
    assert entry.version is not None, "it is a promotion's"
    row = kinds.Staleness(
        model=declaration.name,
        window=window,
        champion=entry.version,
        since=entry.window,
        measure=measure(declaration),
        months=months(declaration),
        fresh=found.fresh,
        served=found.champion,
        gain=found.gain,
        reason=found.reason,
        rows=found.rows,
        policy=policy(declaration).hash,
        fresh_twin=judged.fresh,
        champion_twin=judged.champion,
        champion_twin_blob=judged.blob,
        batch_version=versions.stat(
            commits["features"], declaration.path("batches", window)
        ).checksum,
        labels_version=versions.stat(
            commits["labels"], declaration.path("labels", window)
        ).checksum,
        features_commit=commits["features"],
        labels_commit=commits["labels"],
        known_commit=judged.commit,
        meaning=series.digest("staleness"),
        cost=standing.cost,
        total=standing.total,
        rate=standing.rate,
        due=standing.due,
        sentence=standing.sentence,
    )
    records.add(row)
    return row, standing


def compare(
    twins: Twins,
    promotion: Entry,
    window: str,
    commits: Mapping[str, str],
    unlike: str,
    warn: Callable[[str], None],
) -> TwinComparison:
    """Compare on one window what a retraining before it would have known with the champion.

    No twin stands for a champion that learnt something else: `unlike` says what.
    """
    declaration, store = twins.declaration, twins.store
    keys = declaration.batches.key
    labels = scan(twins.repository, commits["labels"], declaration.path("labels", window))
    rows = (
        features_of(twins.repository, declaration, commits["features"], window, twins.expressions)
        .join(labels.select(*keys, twins.target), on=keys, how="left")
        .collect(engine="streaming")
    )
    if unlike:
        return TwinComparison(not_compared(rows, unlike))
    try:
        known, learnt = twins.known_before(window), twins.known_to(promotion)
        learnt_rows = twins.read_rows(known)
        fresh = twins.fit(learnt_rows)
        marks = twins.fingerprint(known), twins.fingerprint(learnt)
        kept = twins.kept(marks[1], warn)
        if kept is None:
            # one fit serves both where the champion learnt what a retraining would have
            champion = fresh if marks[0] == marks[1] else twins.fit(twins.read_rows(learnt))
            kept = champion, store.add_blob(champion.to_bytes())
    except (TrainingError, FeatureError, RefNotFoundError, ObjectNotFoundError) as error:
        # trying again would end the same: what they need is not there, and never will be
        return TwinComparison(not_compared(rows, f"there are no twins: {error}"))
    comparison = compare_on(declaration, rows, fresh, kept[0], learnt_rows.labelled)
    return TwinComparison(comparison, *marks, kept[1], known.commit)


def compare_on(
    declaration: Declaration,
    rows: pl.DataFrame,
    fresh: FittedModel,
    champion: FittedModel,
    usual_labelled: Sequence[float],
) -> Comparison:
    """Compare two twins on a window's rows, in what is declared; see `compare_twins`."""
    return compare_twins(
        rows,
        fresh,
        champion,
        target=TARGET,
        metric=declaration.metric,
        usual_labelled=usual_labelled,
        kpi=kpi(declaration),
        months=months(declaration),
    )


def not_compared(rows: pl.DataFrame, reason: str) -> Comparison:
    """Return that nothing was compared on a window's rows, and why."""
    return Comparison(None, None, None, int(rows[TARGET].count()), reason)


class Compared(NamedTuple):
    """Of a window's newest comparison."""

    champion: int
    since: str
    measure: str
    meaning: str | None
    fresh: float | None
    served: float | None
    gain: float | None
    rows: int
    reason: str


def compared_so_far(
    declaration: Declaration, store: Store, series: Series, entry: Entry
) -> dict[str, Comparison]:
    """Return by window how the twins did that stood for an entry's champion and a retraining."""
    rows = store.newest(kinds.Staleness, Compared, model=declaration.name)
    return {
        window: Comparison(row.fresh, row.served, row.gain, row.rows, row.reason)
        for window, row in rows.items()
        if (row.champion, row.since) == (entry.version, entry.window)
        and series.holds("staleness", row)
    }


def stand(
    declaration: Declaration,
    landed: LandedWindows,
    since: str,
    until: str,
    compared: Callable[[str], Comparison | None],
) -> Staleness:
    """Sum up the windows that a champion served.

    Args:
        declaration: of the model.
        landed: which windows landed.
        since: the champion serves from the window after this one on.
        until: the last window that counts.
        compared: how the twins did on a window; None where it was not judged.

    Raises:
        DeclarationError: no cost was declared, and none follows from the champion's first value.

    """
    length = months(declaration)
    differences, first = [], None
    for window in landed.batches[bisect_right(landed.batches, since) :]:
        if window > until:
            break
        found = compared(window)
        if found is None:
            why = unjudged(declaration, landed, window)
            differences.append(TwinDifference(window, length, None, why))
            continue
        differences.append(TwinDifference(window, length, found.gain, found.reason))
        if first is None and found.gain is not None:
            first = found.champion
    return staleness(
        differences, cost(declaration, first), measure=measure(declaration).partition(" ")[0]
    )


def policy(declaration: Declaration) -> StalenessPolicy:
    """Return the declared policy."""
    declared = declaration.retraining
    return StalenessPolicy(cost=declared.cost, unit="money" if declared.kpi else "metric")


def cost(declaration: Declaration, first: float | None) -> float | None:
    """Return what a retraining costs; None where that is a share of what was not judged yet."""
    declared = declaration.retraining.cost
    if declared is not None or first is None:
        return declared
    return default_cost(declaration.metric, first)


def months(declaration: Declaration) -> float:
    """Return the length of a window."""
    return 12 / declaration.windows.per_year


def unjudged(declaration: Declaration, landed: LandedWindows, window: str) -> str:
    """Say why a window that landed was not judged."""
    if window in landed.mature:
        return "not measured yet"
    if landed.now is None or declaration.matures(window) > landed.now:
        days = declaration.labels.mature_after_days
        return f"labels are trusted {days:g} days after a window's end"
    return "labels were due and have not landed"
