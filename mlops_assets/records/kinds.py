"""The kinds of records: what the store holds, and the tables that its index has.

A new kind is one more class in `KINDS`. One whose fields change gets a migration (see `Record`). The
index is rebuilt by itself.

What several kinds have:
    window: the key of a window, as `2013-01-07`.
    champion: the version that was in force; None where none was.
    ..._commit: the repository's commit that was read or written.
    ..._version: the data version of the object that was read.
    policy: the store's id of the policy that was gone by, or its first digits.
    profile, reference, estimator, ..._blob: the id of a blob in the store.
    sentence, reason: for a person.
    meaning: what the figures beside it mean (see `monitoring.meaning`); None in older homes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from mlops_assets.records.record import Record


@dataclass(frozen=True, kw_only=True)
class Batch(Record):
    """A window's batch, once it has landed, was checked and is merged.

    Attributes:
        window: its key.
        version: the data version of its object.
        commit_id: the commit on main that holds it.
        rows: how many it has; 0 where it was withdrawn.

    """

    KIND: ClassVar[str] = "batches"
    KEY: ClassVar[tuple[str, ...]] = ("model", "window")

    window: str
    version: str
    commit_id: str
    rows: int


@dataclass(frozen=True, kw_only=True)
class Labels(Record):
    """A window's labels, once they have landed, were checked and are merged.

    Attributes:
        window: its key.
        version: the data version of their object.
        commit_id: the commit on main that holds them.
        rows: how many there are; 0 where they were withdrawn.
        positives: how many of them are positive; None for other tasks than a binary one.
        unknown: how many name no row of the batch.
        meaning: of the target that was counted.

    """

    KIND: ClassVar[str] = "labels"
    KEY: ClassVar[tuple[str, ...]] = ("model", "window")

    window: str
    version: str
    commit_id: str
    rows: int
    positives: int | None = None
    unknown: int
    meaning: str | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict(Record):
    """What the drift policy says of one window.

    Attributes:
        window: its key.
        batch_version: the batch that was judged.
        champion: whose reference it was judged against.
        profile: of the window's features and scores.
        reference: what it was judged against; None without a champion.
        rows: how many were judged.
        score: the mean over the features of how far they moved, 0 to 1; None where nothing was
            judged by it.
        score_limit: what the score would have to exceed.
        exceeds: whether the window exceeds a limit.
        verdict: `stable`, `warning`, `drifted` or `insufficient`.
        sentence: it, and why.
        policy: that was gone by.
        detail: what explains it: of the limit, the warnings, the segments.
        features_commit: that was read.
        finding: what later verdicts go by of it (see `drift.past`).
        past: of what of earlier verdicts it was made, as a digest.

    """

    KIND: ClassVar[str] = "verdicts"
    KEY: ClassVar[tuple[str, ...]] = ("model", "window")

    window: str
    batch_version: str
    champion: int | None = None
    profile: str
    reference: str | None = None
    rows: int
    score: float | None = None
    score_limit: float | None = None
    exceeds: bool
    verdict: str
    sentence: str
    policy: str
    detail: Mapping[str, Any]
    features_commit: str
    finding: str | None = None
    past: str | None = None


@dataclass(frozen=True, kw_only=True)
class Distance(Record):
    """How far one feature of a window is from the reference.

    Attributes:
        window: its key.
        feature: its name.
        champion: whose reference it is.
        kind: what the distance is: `ks` (Kolmogorov-Smirnov) or `tv` (total variation).
        distance: 0 to 1.
        own_low: the lower end of what the reference's own windows are apart, 0 to 1.
        own_high: the upper end.
        share: its part of the window's score, 0 to 1.
        null_change: by how much the share of rows without a finite value rose, -1 to 1.
        features_commit: that was read.
        psi: the population stability index; None where it has none.
        wasserstein: in the feature's own unit; None for categories.
        cardinality_change: how many times as many distinct values as the reference has.

    """

    KIND: ClassVar[str] = "distances"
    KEY: ClassVar[tuple[str, ...]] = ("model", "window", "feature")

    window: str
    feature: str
    champion: int
    kind: str
    distance: float
    own_low: float
    own_high: float
    share: float
    null_change: float
    features_commit: str
    psi: float | None = None
    wasserstein: float | None = None
    cardinality_change: float | None = None


@dataclass(frozen=True, kw_only=True)
class Segment(Record):
    """What the drift policy says of a segment of one window.

    Attributes:
        window: its key.
        segment: as `carrier=AA`.
        champion: whose reference it was judged against.
        profile: of the segment's features and scores.
        rows: how many it has.
        score: as that of a verdict.
        score_limit: what the score would have to exceed.
        exceeds: whether it exceeds a limit.
        verdict: as that of a window.
        sentence: it, and why.
        policy: that was gone by.
        warnings: sentences.
        features_commit: that was read.

    """

    KIND: ClassVar[str] = "segments"
    KEY: ClassVar[tuple[str, ...]] = ("model", "window", "segment")

    window: str
    segment: str
    champion: int | None = None
    profile: str
    rows: int
    score: float | None = None
    score_limit: float | None = None
    exceeds: bool
    verdict: str
    sentence: str
    policy: str
    warnings: list[str]
    features_commit: str


@dataclass(frozen=True, kw_only=True)
class Performance(Record):
    """What the metric is on a window whose labels are mature.

    Attributes:
        window: its key.
        champion: whose predictions were measured.
        metric: its name.
        value: in the metric's unit; None where it is undefined on these labels.
        rows: how many have a label.
        base_rate: the share of positives among them, 0 to 1, or their mean target; None without any.
        predictions_version: that was read.
        labels_version: that was read.
        batch_version: that was scored.
        predictions_commit: that was read.
        labels_commit: that was read.
        meaning: of the metric.

    """

    KIND: ClassVar[str] = "performance"
    KEY: ClassVar[tuple[str, ...]] = ("model", "window")

    window: str
    champion: int
    metric: str
    value: float | None = None
    rows: int
    base_rate: float | None = None
    predictions_version: str
    labels_version: str
    batch_version: str
    predictions_commit: str
    labels_commit: str
    meaning: str | None = None


@dataclass(frozen=True, kw_only=True)
class Staleness(Record):
    """What a retraining would have earned on a window, by two twins, and in all so far.

    Total, rate and due are of the windows since the champion was promoted up to this one.

    Attributes:
        window: its key.
        champion: that served it.
        since: the window in which the champion was promoted.
        measure: the unit of what is gained, as `auc` or `money`.
        months: how long the window is.
        fresh: value of a twin that learnt from all that was known when the window began; None where
            the reason says why.
        served: value of a twin that learnt from what the champion did.
        gain: fresh less served, the more the better; None as before.
        reason: why nothing was judged; empty where something was.
        rows: how many were compared.
        cost: of a retraining, in gain x months; None where nothing is known that it is a share of.
        total: sum of gain x months, signed.
        rate: gain of the latest windows, for a month.
        due: whether a retraining is worth its cost.
        sentence: it, and why.
        policy: that was gone by.
        fresh_twin: twelve or more hex digits that say what it learnt and how.
        champion_twin: the same of the champion's twin.
        champion_twin_blob: that twin, to be used again.
        batch_version: that was scored.
        labels_version: that was read.
        features_commit: that was read.
        labels_commit: that was read.
        known_commit: what was known when the window began.
        meaning: of the measure.

    """

    KIND: ClassVar[str] = "staleness"
    KEY: ClassVar[tuple[str, ...]] = ("model", "window")

    window: str
    champion: int
    since: str
    measure: str
    months: float
    fresh: float | None = None
    served: float | None = None
    gain: float | None = None
    reason: str
    rows: int
    cost: float | None = None
    total: float
    rate: float
    due: bool
    sentence: str
    policy: str
    fresh_twin: str | None = None
    champion_twin: str | None = None
    champion_twin_blob: str | None = None
    batch_version: str
    labels_version: str
    features_commit: str
    labels_commit: str
    known_commit: str | None = None
    meaning: str | None = None


@dataclass(frozen=True, kw_only=True)
class Estimator(Record):
    """What estimates a version's metric before labels are mature, by the newest window it is made of.

    Attributes:
        champion: the version.
        window: the newest of those that it is made of.
        method: as `cbpe`.
        metric: that it estimates.
        estimator: None where the reason says why there is none.
        reason: empty where there is one.
        rows: how many it is made of.
        made_of: the windows.
        meaning: of the metric.

    """

    KIND: ClassVar[str] = "estimators"
    KEY: ClassVar[tuple[str, ...]] = ("model", "champion", "window")

    champion: int
    window: str
    method: str
    metric: str
    estimator: str | None = None
    reason: str
    rows: int
    made_of: list[str]
    meaning: str | None = None


@dataclass(frozen=True, kw_only=True)
class Estimate(Record):
    """What the metric of a window will be, estimated before its labels are mature.

    Attributes:
        window: its key.
        champion: whose predictions are estimated.
        method: as `cbpe`.
        metric: its name.
        value: in the metric's unit; None where the reason says why there is none.
        reason: empty where there is one.
        rows: how many were scored.
        estimator: that was used.
        made_of: the windows that the estimator is made of.
        predictions_version: that was read.
        measured: what the metric was in the end; None until the labels are mature.
        error: value less measured; None as before.
        meaning: of the metric.

    """

    KIND: ClassVar[str] = "estimates"
    KEY: ClassVar[tuple[str, ...]] = ("model", "window")

    window: str
    champion: int
    method: str
    metric: str
    value: float | None = None
    reason: str
    rows: int
    estimator: str | None = None
    made_of: list[str]
    predictions_version: str
    measured: float | None = None
    error: float | None = None
    meaning: str | None = None


@dataclass(frozen=True, kw_only=True)
class Meaning(Record):
    """What the figures of a model mean; another where the declaration gave them another meaning.

    Attributes:
        parts: as target, task, metric or windows, each with what it is.

    """

    KIND: ClassVar[str] = "meanings"
    KEY: ClassVar[tuple[str, ...]] = ("model",)

    parts: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Decision(Record):
    """What was done about evidence, and why.

    Attributes:
        cause: its key, as `drift:2013-01-07`.
        window: the newest that had landed.
        trigger: what the evidence is of.
        decision: `retrain`, `held_back` or `noted`.
        code: why, as one word for programs.
        reason: why, for a person.
        champion: that was in force.
        decided_at: the clock of the data, ISO 8601.

    """

    KIND: ClassVar[str] = "decisions"
    KEY: ClassVar[tuple[str, ...]] = ("model", "cause")

    cause: str
    window: str
    trigger: str
    decision: str
    code: str
    reason: str
    champion: int | None = None
    decided_at: str


@dataclass(frozen=True, kw_only=True)
class Outcome(Record):
    """What came of a retraining.

    Attributes:
        cause: of the decision.
        window: the turn in which it ended.
        promoted: whether the challenger serves by it.
        version: of the challenger; None where there was none.
        reason: why.
        run_id: Dagster's; empty where it is not known.
        minutes: how long it took, wall clock; None where it is not known.

    """

    KIND: ClassVar[str] = "outcomes"
    KEY: ClassVar[tuple[str, ...]] = ("model", "cause")

    cause: str
    window: str
    promoted: bool
    version: int | None = None
    reason: str
    run_id: str
    minutes: float | None = None


@dataclass(frozen=True, kw_only=True)
class MergedProfile(Record):
    """A month of windows in one profile, and one more for each segment.

    Attributes:
        period: as `2013-01`.
        segment: as `carrier=AA`; empty for the whole.
        profile: the one that stands for all of them.
        rows: how many it is of.
        windows: the ids of the profiles that stood for each before, first the one that was merged.

    """

    KIND: ClassVar[str] = "merged_profiles"
    KEY: ClassVar[tuple[str, ...]] = ("model", "period", "segment")

    period: str
    segment: str
    profile: str
    rows: int
    windows: Mapping[str, list[str]]


@dataclass(frozen=True, kw_only=True)
class Control(Record):
    """What a person asked for; every request counts, so its moment is part of the key.

    Attributes:
        requested_at: the wall clock, ISO 8601.
        action: `pause`, `resume`, `retrain` or `retry`.
        reason: the person's.
        by: who.

    """

    KIND: ClassVar[str] = "controls"
    KEY: ClassVar[tuple[str, ...]] = ("model", "requested_at", "action")

    requested_at: str
    action: str
    reason: str
    by: str


#: every kind of record, by what files and the index call it
KINDS: Mapping[str, type[Record]] = {
    kind.KIND: kind
    for kind in (
        Batch,
        Labels,
        Verdict,
        Distance,
        Segment,
        Performance,
        Staleness,
        Estimator,
        Estimate,
        Meaning,
        Decision,
        Outcome,
        MergedProfile,
        Control,
    )
}
