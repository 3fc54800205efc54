"""The models that policies ask for: each fitted once, scored once a window, shared by all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from mlops_assets.backtest.history import WINDOW, History
from mlops_assets.declaration import Declaration, load
from mlops_assets.learning.metrics import metric_named
from mlops_assets.learning.training import FittedModel, train
from mlops_assets.learning.training_set import TARGET
from mlops_assets.learning.twins import money_of


@dataclass(frozen=True)
class Mark:
    """What a model follows from, beside the history: equal marks are one model."""

    windows: tuple[str, ...]
    seed: int


@dataclass
class Models:
    """Every model of one history and one way to train: policies differ in none of it.

    Attributes:
        history: what they learn from.
        declaration: how, and by which metric they are judged.
        seconds: what each fit took, by its mark; how much a policy spent is told from it.

    """

    history: History
    declaration: Declaration
    seconds: dict[Mark, float] = field(default_factory=dict)
    _fitted: dict[Mark, FittedModel] = field(default_factory=dict, repr=False)
    _scores: dict[tuple[Mark, str], pl.Series] = field(default_factory=dict, repr=False)
    _values: dict[tuple[Mark, str], float | None] = field(default_factory=dict, repr=False)
    _rows: dict[str, pl.DataFrame] = field(default_factory=dict, repr=False)

    def mark(self, windows: Sequence[str], *, further_seed: int = 0) -> Mark:
        """Name the model of these windows; `further_seed` makes it another of the same kind."""
        return Mark(tuple(windows), self.declaration.training.seed + further_seed)

    def fitted(self, mark: Mark) -> FittedModel:
        """Return the model, fitting it the first time that any policy asks for it."""
        if mark not in self._fitted:
            rows, training = self.history.rows(mark.windows), self.declaration.training
            begun = time.perf_counter()
            self._fitted[mark] = train(
                rows,
                features=list(self.history.features),
                target=TARGET,
                parameters=training.parameters,
                rounds=training.rounds,
                seed=mark.seed,
                task=self.declaration.task,
            )
            self.seconds[mark] = time.perf_counter() - begun
        return self._fitted[mark]

    def rows(self, window: str) -> pl.DataFrame:
        """Return a window's rows, kept in memory: they are scored again and again."""
        if window not in self._rows:
            self._rows[window] = self.history.rows([window]).drop(WINDOW)
        return self._rows[window]

    def scores(self, mark: Mark, window: str) -> pl.Series:
        """Return the model's scores of a window."""
        if (mark, window) not in self._scores:
            self._scores[mark, window] = self.fitted(mark).predict(self.rows(window))
        return self._scores[mark, window]

    def value(self, mark: Mark, window: str) -> float | None:
        """Return the metric of the model on a window; None where it is undefined."""
        if (mark, window) not in self._values:
            measured = None
            if window in self.history.labelled:
                truth = self.rows(window)[TARGET]
                measured = metric_named(self.declaration.metric).of(
                    truth, self.scores(mark, window)
                )
            self._values[mark, window] = measured
        return self._values[mark, window]

    def gain(self, mark: Mark, over: Mark, window: str) -> float | None:
        """Return what one model gains over another for a month at a window's rate.

        In the metric, or in the money of the declared KPI; positive is better.
        """
        if mark == over:
            return 0.0
        if self.declaration.retraining.kpi:
            return self._money(mark, window) - self._money(over, window)
        ours, theirs = self.value(mark, window), self.value(over, window)
        if ours is None or theirs is None:
            return None
        return metric_named(self.declaration.metric).gain(ours, theirs)

    def _money(self, mark: Mark, window: str) -> float:
        kpi = load(str(self.declaration.retraining.kpi))
        rows = self.rows(window)
        scored = rows.with_columns(
            self.scores(mark, window).alias("score"), rows[TARGET].alias("target")
        ).filter(pl.col("target").is_not_null())
        return money_of(scored, kpi) / self.history.months(window)
