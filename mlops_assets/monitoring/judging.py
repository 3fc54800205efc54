"""What a window is judged by: the declared policy, its reference, and what was found before it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
from mlops_assets.drift.past import COLUMNS, Finding, finding, past_of, read_finding
from mlops_assets.drift.reference import PREDICTION, windows_of
from mlops_assets.drift.segments import Segments, by_segment, largest
from mlops_assets.errors import ProfileError
from mlops_assets.learning.training import FittedModel
from mlops_assets.learning.training_set import WINDOW
from mlops_assets.monitoring.retention import merged_into
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Entry
from mlops_assets.sketches.profile import Profile, profile, profile_segments

Row = Mapping[str, Any]


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
class Bench:
    """Where the windows of one model are judged."""

    declaration: Declaration
    store: Store

    @property
    def policy(self) -> DriftPolicy:
        """The policy as it is declared now."""
        return DriftPolicy.declared(self.declaration.drift, self.declaration.windows.per_year)

    def keep_reference(self, model: FittedModel, rows: pl.DataFrame) -> str:
        """Keep the reference of a champion that learnt from these rows; return the blob's id."""
        scored = rows.with_columns(model.predict(rows).alias(PREDICTION))
        parts = {
            str(window): part.select(*model.features, PREDICTION)
            for (window,), part in sorted(scored.group_by(WINDOW, maintain_order=True))
        }
        drift = self.declaration.drift
        segments = {
            window: profile_segments(part, drift.segments) if drift.segments else {}
            for window, part in parts.items()
        }
        built = Reference.build(
            {window: profile(part) for window, part in parts.items()},
            model.importance(),
            by_segment(segments, largest(segments, drift.most_segments)),
        )
        return self.store.add_blob(built.to_bytes())

    def judge(self, window: str, taken: Profile, segments: Segments, entry: Entry | None) -> Judged:
        """Judge a window against the reference of the champion that was in force."""
        policy = self.policy
        if entry is None or entry.reference is None:
            reason = "there is no champion yet to compare this window with"
            return Judged(insufficient(window, policy, reason, taken.rows))
        rows: dict[str, Row] = {
            name: row
            for name, row in self.store.newest(
                "verdicts", *COLUMNS, model=self.declaration.name
            ).items()
            if name < window
        }
        past = past_of(policy, rows, window, entry.version)
        try:
            reference, made_of = self.reference(policy, window, entry, rows)
        except ProfileError as error:
            said = insufficient(window, policy, str(error), taken.rows)
            return Judged(said, past=past.digest)
        findings = {name: self.finding(rows[name]) for name in past.windows}
        verdict = judge(
            reference,
            window,
            taken,
            policy,
            earlier=[Earlier(*findings[name][0]) for name, _ in past.counted],
            unjudged=self.unjudged(window, entry, [rows[name] for name, _ in past.counted], rows),
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
        blob = None if made_of else entry.reference
        return Judged(verdict, blob, made_of, reference, past.digest)

    def finding(self, row: Row) -> Finding:
        """Return what was found of an earlier window; of older rows it stands in their detail."""
        if row["finding"]:
            return read_finding(row["finding"])
        detail = self._detail(row["window"])
        judged = {
            name: (bool(part["exceeds"]), bool(part["prediction_exceeds"]))
            for name, part in detail["segments"].items()
            if part["verdict"] != "insufficient"
        }
        return (bool(row["exceeds"]), bool(detail["prediction_exceeds"])), judged

    def reference(
        self, policy: DriftPolicy, window: str, entry: Entry, rows: Mapping[str, Row]
    ) -> tuple[Reference, dict[str, str]]:
        """Return the declared reference, and of which profiles it is made if not the champion's own.

        A window counts only if it has all the features that the champion looks at. Their scores
        are compared where this champion gave all of them.

        Raises:
            ProfileError: there is none for this window; says why.

        """
        own = Reference.from_bytes(self.store.blob(str(entry.reference)))
        if policy.reference == "champion":
            return own, {}
        features = set(own.importance)
        profiles = {}
        for name in windows_of(policy, window, list(rows)):
            found = self._profile(name, rows[name]["profile"])
            if found.rows and features <= set(found.columns):
                profiles[name] = found
        if not profiles:
            raise ProfileError(
                "no window of the declared reference has all the features that the champion "
                "looks at; it was profiled before they were declared"
            )
        if all(rows[name]["champion"] == entry.version for name in profiles):
            features.add(PREDICTION)
        parts = self._segment_profiles(policy, [rows[name] for name in profiles], features)
        return (
            Reference.build(_only(profiles, features), own.importance, parts),
            {name: rows[name]["profile"] for name in profiles},
        )

    def unjudged(
        self, window: str, entry: Entry, before: Sequence[Row], rows: Mapping[str, Row]
    ) -> list[tuple[str, str]]:
        """Return the windows after the last that counts for this verdict, each with why."""
        windows = self.declaration.windows
        last = max([entry.window, *(str(row["window"]) for row in before)])
        landed = self.store.newest("batches", "version", model=self.declaration.name)
        found = []
        # a declaration that begins later now knows the champion's windows no more
        one = windows.key(windows.ends(last)) if windows.declares(last) else windows.start
        while one < window:
            if one not in rows:
                why = "landed, and was not judged" if one in landed else "never landed"
            elif rows[one]["verdict"] == "insufficient":
                why = "was insufficient"
            else:
                why = "was judged by another policy"
            found.append((one, why))
            one = windows.key(windows.ends(one))
        return found

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
        (row,) = self.store.latest("verdicts", model=self.declaration.name, window=window)
        return dict(row["detail"])

    def _segment_profiles(
        self, policy: DriftPolicy, judged: Sequence[Row], features: set[str]
    ) -> dict[str, dict[str, Profile]]:
        if not policy.segments:
            return {}
        # verdicts from before there were segments name none
        named = {
            row["window"]: self._detail(row["window"]).get("segment_profiles") for row in judged
        }
        profiles = {
            window: {name: self._profile(window, blob) for name, blob in parts.items()}
            for window, parts in named.items()
            if parts
        }
        kept = largest(profiles, policy.most_segments)
        return {name: _only(p, features) for name, p in by_segment(profiles, kept).items()}


def _only(profiles: Mapping[str, Profile], names: set[str]) -> dict[str, Profile]:
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
    lines = [{**common, **dataclasses.asdict(line)} for line in judged.verdict.features]
    store.add_many("distances", lines)
    rows = []
    for name, part in parts.items():
        verdict = judged.verdict.segments.get(name)
        rows.append(
            {
                **common,
                "segment": name,
                "profile": store.add_blob(part.to_bytes()),
                "rows": part.rows,
                "score": verdict and verdict.score,
                "score_limit": verdict and verdict.limit,
                "exceeds": bool(verdict and verdict.exceeds),
                "verdict": verdict.verdict if verdict else "insufficient",
                "sentence": verdict.sentence if verdict else "judged as one of (others)",
                "policy": judged.verdict.policy,
                "warnings": list(verdict.warnings) if verdict else [],
            }
        )
    store.add_many("segments", rows)
    return {row["segment"]: row["profile"] for row in rows}


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
        "verdicts",
        {
            **common,
            "batch_version": batch_version,
            "profile": blob,
            "reference": judged.reference,
            "rows": verdict.rows,
            "score": verdict.score,
            "score_limit": verdict.limit,
            "exceeds": verdict.exceeds,
            "verdict": verdict.verdict,
            "sentence": verdict.sentence,
            "policy": verdict.policy,
            "detail": detail,
            "finding": finding(verdict),
            "past": judged.past,
        },
    )
