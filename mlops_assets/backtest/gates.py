"""The gates for the backtest: each comparison of models made once, shared by all policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from mlops_assets.backtest.models import Mark, Models
from mlops_assets.learning.evaluation import against, refit_agreements
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
        models = self.models
        learnt = models.history.rows(challenger.windows)[TARGET]
        mean = float(learnt.cast(pl.Float64).mean() or 0.0)  # type: ignore[arg-type]  # Polars types a mean as anything
        truths = {window: models.rows(window)[TARGET] for window in holdout}

        def scored(mark: Mark) -> dict[str, pl.Series]:
            return {window: models.scores(mark, window) for window in holdout}

        opponents: dict[str, Mapping[str, pl.Series] | float] = {"baseline": mean}
        if champion is not None:
            opponents["champion"] = scored(champion)
        found = [
            against(models.declaration, truths, scored(challenger), opponent, name)
            for name, opponent in opponents.items()
        ]
        return joined(one.sentence for one in found if not one.passed) or None

    def _agree(
        self, refit: Mark, seeds: Sequence[Mark], windows: Sequence[str], holdout: Sequence[str]
    ) -> str | None:
        models = self.models

        def scored(mark: Mark, windows: Sequence[str]) -> pl.Series:
            return pl.concat([models.scores(mark, window) for window in windows])

        challenger = seeds[0]
        found = refit_agreements(
            models.declaration,
            (scored(refit, windows), scored(challenger, windows)),
            [scored(other, windows) for other in seeds[1:]],
            pl.concat([models.rows(window)[TARGET] for window in holdout]),
            (scored(refit, holdout), scored(challenger, holdout)),
        )
        return joined(one.sentence for one in found.values() if not one.passed) or None
