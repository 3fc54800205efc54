"""Drift verdicts for the backtest: each window profiled once, each reference built once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mlops_assets.assets.champion import drift_policy
from mlops_assets.backtest.models import Mark, Models
from mlops_assets.declaration import Declaration
from mlops_assets.profiles.drift import Reference, Verdict, judge
from mlops_assets.profiles.profile import Profile, profile

SCORE = "score"


@dataclass
class Verdicts:
    """Profiles, references and verdicts of one history, shared by all policies."""

    models: Models
    _features: dict[str, Profile] = field(default_factory=dict, repr=False)
    _scored: dict[tuple[Mark, str], Profile] = field(default_factory=dict, repr=False)
    _references: dict[tuple[Mark, str], Reference] = field(default_factory=dict, repr=False)

    def of(
        self, mark: Mark, declaration: Declaration, window: str, earlier: Sequence[bool]
    ) -> Verdict:
        """Judge a window against a champion's reference; see `profiles.drift.judge`."""
        reference = self.reference(mark, declaration)
        per_year = declaration.windows.per_year
        return judge(reference, window, self.profile(mark, window), earlier, per_year)

    def reference(self, mark: Mark, declaration: Declaration) -> Reference:
        """Return the profile of what a champion was trained on, window by window."""
        policy = drift_policy(declaration)
        if (mark, policy.hash) not in self._references:
            profiles = {window: self.profile(mark, window) for window in mark.windows}
            importance = self.models.fitted(mark).importance()
            self._references[mark, policy.hash] = Reference.build(profiles, importance, policy)
        return self._references[mark, policy.hash]

    def profile(self, mark: Mark, window: str) -> Profile:
        """Return a window's profile: its features, and the champion's scores beside them."""
        if (mark, window) not in self._scored:
            if window not in self._features:
                rows = self.models.rows(window).select(self.models.history.features)
                self._features[window] = profile(rows)
            scores = profile(self.models.scores(mark, window).alias(SCORE).to_frame())
            columns = {**self._features[window].columns, **scores.columns}
            self._scored[mark, window] = Profile(columns)
        return self._scored[mark, window]
