"""Drift verdicts for the backtest: each window profiled once, each reference built once."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import polars as pl

from mlops_assets.backtest.models import Mark, Models
from mlops_assets.declaration import Declaration
from mlops_assets.drift.judgement import Reference, Verdict
from mlops_assets.drift.past import Finding, Row, finding, read_finding
from mlops_assets.drift.reference import PREDICTION
from mlops_assets.monitoring.judging import Scorer, judge_window, policy_of, reference_from
from mlops_assets.sketches.profile import Profile, profile, profile_segments


@dataclass
class Profiles:
    """Profiles and references of one history, shared by all policies."""

    models: Models
    _features: dict[str, Profile] = field(default_factory=dict, repr=False)
    _scored: dict[tuple[Mark, str], Profile] = field(default_factory=dict, repr=False)
    _parts: dict[tuple[Mark, str, tuple[str, ...]], Mapping[str, Profile]] = field(
        default_factory=dict, repr=False
    )
    _references: dict[tuple[object, ...], Reference] = field(default_factory=dict, repr=False)

    def reference(
        self,
        declaration: Declaration,
        mark: Mark,
        windows: Sequence[str],
        columns: AbstractSet[str] | None = None,
    ) -> Reference:
        """Return a champion's reference made of some windows: of all columns, or of some."""
        drift = declaration.drift
        by, some = tuple(drift.segments), None if columns is None else frozenset(columns)
        key = (mark, tuple(windows), by, drift.most_segments, some)
        if key not in self._references:
            self._references[key] = reference_from(
                {one: self.profile(mark, one) for one in windows},
                {one: self.segments(mark, one, by) for one in windows},
                drift.most_segments,
                self.models.fitted(mark).importance(),
                columns,
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

    def segments(self, mark: Mark, window: str, by: tuple[str, ...]) -> Mapping[str, Profile]:
        """Return the profiles of the declared segments; none are declared by most policies."""
        if not by:
            return {}
        if (mark, window, by) not in self._parts:
            rows = self.models.rows(window).select(
                *self.models.history.features,
                pl.Series(PREDICTION, self.models.scores(mark, window)),
            )
            self._parts[mark, window, by] = profile_segments(rows, by)
        return self._parts[mark, window, by]


@dataclass
class JudgedWindows:
    """The windows of a history as one policy judged them: the `EarlierWindows` of the next one.

    Attributes:
        declaration: with the policy's sections.
        profiles: shared by all policies.
        champion: that is in force.
        verdicts: by window, what later ones go by; windows that nobody scored are insufficient.

    """

    declaration: Declaration
    profiles: Profiles
    champion: Mark
    verdicts: dict[str, Row] = field(default_factory=dict)

    @property
    def landed(self) -> Container[str]:
        """The windows with a batch."""
        return self.profiles.models.history.windows

    def judge(self, window: str, version: int, since: str) -> Verdict:
        """Judge a window that the champion, in force after the window `since`, scored."""
        for earlier in self.profiles.models.history.windows:
            if earlier < window and earlier not in self.verdicts:
                self._keep(earlier, None, "insufficient")
        by = tuple(self.declaration.drift.segments)
        own = self.profiles.reference(self.declaration, self.champion, self.champion.windows)
        found = judge_window(
            self.declaration,
            self,
            Scorer(version, since, own),
            window,
            self.profiles.profile(self.champion, window),
            self.profiles.segments(self.champion, window, by),
        ).verdict
        self._keep(window, version, found.verdict, found)
        return found

    def finding(self, row: Row) -> Finding:
        """Return what was found of a window."""
        return read_finding(row.finding or "")

    def profile(self, window: str) -> Profile:
        """Return a window's profile with the scores of the champion that is in force."""
        return self.profiles.profile(self.champion, window)

    def reference(
        self, windows: Sequence[str], columns: AbstractSet[str], importance: Mapping[str, float]
    ) -> Reference:
        """Return a reference of some windows, built once."""
        del importance  # the champion's
        return self.profiles.reference(self.declaration, self.champion, windows, columns)

    def _keep(
        self, window: str, version: int | None, verdict: str, found: Verdict | None = None
    ) -> None:
        self.verdicts[window] = Row(
            window=window,
            batch_version="",  # what landed is what there is
            champion=version,
            policy=policy_of(self.declaration).hash,
            verdict=verdict,
            exceeds=bool(found and found.exceeds),
            finding=finding(found) if found else None,
            profile=window,
            past=None,
        )
