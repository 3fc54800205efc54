"""Challenger against opponent, and the refit against the challenger that was gated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Literal

import polars as pl

from mlops_assets.declaration.sections import Task
from mlops_assets.errors import TrainingError
from mlops_assets.learning.metrics import Metric, metric_named

_LEAST_PROBABILITY = 1e-6  # one sure row may not outweigh all others


@dataclass(frozen=True, slots=True)
class WindowFigures:
    """One window: both figures on the same rows, None where the metric is undefined."""

    window: str
    rows: int  # with a truth
    challenger: float | None
    opponent: float | None
    gain: float | None  # positive: the challenger is better


@dataclass(frozen=True, slots=True)
class Comparison:
    """The mean over windows of what the challenger gains, and whether that is enough."""

    metric: str
    opponent: str
    windows: tuple[WindowFigures, ...]
    gain: float | None  # mean over the windows where both are defined; positive is better
    min_gain: float  # in the metric's unit
    passed: bool
    sentence: str

    @property
    def undefined(self) -> tuple[str, ...]:
        """The windows that could not be judged."""
        return tuple(each.window for each in self.windows if each.gain is None)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the refit strays from the gated challenger, by the measure of two seeds."""

    difference: float  # from the refit to the challenger
    between_seeds: float  # mean of the same between seeds of the challenger
    limit: float  # tolerance x between_seeds, or x a floor where seeds hardly differ
    passed: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the windows held out taught the refit, and whether that accounts for its straying."""

    accounts_for_it: bool
    sentence: str


def compare(
    metric: str,
    windows: Mapping[str, tuple[pl.Series, pl.Series, pl.Series]],
    min_gain: float,
    *,
    opponent: str = "champion",
) -> Comparison:
    """Compare challenger and opponent on the same rows of the same windows.

    Every window counts alike: windows differ in difficulty, and a large one is still one draw.

    Args:
        metric: a name in `METRICS`.
        windows: per window (truth, challenger's scores, opponent's scores), of one length;
            rows whose truth is null are left out. `baseline` gives a naive opponent's scores.
        min_gain: the mean gain must reach it; for a metric in the target's unit (rmse, mae) it is
            a share of the opponent's mean figure, since no number of that unit suits all models.
        opponent: what the sentence calls the other side.

    Returns:
        Not passed if no window can be judged.

    Raises:
        UnknownNameError: no such metric.
        TrainingError: no windows, lengths differ, or a row with a truth has no score.
    """
    measure = metric_named(metric)
    if not windows:
        raise TrainingError("no windows to compare on: hold out at least one")
    figures = tuple(_figures(measure, window, *windows[window]) for window in sorted(windows))
    gains = [each.gain for each in figures if each.gain is not None]
    gain = fmean(gains) if gains else None
    if measure.has_a_unit and gains:
        min_gain *= fmean(each.opponent or 0.0 for each in figures if each.gain is not None)
    passed = gain is not None and gain >= min_gain
    return Comparison(
        metric=metric,
        opponent=opponent,
        windows=figures,
        gain=gain,
        min_gain=min_gain,
        passed=passed,
        sentence=_sentence(metric, opponent, figures, gain, min_gain),
    )


def baseline(mean: float, rows: int, task: Task = "binary") -> pl.Series:
    """Return the naive opponent's scores: the target's mean over the training rows, Float64.

    Raises:
        TrainingError: it is no probability where the task is binary, or no finite number.
    """
    if not math.isfinite(mean):
        raise TrainingError(f"the training rows' mean target is {mean}: it is no number")
    if task == "binary" and not 0 <= mean <= 1:
        raise TrainingError(f"a base rate of {mean} is not between 0 and 1")
    return pl.Series("score", [mean], dtype=pl.Float64).new_from_index(0, rows)


def agreement(
    refit: pl.Series,
    challenger: pl.Series,
    other_seeds: Sequence[pl.Series],
    *,
    by: Literal["score", "rank"],
    tolerance: float,
    task: Task = "binary",
    explanation: Explanation | None = None,
) -> Agreement:
    """Judge whether the refit is still the model that passed the gates.

    The refit itself was compared with nobody. So it may not be further from the gated challenger
    than `tolerance` times what two seeds of the challenger are from each other, on the same rows.
    By score, the distance is the mean absolute difference (in probability, or in the target's
    unit): a wrong level shows.
    By rank, it is one minus Spearman's correlation: a wrong order shows.
    Where the world has changed an honest refit goes further, for the windows held out taught it
    so; then it has to explain them better than the challenger, which never saw them.

    Args:
        refit: scores of the model trained on everything known.
        challenger: scores of the model that passed the gates.
        other_seeds: scores of the challenger trained again, each with another seed.
        by: what is compared.
        tolerance: larger is more lenient. The refit knows newer windows, so an honest one is
            further away than another seed is; docs/decisions/ says how far it was seen to be.
        task: what scores are. Where seeds hardly differ the refit is left some room: .01 of
            probability; for numbers 5% of the sd of the challenger's scores; .005 of correlation.
        explanation: what the windows held out taught the refit (see `explained_by_holdout`).

    Raises:
        TrainingError: no other seeds, no rows, lengths differ, or a score is missing.
    """
    if not other_seeds:
        raise TrainingError("nothing says how far a refit may stray without another seed")
    distance = _distance if by == "score" else _rank_distance
    floor = _floor(by, task, challenger)
    difference = distance(refit, challenger)
    between = fmean(
        distance(one, other) for one, other in combinations([challenger, *other_seeds], 2)
    )
    # a model without bagging or feature sampling is the same under every seed
    scale = max(between, floor)
    limit = tolerance * scale
    agrees = difference <= limit
    what = "scores differ" if by == "score" else "ranks differ"
    sentence = (
        f"The refit's {what} from the gated challenger's by {difference:,.4f},"
        f" {'within' if agrees else 'beyond'} the limit of {limit:,.4f}"
        f" ({tolerance:g} x the {scale:,.4f} {'between two seeds' if between >= floor else 'allowed at least'})"
    )
    if not agrees and explanation is not None:
        sentence += f"; {explanation.sentence}"
    return Agreement(
        difference=difference,
        between_seeds=between,
        limit=limit,
        passed=agrees or (explanation is not None and explanation.accounts_for_it),
        sentence=f"{sentence}.",
    )


def explained_by_holdout(
    truth: pl.Series, refit: pl.Series, challenger: pl.Series, task: Task = "binary"
) -> Explanation:
    """Compare what refit and challenger make of the windows held out: the refit learnt them.

    By log loss, or by squared error for a number: both see a wrong level and a wrong order. A
    refit that went wrong explains what it learnt worse than a challenger that never saw it, or
    than their mean does: in a changed world the challenger alone would be easy to beat.

    Args:
        truth: the target of the windows held out; null where a label is missing.
        refit: scores of the model trained on everything known.
        challenger: scores of the model that passed the gates.
        task: what scores are.

    Raises:
        TrainingError: lengths differ, or a score is missing.
    """
    _distance(refit, challenger)
    if truth.len() != refit.len() or truth.null_count() == truth.len():
        raise TrainingError("no labelled rows that were held out, so nothing accounts for a refit")
    mean = fmean(truth.cast(pl.Float64).drop_nulls())
    ours, theirs, naive = (
        _loss(truth, scores, task)
        for scores in (refit, challenger, baseline(mean, truth.len(), task))
    )
    name = "log loss" if task == "binary" else "mean squared error"
    accounts = ours < min(theirs, naive)
    return Explanation(
        accounts_for_it=accounts,
        sentence=(
            f"the windows held out, which it learnt, {'account' if accounts else 'do not account'}"
            f" for it: its {name} there is {ours:,.4f}, the challenger's {theirs:,.4f},"
            f" their mean's {naive:,.4f}"
        ),
    )


def _loss(truth: pl.Series, scores: pl.Series, task: Task) -> float:
    said = scores.cast(pl.Float64)
    loss = (said - truth.cast(pl.Float64)) ** 2
    if task == "binary":
        likely = said.clip(_LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
        given = pl.when(truth.cast(pl.Boolean)).then(likely).otherwise(1 - likely)
        loss = -pl.select(pl.when(truth.is_not_null()).then(given.log())).to_series()
    return fmean(loss.drop_nulls())


def _floor(by: Literal["score", "rank"], task: Task, challenger: pl.Series) -> float:
    if by == "rank":
        return 0.005
    if task == "binary":
        return 0.01
    return 0.05 * float(challenger.cast(pl.Float64).to_numpy().std())


def _figures(
    measure: Metric, window: str, truth: pl.Series, challenger: pl.Series, opponent: pl.Series
) -> WindowFigures:
    ours, theirs = measure.of(truth, challenger), measure.of(truth, opponent)
    gain = None if ours is None or theirs is None else measure.gain(ours, theirs)
    return WindowFigures(window, truth.len() - truth.null_count(), ours, theirs, gain)


def _sentence(
    metric: str,
    opponent: str,
    figures: tuple[WindowFigures, ...],
    gain: float | None,
    min_gain: float,
) -> str:
    unjudged = [each.window for each in figures if each.gain is None]
    if gain is None:
        return (
            f"{metric} is undefined on {', '.join(unjudged)} (no labels, or one class only):"
            f" challenger and {opponent} can't be compared."
        )
    judged = [each for each in figures if each.gain is not None]
    ours = sum(each.challenger or 0.0 for each in judged) / len(judged)
    theirs = sum(each.opponent or 0.0 for each in judged) / len(judged)
    text = (
        f"Over {len(judged)} window{'s' if len(judged) != 1 else ''} the challenger's mean {metric}"
        f" is {ours:,.4f}, the {opponent}'s {theirs:,.4f}: {abs(gain):,.4f}"
        f" {'worse' if gain < 0 else 'better'}, and a gain of {min_gain:,.4f} is"
        f" {'reached' if gain >= min_gain else 'asked for'}."
    )
    return f"{text} Not judged: {', '.join(unjudged)}." if unjudged else text


def _distance(one: pl.Series, other: pl.Series) -> float:
    if one.len() != other.len():
        raise TrainingError(f"{one.len()} scores and {other.len()}; score the same rows")
    mean = (one.cast(pl.Float64) - other.cast(pl.Float64)).abs()
    if mean.is_empty() or mean.null_count() or mean.is_nan().any():
        raise TrainingError("no rows to agree on, or a row without a score")
    return float(mean.to_numpy().mean())


def _rank_distance(one: pl.Series, other: pl.Series) -> float:
    _distance(one, other)  # the same rows, each with a score
    if one.n_unique() == 1 or other.n_unique() == 1:
        return 0.0 if one.n_unique() == other.n_unique() else 1.0  # a constant orders nothing
    ranks = pl.DataFrame({"one": one.rank(), "other": other.rank()})
    return 1.0 - float(ranks.select(pl.corr("one", "other")).item())
