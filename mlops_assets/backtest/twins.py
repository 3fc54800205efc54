"""Twins for the backtest: one small model for each set of windows, compared once on each window."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import polars as pl

from mlops_assets.backtest.history import WINDOW
from mlops_assets.backtest.models import Models
from mlops_assets.errors import FeatureError, TrainingError
from mlops_assets.learning.training import FittedModel
from mlops_assets.learning.training_set import TARGET
from mlops_assets.learning.twins import MOST_ROWS, Comparison, draws, fit_twin
from mlops_assets.monitoring.staleness import compare_on, not_compared
from mlops_assets.monitoring.twins import chosen, known_before

Windows = tuple[str, ...]
_DRAW = "\0draw"


@dataclass
class Twins:
    """The twins of one history, shared by all policies.

    Attributes:
        seconds: what each fit took, by the windows learnt from.

    """

    models: Models
    seconds: dict[Windows, float] = field(default_factory=dict)
    _fitted: dict[Windows, FittedModel] = field(default_factory=dict, repr=False)
    _compared: dict[tuple[Windows, str], Comparison] = field(default_factory=dict, repr=False)

    def compared(self, learnt: Windows, window: str) -> Comparison:
        """Compare on a window what was known before it with what a champion of `learnt` knew."""
        if (learnt, window) not in self._compared:
            self._compared[learnt, window] = self._compare(learnt, window)
        return self._compared[learnt, window]

    def known_before(self, window: str) -> Windows:
        """Return the windows whose labels were known before this one began, by the frame."""
        history = self.models.history
        labelled = (one for one in history.windows if one in history.labelled)
        return known_before(self.models.declaration, labelled, window)

    def fitted(self, windows: Windows) -> FittedModel:
        """Return the small model of some windows, fitting it the first time."""
        if windows not in self._fitted:
            history, declaration = self.models.history, self.models.declaration
            seed = declaration.training.seed
            rows = history.rows(chosen(windows, seed))
            begun = time.perf_counter()
            parts = rows.group_by(WINDOW, maintain_order=True).len().iter_rows()
            drawn = pl.concat([draws(str(window), count, seed) for window, count in parts])
            # drawn before those without a label go, as in production
            labelled = rows.with_columns(drawn.alias(_DRAW)).drop_nulls(TARGET)
            smallest = labelled[_DRAW].arg_sort()[:MOST_ROWS].sort()
            self._fitted[windows] = fit_twin(
                labelled[smallest].drop(_DRAW),
                list(history.features),
                TARGET,
                declaration.task,
                seed,
            )
            self.seconds[windows] = time.perf_counter() - begun
        return self._fitted[windows]

    def _compare(self, learnt: Windows, window: str) -> Comparison:
        rows = self.models.rows(window)
        try:
            known = self.known_before(window)
            fresh, champion = self.fitted(known), self.fitted(learnt)
        except (TrainingError, FeatureError) as error:
            return not_compared(rows, f"there are no twins: {error}")
        usual = [self._labelled(one) for one in known]
        return compare_on(self.models.declaration, rows, fresh, champion, usual)

    def _labelled(self, window: str) -> float:
        rows = self.models.rows(window)
        return 1 - rows[TARGET].null_count() / rows.height if rows.height else 0.0
