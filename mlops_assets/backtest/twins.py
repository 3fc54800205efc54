"""Twins for the backtest: one small model for each set of windows, compared once on each window."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from mlops_assets.assets.training_set import TARGET
from mlops_assets.backtest.models import Models
from mlops_assets.decisions.staleness import TwinDifference
from mlops_assets.declaration import load
from mlops_assets.learning.training import FittedModel
from mlops_assets.learning.twins import Comparison, compare_twins, fit_twin

Windows = tuple[str, ...]


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

    def difference(self, learnt: Windows, window: str) -> TwinDifference:
        """Return what a retraining would have earned on a window, for a champion of `learnt`."""
        months = self.models.history.months(window)
        fresh = self.known_before(window)
        if fresh == learnt:
            return TwinDifference(window, months, 0.0)
        if (learnt, window) not in self._compared:
            kpi = self.models.declaration.retraining.kpi
            self._compared[learnt, window] = compare_twins(
                self.models.rows(window),
                self.fitted(fresh),
                self.fitted(learnt),
                target=TARGET,
                metric=self.models.declaration.metric,
                usual_labelled=[self._labelled(one) for one in fresh],
                kpi=load(kpi) if kpi else None,
                months=months,
            )
        found = self._compared[learnt, window]
        return TwinDifference(window, months, found.gain, found.reason)

    def known_before(self, window: str) -> Windows:
        """Return the windows whose labels were known before this one began, by the frame."""
        declaration, history = self.models.declaration, self.models.history
        begins = declaration.windows.begins(window)
        known = [
            one
            for one in history.windows
            if one < window and one in history.labelled and declaration.matures(one) <= begins
        ]
        newest = declaration.training.frame_windows
        return tuple(known if newest is None else known[-newest:])

    def fitted(self, windows: Windows) -> FittedModel:
        """Return the small model of some windows, fitting it the first time."""
        if windows not in self._fitted:
            history, declaration = self.models.history, self.models.declaration
            rows = history.rows(windows)
            begun = time.perf_counter()
            self._fitted[windows] = fit_twin(
                rows, list(history.features), TARGET, declaration.task, declaration.training.seed
            )
            self.seconds[windows] = time.perf_counter() - begun
        return self._fitted[windows]

    def _labelled(self, window: str) -> float:
        rows = self.models.rows(window)
        return 1 - rows[TARGET].null_count() / rows.height if rows.height else 0.0
