"""The gates for the backtest: each comparison of models made once, shared by all policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from mlops_assets.backtest.models import Mark, Models
from mlops_assets.learning.comparison import agreement, baseline, compare, lesson_of
from mlops_assets.learning.training_set import TARGET
from mlops_assets.words import joined


@dataclass
class Gates:
    """What the gates of the declaration say of challengers; no policy differs in them."""

    models: Models
    _refusals: dict[tuple[Mark, Mark | None], str | None] = field(default_factory=dict, repr=False)
    _strayed: dict[tuple[Mark, tuple[str, ...]], str | None] = field(
        default_factory=dict, repr=False
    )

    def refusal(
        self, challenger: Mark, champion: Mark | None, holdout: Sequence[str]
    ) -> str | None:
        """Say why a challenger is refused on the windows held out, if it is."""
        if (challenger, champion) not in self._refusals:
            self._refusals[challenger, champion] = self._compare(challenger, champion, holdout)
        return self._refusals[challenger, champion]

    def disagreement(
        self, refit: Mark, seeds: Sequence[Mark], windows: Sequence[str], holdout: Sequence[str]
    ) -> str | None:
        """Say how a refit strays from the challenger that the gates saw, if it does.

        Args:
            refit: on everything mature.
            seeds: the challenger, then the same with other seeds.
            windows: whose scores are compared.
            holdout: the windows that the refit learnt and the challenger did not.

        """
        key = (refit, tuple(windows))
        if key not in self._strayed:
            self._strayed[key] = self._agree(refit, seeds, windows, holdout)
        return self._strayed[key]

    def _compare(
        self, challenger: Mark, champion: Mark | None, holdout: Sequence[str]
    ) -> str | None:
        models, limits = self.models, self.models.declaration.gates
        learnt = models.history.rows(challenger.windows)[TARGET]
        rate = float(learnt.cast(pl.Float64).mean() or 0.0)  # type: ignore[arg-type]  # Polars types a mean as anything
        task = models.declaration.task
        naive = {window: baseline(rate, models.rows(window).height, task) for window in holdout}
        opponents = {"baseline": (limits.min_gain_over_baseline, naive)}
        if champion is not None:
            theirs = {window: models.scores(champion, window) for window in holdout}
            opponents["champion"] = (limits.min_gain, theirs)
        failed = []
        for opponent, (least, scores) in opponents.items():
            windows = {
                window: (
                    models.rows(window)[TARGET],
                    models.scores(challenger, window),
                    scores[window],
                )
                for window in holdout
            }
            compared = compare(models.declaration.metric, windows, least, opponent=opponent)
            if not compared.passed:
                failed.append(compared.sentence)
        return joined(failed) or None

    def _agree(
        self, refit: Mark, seeds: Sequence[Mark], windows: Sequence[str], holdout: Sequence[str]
    ) -> str | None:
        limits, task = self.models.declaration.gates, self.models.declaration.task

        def scored(mark: Mark, windows: Sequence[str] = windows) -> pl.Series:
            return pl.concat([self.models.scores(mark, window) for window in windows])

        challenger, *others = (scored(mark) for mark in seeds)
        scores = scored(refit)
        lesson = lesson_of(
            pl.concat([self.models.rows(window)[TARGET] for window in holdout]),
            scored(refit, holdout),
            scored(seeds[0], holdout),
            task,
        )
        by_score, by_rank = limits.score_agreement, limits.rank_agreement
        found = (
            agreement(
                scores, challenger, others, by="score", tolerance=by_score, task=task, lesson=lesson
            ),
            agreement(
                scores, challenger, others, by="rank", tolerance=by_rank, task=task, lesson=lesson
            ),
        )
        return joined(one.sentence for one in found if not one.passed) or None
