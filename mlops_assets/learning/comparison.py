"""Challenger against opponent, and the refit against the challenger that was gated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from mlops_assets.errors import TrainingError
from mlops_assets.learning.metrics import Metric, metric_named


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
    min_gain: float
    passed: bool
    sentence: str

    @property
    def undefined(self) -> tuple[str, ...]:
        """The windows that could not be judged."""
        return tuple(each.window for each in self.windows if each.gain is None)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the refit strays from the gated challenger, by the measure of two seeds."""

    difference: float  # mean absolute difference of scores, refit to challenger
    between_seeds: float  # the same between two seeds of the challenger
    limit: float  # tolerance x between_seeds
    passed: bool
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
        min_gain: in the metric's unit; the mean gain must reach it.
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
    gain = sum(gains) / len(gains) if gains else None
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


def baseline(base_rate: float, rows: int) -> pl.Series:
    """Return the naive opponent's scores: the base rate of the training rows, Float64.

    Raises:
        TrainingError: the base rate is no probability.
    """
    if not 0 <= base_rate <= 1:
        raise TrainingError(f"a base rate of {base_rate} is not between 0 and 1")
    return pl.Series("score", [base_rate], dtype=pl.Float64).new_from_index(0, rows)


def agreement(
    refit_scores: pl.Series,
    challenger_scores: pl.Series,
    seed_scores: pl.Series,
    *,
    tolerance: float,
) -> Agreement:
    """Judge whether the refit is still the model that passed the gates.

    The refit itself was compared with nobody. So its scores may not differ from the gated
    challenger's by more than `tolerance` times what two seeds of one model differ, in mean
    absolute difference (in probability) on the same rows.

    Args:
        refit_scores: of the model trained on everything known.
        challenger_scores: of the model that passed the gates.
        seed_scores: of the challenger trained once more with another seed.
        tolerance: 1 takes the sentence above by its word; larger is more lenient.

    Raises:
        TrainingError: no rows, lengths differ, a score is missing, or the two seeds score alike
            while the refit does not, so that there is no measure.
    """
    difference = _distance(refit_scores, challenger_scores)
    between_seeds = _distance(seed_scores, challenger_scores)
    if between_seeds == 0 < difference:
        raise TrainingError(
            "two seeds of this model score alike, so that nothing says how far a refit may stray;"
            " give it a bagging_fraction (with bagging_freq) or a feature_fraction below 1"
        )
    limit = tolerance * between_seeds
    passed = difference <= limit
    return Agreement(
        difference=difference,
        between_seeds=between_seeds,
        limit=limit,
        passed=passed,
        sentence=(
            f"The refit's scores differ from the gated challenger's by {difference:.4f} on average,"
            f" {'within' if passed else 'beyond'} the limit of {limit:.4f}"
            f" ({tolerance:g} x the {between_seeds:.4f} between two seeds)."
        ),
    )


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
        f" is {ours:.4f}, the {opponent}'s {theirs:.4f}: {abs(gain):.4f}"
        f" {'worse' if gain < 0 else 'better'}, and a gain of {min_gain:.4f} is"
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
