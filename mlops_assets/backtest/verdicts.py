"""Drift verdicts for the backtest: each window profiled once, each reference built once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from mlops_assets.backtest.models import Mark, Models
from mlops_assets.declaration import Declaration
from mlops_assets.drift.judgement import (
    DriftPolicy,
    Earlier,
    Reference,
    Verdict,
    insufficient,
    judge,
)
from mlops_assets.drift.reference import PREDICTION, windows_of
from mlops_assets.drift.segments import by_segment, largest
from mlops_assets.errors import ProfileError
from mlops_assets.sketches.profile import Profile, profile, profile_segments


@dataclass
class Judging:
    """What was said of the windows that one champion served, by one policy."""

    mark: Mark
    since: str  # the window after which it was promoted
    earlier: list[Earlier] = field(default_factory=list)
    of_segments: dict[str, list[Earlier]] = field(default_factory=dict)
    unjudged: list[tuple[str, str]] = field(default_factory=list)

    def note(self, verdict: Verdict) -> None:
        """Keep what the next window's verdict has to know of this one."""
        if verdict.verdict == "insufficient":
            self.unjudged.append((verdict.window, "was insufficient"))
            return
        self.unjudged = []
        self.earlier.append(Earlier(verdict.exceeds, verdict.prediction_exceeds))
        for name, part in verdict.segments.items():
            if part.verdict != "insufficient":
                said = Earlier(part.exceeds, part.prediction_exceeds)
                self.of_segments.setdefault(name, []).append(said)


@dataclass
class Verdicts:
    """Profiles, references and verdicts of one history, shared by all policies."""

    models: Models
    _features: dict[str, Profile] = field(default_factory=dict, repr=False)
    _scored: dict[tuple[Mark, str], Profile] = field(default_factory=dict, repr=False)
    _parts: dict[tuple[Mark, str, tuple[str, ...]], Mapping[str, Profile]] = field(
        default_factory=dict, repr=False
    )
    _references: dict[tuple[object, ...], Reference] = field(default_factory=dict, repr=False)

    def of(self, judging: Judging, declaration: Declaration, window: str) -> Verdict:
        """Judge a window as production does; see `drift.judgement.judge`."""
        policy = DriftPolicy.declared(declaration.drift, declaration.windows.per_year)
        try:
            reference = self.reference(judging, policy, window)
        except ProfileError as error:
            return insufficient(window, policy, str(error), self.models.rows(window).height)
        verdict = judge(
            reference,
            window,
            self.profile(judging.mark, window),
            policy,
            earlier=judging.earlier,
            unjudged=judging.unjudged,
            segments=self.segments(judging.mark, window, policy),
            earlier_of=judging.of_segments,
        )
        judging.note(verdict)
        return verdict

    def reference(self, judging: Judging, policy: DriftPolicy, window: str) -> Reference:
        """Return the declared reference for one window.

        Raises:
            ProfileError: there is none for this window; says why.

        """
        mark = judging.mark
        windows: Sequence[str] = mark.windows
        if policy.reference != "champion":
            before = [one for one in self.models.history.windows if one < window]
            windows = windows_of(policy, window, before)
        key = (mark, tuple(windows), tuple(policy.segments), policy.most_segments)
        if key not in self._references:
            profiles = {one: self.profile(mark, one) for one in windows}
            if policy.reference != "champion" and min(windows) <= judging.since:
                # another one's scores, or nobody's, stood beside those windows
                profiles = {one: _without_scores(found) for one, found in profiles.items()}
            parts = {one: self.segments(mark, one, policy) for one in windows}
            self._references[key] = Reference.build(
                profiles,
                self.models.fitted(mark).importance(),
                by_segment(parts, largest(parts, policy.most_segments)),
            )
        return self._references[key]

    def profile(self, mark: Mark, window: str) -> Profile:
        """Return a window's profile: its features, and the champion's scores beside them."""
        if (mark, window) not in self._scored:
            if window not in self._features:
                rows = self.models.rows(window).select(self.models.history.features)
                self._features[window] = profile(rows)
            scores = profile(self.models.scores(mark, window).alias(PREDICTION).to_frame())
            columns = {**self._features[window].columns, **scores.columns}
            self._scored[mark, window] = Profile(columns)
        return self._scored[mark, window]

    def segments(self, mark: Mark, window: str, policy: DriftPolicy) -> Mapping[str, Profile]:
        """Return the profiles of the declared segments; none are declared by most policies."""
        by = tuple(policy.segments)
        if not by:
            return {}
        if (mark, window, by) not in self._parts:
            rows = self.models.rows(window).select(
                *self.models.history.features,
                pl.Series(PREDICTION, self.models.scores(mark, window)),
            )
            self._parts[mark, window, by] = profile_segments(rows, by)
        return self._parts[mark, window, by]


def _without_scores(found: Profile) -> Profile:
    return Profile({name: one for name, one in found.columns.items() if name != PREDICTION})
