"""Judge a window by the declared policy, its reference, and what was found before it."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import polars as pl

from mlops_assets.declaration import Declaration
from mlops_assets.drift.judgement import (
    DriftPolicy,
    Earlier,
    Reference,
    Verdict,
    insufficient,
    judge,
)
from mlops_assets.drift.past import Finding, Row, finding, past_of, read_finding
from mlops_assets.drift.reference import PREDICTION, windows_of
from mlops_assets.drift.segments import Segments, by_segment, largest
from mlops_assets.errors import ProfileError
from mlops_assets.learning.training import FittedModel
from mlops_assets.learning.training_set import WINDOW
from mlops_assets.monitoring.retention import merged_into
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Entry
from mlops_assets.sketches.profile import Profile, profile, profile_segments


class Landed(NamedTuple):
    """Of a window's newest batch."""

    version: str


@dataclass(frozen=True)
class Judged:
    """A verdict with what it was judged by.

    ``reference`` is a blob's id where the reference is one; ``windows`` are its windows otherwise,
    each with its profile's id.
    """

    verdict: Verdict
    reference: str | None = None
    windows: Mapping[str, str] = field(default_factory=dict)
    compared: Reference | None = None
    past: str | None = None  # digest of what it takes from the windows before


@dataclass(frozen=True)
class Scorer:
    """The champion that scored a window: since which window's end it serves, and its reference."""

    version: int | None
    window: str
    reference: Reference


class EarlierWindows(Protocol):
    """What is known of the windows before one that is judged."""

    @property
    def verdicts(self) -> Mapping[str, Row]:
        """By window its newest verdict."""

    @property
    def landed(self) -> Container[str]:
        """The windows with a batch."""

    def finding(self, row: Row) -> Finding:
        """Return what was found of a window."""

    def profile(self, window: str) -> Profile:
        """Return a window's profile, with the scores that its champion gave.

        Raises:
            ProfileError: it is there no more; says why.

        """

    def reference(
        self, windows: Sequence[str], columns: AbstractSet[str], importance: Mapping[str, float]
    ) -> Reference:
        """Build a reference of some windows' profiles; see `reference_from`."""


def policy_of(declaration: Declaration) -> DriftPolicy:
    """Return the declared policy."""
    return DriftPolicy.declared(declaration.drift, declaration.windows.per_year)


def judge_window(
    declaration: Declaration,
    earlier: EarlierWindows,
    scorer: Scorer,
    window: str,
    taken: Profile,
    segments: Segments,
) -> Judged:
    """Judge a window against the declared reference of the champion that scored it.

    Args:
        declaration: of the model.
        earlier: the windows before.
        scorer: the champion.
        window: its key.
        taken: its profile.
        segments: the profiles of its declared segments.

    """
    policy = policy_of(declaration)
    rows = {name: row for name, row in earlier.verdicts.items() if name < window}
    past = past_of(policy, rows, window, scorer.version)
    try:
        reference, made_of = reference_for(policy, earlier, scorer, window, rows)
    except ProfileError as error:
        return Judged(insufficient(window, policy, str(error), taken.rows), past=past.digest)
    findings = {name: earlier.finding(rows[name]) for name in past.windows}
    counted = [rows[name] for name, _ in past.counted]
    verdict = judge(
        reference,
        window,
        taken,
        policy,
        earlier=[Earlier(*findings[name][0]) for name, _ in past.counted],
        unjudged=unjudged(declaration, earlier, scorer, window, counted, rows),
        segments=segments,
        earlier_of={
            segment: [
                Earlier(*findings[name][1][segment])
                for name in sorted(findings)
                if segment in findings[name][1]
            ]
            for segment in reference.segments
        },
    )
    return Judged(verdict, None, made_of, reference, past.digest)


def reference_for(
    policy: DriftPolicy,
    earlier: EarlierWindows,
    scorer: Scorer,
    window: str,
    rows: Mapping[str, Row],
) -> tuple[Reference, dict[str, str]]:
    """Return the declared reference, and of which profiles it is made if not the champion's own.

    A window counts only if it has all the features that the champion looks at. Their scores
    are compared where this champion gave all of them.

    Raises:
        ProfileError: there is none for this window; says why.

    """
    own = scorer.reference
    if policy.reference == "champion":
        return own, {}
    columns = set(own.importance)
    names = []
    for name in windows_of(policy, window, list(rows)):
        found = earlier.profile(name)
        if found.rows and columns <= set(found.columns):
            names.append(name)
    if not names:
        raise ProfileError(
            "no window of the declared reference has all the features that the champion "
            "looks at; it was profiled before they were declared"
        )
    if all(rows[name].champion == scorer.version for name in names):
        columns.add(PREDICTION)
    made_of = {name: rows[name].profile for name in names}
    return earlier.reference(names, columns, own.importance), made_of


def reference_from(
    profiles: Mapping[str, Profile],
    segments: Mapping[str, Segments],
    most_segments: int,
    importance: Mapping[str, float],
    columns: AbstractSet[str] | None = None,
) -> Reference:
    """Build a reference of some windows' profiles, and of their largest segments' by themselves.

    Of all columns, or of some of them.
    """
    parts = by_segment(segments, largest(segments, most_segments))
    if columns is None:
        return Reference.build(profiles, importance, parts)
    return Reference.build(
        _only(profiles, columns),
        importance,
        {name: _only(part, columns) for name, part in parts.items()},
    )


def unjudged(
    declaration: Declaration,
    earlier: EarlierWindows,
    scorer: Scorer,
    window: str,
    counted: Sequence[Row],
    rows: Mapping[str, Row],
) -> list[tuple[str, str]]:
    """Return the windows after the last that counts for a verdict, each with why."""
    windows = declaration.windows
    last = max([scorer.window, *(row.window for row in counted)])
    found = []
    # a declaration that begins later now knows the champion's windows no more
    one = windows.key(windows.ends(last)) if windows.declares(last) else windows.start
    while one < window:
        if one not in rows:
            why = "landed, and was not judged" if one in earlier.landed else "never landed"
        elif rows[one].verdict == "insufficient":
            why = "was insufficient"
        else:
            why = "was judged by another policy"
        found.append((one, why))
        one = windows.key(windows.ends(one))
    return found


@dataclass(frozen=True)
class RecordedWindows:
    """The windows of one model as the store knows them: judged there, and recorded."""

    declaration: Declaration
    store: Store

    @property
    def policy(self) -> DriftPolicy:
        """The policy as it is declared now."""
        return policy_of(self.declaration)

    @property
    def verdicts(self) -> Mapping[str, Row]:
        """By window its newest verdict."""
        return self.store.newest(kinds.Verdict, Row, model=self.declaration.name)

    @property
    def landed(self) -> Container[str]:
        """The windows with a batch."""
        return self.store.newest(kinds.Batch, Landed, model=self.declaration.name)

    def keep_reference(self, model: FittedModel, rows: pl.DataFrame) -> str:
        """Keep the reference of a champion that learnt from these rows; return the blob's id."""
        scored = rows.with_columns(model.predict(rows).alias(PREDICTION))
        parts = {
            str(window): part.select(*model.features, PREDICTION)
            for (window,), part in sorted(scored.group_by(WINDOW, maintain_order=True))
        }
        drift = self.declaration.drift
        built = reference_from(
            {window: profile(part) for window, part in parts.items()},
            {
                window: profile_segments(part, drift.segments) if drift.segments else {}
                for window, part in parts.items()
            },
            drift.most_segments,
            model.importance(),
        )
        return self.store.add_blob(built.to_bytes())

    def judge(self, window: str, taken: Profile, segments: Segments, entry: Entry | None) -> Judged:
        """Judge a window against the reference of the champion that was in force."""
        if entry is None or entry.reference is None:
            reason = "there is no champion yet to compare this window with"
            return Judged(insufficient(window, self.policy, reason, taken.rows))
        scorer = self.scorer(entry)
        judged = judge_window(self.declaration, self, scorer, window, taken, segments)
        if judged.compared is None or judged.windows:
            return judged
        return dataclasses.replace(judged, reference=entry.reference)

    def scorer(self, entry: Entry) -> Scorer:
        """Return the champion that an entry put in force, with its reference."""
        own = Reference.from_bytes(self.store.blob(str(entry.reference)))
        return Scorer(entry.version, entry.window, own)

    def finding(self, row: Row) -> Finding:
        """Return what was found of an earlier window; of older rows it stands in their detail."""
        if row.finding:
            return read_finding(row.finding)
        detail = self._detail(row.window)
        judged = {
            name: (bool(part["exceeds"]), bool(part["prediction_exceeds"]))
            for name, part in detail["segments"].items()
            if part["verdict"] != "insufficient"
        }
        return (bool(row.exceeds), bool(detail["prediction_exceeds"])), judged

    def profile(self, window: str) -> Profile:
        """Return a window's profile, with the scores that its champion gave.

        Raises:
            ProfileError: it was merged with others of its month.
            StoreError: it is there no more.

        """
        return self._profile(window, self.verdicts[window].profile)

    def reference(
        self, windows: Sequence[str], columns: AbstractSet[str], importance: Mapping[str, float]
    ) -> Reference:
        """Build a reference of some windows' profiles."""
        segments: dict[str, Segments] = {}
        if self.policy.segments:
            for window in windows:
                # verdicts from before there were segments name none
                parts = self._detail(window).get("segment_profiles")
                if parts:
                    segments[window] = {
                        name: self._profile(window, blob) for name, blob in parts.items()
                    }
        profiles = {window: self.profile(window) for window in windows}
        most = self.policy.most_segments
        return reference_from(profiles, segments, most, importance, columns)

    def _profile(self, window: str, blob: str) -> Profile:
        if not self.store.has_blob(blob):
            month = merged_into(self.store, self.declaration.name, window)
            if month:
                raise ProfileError(
                    f"the profile of {window}, which the reference is made of, was merged into "
                    f"that of {month} by the declared retention; materialize drift_profile of "
                    f"{window} to have it again"
                )
        return Profile.from_bytes(self.store.blob(blob))

    def _detail(self, window: str) -> dict[str, Any]:
        (row,) = self.store.latest(kinds.Verdict, model=self.declaration.name, window=window)
        return dict(row.detail)


def _only(profiles: Mapping[str, Profile], names: AbstractSet[str]) -> dict[str, Profile]:
    return {
        window: Profile({name: c for name, c in profile.columns.items() if name in names})
        for window, profile in profiles.items()
    }


def record_parts(
    store: Store, common: dict[str, Any], judged: Judged, parts: Segments
) -> dict[str, str]:
    """Store what a verdict is made of, before itself: whoever sees it finds them.

    Return the profiles of its segments, by name.
    """
    store.add_many(
        [kinds.Distance(**common, **dataclasses.asdict(line)) for line in judged.verdict.features]
    )
    rows = []
    for name, part in parts.items():
        verdict = judged.verdict.segments.get(name)
        rows.append(
            kinds.Segment(
                **common,
                segment=name,
                profile=store.add_blob(part.to_bytes()),
                rows=part.rows,
                score=verdict.score if verdict else None,
                score_limit=verdict.limit if verdict else None,
                exceeds=bool(verdict and verdict.exceeds),
                verdict=verdict.verdict if verdict else "insufficient",
                sentence=verdict.sentence if verdict else "judged as one of (others)",
                policy=judged.verdict.policy,
                warnings=list(verdict.warnings) if verdict else [],
            )
        )
    store.add_many(rows)
    return {row.segment: row.profile for row in rows}


def record(
    store: Store,
    common: dict[str, Any],
    judged: Judged,
    batch_version: str,
    blob: str,
    part_blobs: dict[str, str],
) -> None:
    """Store the verdict."""
    verdict = judged.verdict
    detail = {
        "k": verdict.k,
        "m": verdict.m,
        "effective_windows": verdict.effective,
        "p_value": verdict.p_value,
        "alarms_per_year": verdict.alarms_per_year,
        "budget_short": verdict.budget_short,
        "prediction_exceeds": verdict.prediction_exceeds,
        "warnings": list(verdict.warnings),
        "unjudged": dict(verdict.unjudged),
        "segments": {
            name: {
                "verdict": part.verdict,
                "exceeds": part.exceeds,
                "prediction_exceeds": part.prediction_exceeds,
            }
            for name, part in verdict.segments.items()
        },
        "reference_windows": dict(judged.windows),
        # those of an earlier verdict on the window, by other parts, don't belong to it
        "segment_profiles": part_blobs,
    }
    store.add(
        kinds.Verdict(
            **common,
            batch_version=batch_version,
            profile=blob,
            reference=judged.reference,
            rows=verdict.rows,
            score=verdict.score,
            score_limit=verdict.limit,
            exceeds=verdict.exceeds,
            verdict=verdict.verdict,
            sentence=verdict.sentence,
            policy=verdict.policy,
            detail=detail,
            finding=finding(verdict),
            past=judged.past,
        )
    )
