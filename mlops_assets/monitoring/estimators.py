"""What a window's scores are worth before its labels come: estimators, and where they are kept.

An estimator belongs to a version and is made of rows that it did not learn from: at its promotion
of the held-out windows, as its challenger scored them; later of its own scores of the newest
windows whose labels have matured. Each is a blob, so that an estimate can be made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

import polars as pl

from mlops_assets.batches.objects import scan
from mlops_assets.declaration import Declaration, load
from mlops_assets.errors import FeatureError, ObjectNotFoundError, ProfileError, TrainingError
from mlops_assets.learning.loss_estimation import estimated_loss, fit_losses
from mlops_assets.learning.training import SCORE, FittedModel
from mlops_assets.learning.training_set import TARGET, WINDOW
from mlops_assets.learning.twins import LEAST_OF_A_CLASS, LEAST_ROWS, sampled
from mlops_assets.monitoring.estimation import Calibration, estimated
from mlops_assets.monitoring.meaning import Series
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.sketches.profile import profile
from mlops_assets.versions import Repository

MOST_WINDOWS = 8  # that one estimator is made of, the newest ones
MOST_ROWS = 20_000  # of each
METHODS = {"binary": "cbpe", "regression": "dle"}


class Scored(NamedTuple):
    """Of a window's newest performance: where its scores and labels are."""

    window: str
    champion: int
    rows: int
    predictions_commit: str
    labels_commit: str


class Kept(NamedTuple):
    """Of an estimator."""

    method: str
    metric: str
    estimator: str | None
    reason: str
    made_of: list[str]
    meaning: str | None


@dataclass(frozen=True)
class Estimate:
    """What a metric is expected to be on one window; without a value ``reason`` says why."""

    value: float | None
    reason: str
    rows: int
    estimator: str | None = None
    made_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Estimates:
    """Makes and applies the estimators of one model."""

    declaration: Declaration
    repository: Repository
    store: Store

    @cached_property
    def series(self) -> Series:
        """Which recorded figures are of the meaning declared now."""
        return Series.of(self.declaration, self.store)

    @property
    def meaning(self) -> str:
        """What is recorded beside a figure that is made now."""
        return self.series.digest("performance")

    @property
    def method(self) -> str:
        """Confidence-based estimation for classes, direct loss estimation for numbers."""
        return METHODS[self.declaration.task]

    @property
    def _features(self) -> list[str]:
        """What an estimator looks at beside the score."""
        if self.declaration.task == "binary":
            return []
        return list(load(self.declaration.features))

    def learn(self, version: int, rows: pl.DataFrame, windows: Sequence[str]) -> None:
        """Keep an estimator of a version, made of rows with their `score` and `target`.

        Where nothing can be told from them, that is kept too, with the reason.
        """
        found: Calibration | FittedModel | None = None
        reason = self._too_few(rows[TARGET])
        try:
            if reason:
                pass
            elif self.declaration.task == "binary":
                found = Calibration.fit(rows[SCORE], rows[TARGET])
            else:
                found = fit_losses(
                    rows,
                    self._features,
                    SCORE,
                    TARGET,
                    self.declaration.metric,
                    self.declaration.training.seed,
                )
        except (ProfileError, TrainingError) as error:
            reason = str(error)
        self.store.add(
            kinds.Estimator(
                model=self.declaration.name,
                champion=version,
                window=windows[-1],
                method=self.method,
                metric=self.declaration.metric,
                estimator=self.store.add_blob(found.to_bytes()) if found else None,
                reason=reason,
                rows=rows[TARGET].count(),
                made_of=list(windows),
                meaning=self.meaning,
            )
        )

    def learn_from_holdout(self, version: int, rows: pl.DataFrame, challenger: FittedModel) -> None:
        """Keep a version's first estimator, of held-out rows that its challenger had not seen."""
        scored = rows.with_columns(challenger.predict(rows).alias(SCORE))
        self.learn(version, scored, sorted(rows[WINDOW].unique()))

    def learn_from_matured(self, measured: kinds.Performance) -> None:
        """Keep an estimator of a version's own scores up to a window whose labels are mature.

        As many windows as were held out must have matured, or the first one tells more.

        Args:
            measured: what is about to be recorded of the window's performance. The estimator comes
                first: once a window is measured nobody looks at it again.

        """
        version, window = measured.champion, measured.window
        earlier = self.store.newest(kinds.Performance, Scored, model=self.declaration.name)
        now = Scored(
            window, version, measured.rows, measured.predictions_commit, measured.labels_commit
        )
        rows = {**earlier, window: now}
        newest_first = (
            rows[name]
            for name in sorted(rows, reverse=True)
            if name <= window
            and rows[name].champion == version
            and rows[name].rows  # none are left of a withdrawn one
            and self.declaration.windows.declares(name)
        )
        known = list(islice(newest_first, MOST_WINDOWS))[::-1]
        if len(known) < self.declaration.gates.holdout_windows:
            return
        parts = {row.window: self._scored(row) for row in known}
        there = {name: part for name, part in parts.items() if part is not None}
        if there:
            self.learn(version, pl.concat(there.values(), how="vertical_relaxed"), list(there))

    def of(
        self, window: str, version: int, predictions_commit: str, other_task: str = ""
    ) -> Estimate:
        """Estimate the metric of a window by the newest estimator that was known before it ended.

        There is none for a version that learnt `other_task`, which says why.
        """
        path = self.declaration.path("predictions", window)
        scored = scan(self.repository, predictions_commit, path)
        ends = self.declaration.windows.ends(window)
        there = self.store.newest(kinds.Estimator, Kept, model=self.declaration.name)
        newest_first = (
            row
            for (champion, name), row in sorted(there.items(), key=itemgetter(0), reverse=True)
            if champion == version
            and name < window
            # a declaration that begins later now knows earlier windows no more
            and self.declaration.windows.declares(name)
            and self.declaration.matures(name) < ends
            and row.method == self.method
            and self.series.holds("performance", row)
        )
        rows = int(scored.select(pl.len()).collect().item())
        if other_task:
            return Estimate(None, other_task, rows)
        newest = next(newest_first, None)
        if newest is None:
            reason = f"nothing is known of version {version} on rows that it did not learn from"
            return Estimate(None, reason, rows)
        # one that could not be made of the newest windows leaves the one before
        if newest.estimator is None:
            newest = next((row for row in newest_first if row.estimator), newest)
        if newest.estimator is None:
            return Estimate(None, newest.reason, rows, made_of=tuple(newest.made_of))
        estimator, reason = self.store.blob(newest.estimator), ""
        try:
            value = self._applied(estimator, scored, window, predictions_commit)
        except FeatureError as error:  # the declared features have changed since
            value, reason = None, str(error)
        if value is None and not reason:
            reason = f"{self.declaration.metric} is undefined on its scores"
        return Estimate(value, reason, rows, newest.estimator, tuple(newest.made_of))

    def _too_few(self, truths: pl.Series) -> str:
        """Say why nothing can be told from rows with these truths; empty where it can."""
        there = truths.drop_nulls().cast(pl.Float64)
        if len(there) < LEAST_ROWS:
            return f"{len(there):,} rows that it did not learn from have a label, {LEAST_ROWS} are needed"
        rarest = min((there == outcome).sum() for outcome in (0, 1))
        if self.declaration.task == "binary" and rarest < LEAST_OF_A_CLASS:
            return (
                f"of the {len(there):,} rows that it did not learn from {rarest} are of the rarer "
                f"class, {LEAST_OF_A_CLASS} are needed"
            )
        return ""

    def _applied(
        self, estimator: bytes, scored: pl.LazyFrame, window: str, commit: str
    ) -> float | None:
        metric = self.declaration.metric
        if self.declaration.task == "binary":
            points = profile(scored.select(SCORE)).columns[SCORE].points
            return estimated(metric, points, Calibration.from_bytes(estimator))
        rows = self._with_features(scored, window, commit).collect(engine="streaming")
        return estimated_loss(FittedModel.from_bytes(estimator), rows, metric)

    def _scored(self, row: Scored) -> pl.DataFrame | None:
        """Return a measured window's scores and truths, thinned; None where they were let go."""
        window, keys = row.window, self.declaration.batches.key
        target = load(self.declaration.labels.target).alias(TARGET)
        try:
            labels = scan(
                self.repository, row.labels_commit, self.declaration.path("labels", window)
            )
            scores = scan(
                self.repository,
                row.predictions_commit,
                self.declaration.path("predictions", window),
            )
            if self.declaration.task == "regression":
                scores = self._with_features(scores, window, row.predictions_commit)
        except ObjectNotFoundError:
            return None
        names = [*self._features, SCORE]
        if not set(names) <= set(scores.collect_schema()):
            return None  # made by other expressions
        known = labels.select(*keys, target).drop_nulls(TARGET)
        rows = scores.join(known, on=keys, maintain_order="left").select(*names, TARGET)
        return sampled(rows.collect(engine="streaming"), MOST_ROWS, self.declaration.training.seed)

    def _with_features(self, scores: pl.LazyFrame, window: str, commit: str) -> pl.LazyFrame:
        keys = self.declaration.batches.key
        features = scan(self.repository, commit, self.declaration.path("features", window))
        return features.join(scores.select(*keys, SCORE), on=keys, maintain_order="left")
