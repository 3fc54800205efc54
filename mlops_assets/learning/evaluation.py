"""Compare a challenger and its refit by the declared gates, and say it in figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Literal

import polars as pl

from mlops_assets.declaration import Declaration
from mlops_assets.learning.comparison import (
    Agreement,
    Comparison,
    agreement,
    baseline,
    compare,
    explained_by_holdout,
)
from mlops_assets.learning.metrics import metric_named
from mlops_assets.learning.training import FittedModel
from mlops_assets.learning.training_set import TARGET, WINDOW

#: of the same rows: the refit's, then the challenger's
Scores = tuple[pl.Series, pl.Series]


def against(
    declaration: Declaration,
    truths: Mapping[str, pl.Series],
    challenger: Mapping[str, pl.Series],
    opponent: Mapping[str, pl.Series] | float,
    name: str,
) -> Comparison:
    """Compare a challenger with an opponent on the windows held out, by the declared gate.

    Args:
        declaration: of the model.
        truths: window -> target of its rows, null where there is no label.
        challenger: window -> its scores of the same rows.
        opponent: the same of the opponent; of the baseline, what it says of every row.
        name: `baseline` or `champion`.

    Raises:
        TrainingError: as `compare`.

    """
    limits = declaration.gates
    windows = {
        window: (
            truth,
            challenger[window],
            baseline(opponent, truth.len(), declaration.task)
            if isinstance(opponent, float)
            else opponent[window],
        )
        for window, truth in truths.items()
    }
    least = limits.min_gain_over_baseline if name == "baseline" else limits.min_gain
    return compare(declaration.metric, windows, least, opponent=name)


def refit_agreements(
    declaration: Declaration,
    scores: Scores,
    others: Sequence[pl.Series],
    truth: pl.Series,
    held_out: Scores,
) -> dict[Literal["score", "rank"], Agreement]:
    """Compare a refit with the challenger that the gates saw, by the declared tolerances.

    Args:
        declaration: of the model.
        scores: of refit and challenger, on rows from which neither learnt.
        others: scores of the same rows by challengers with another seed.
        truth: the target of the windows held out, which the refit learnt.
        held_out: scores of refit and challenger there: what it learnt may account for its straying.

    Raises:
        TrainingError: as `agreement` and `explained_by_holdout`.

    """
    explanation = explained_by_holdout(truth, *held_out, declaration.task)
    tolerances: dict[Literal["score", "rank"], float] = {
        "score": declaration.gates.score_agreement,
        "rank": declaration.gates.rank_agreement,
    }
    return {
        by: agreement(
            *scores,
            others,
            by=by,
            tolerance=tolerance,
            task=declaration.task,
            explanation=explanation,
        )
        for by, tolerance in tolerances.items()
    }


def figures(comparisons: Mapping[str, Comparison]) -> dict[str, float | None]:
    """Return what MLflow shows of an evaluation: held out as a whole, by window, and the gains."""
    found: dict[str, float | None] = {}
    for name, one in comparisons.items():
        found[f"gain_over_{name}"] = one.gain
        judged = [window for window in one.windows if window.gain is not None]
        if judged:
            found[f"held_out_{one.metric}"] = fmean(window.challenger or 0.0 for window in judged)
            found[f"held_out_{one.metric}_of_{name}"] = fmean(
                window.opponent or 0.0 for window in judged
            )
        for window in one.windows:
            found[f"held_out_{one.metric}/{window.window}"] = window.challenger
            found[f"gain_over_{name}/{window.window}"] = window.gain
    return found


def scored_by_window(
    declaration: Declaration, rows: pl.DataFrame, model: FittedModel, what: str
) -> dict[str, float | None]:
    """Return a model's metric on rows with a truth: of each window, and their mean as `what`."""
    measure = metric_named(declaration.metric)
    values = {
        f"{what}_{declaration.metric}/{window}": measure.of(part[TARGET], model.predict(part))
        for (window,), part in sorted(rows.group_by(WINDOW, maintain_order=True))
    }
    known = [value for value in values.values() if value is not None]
    return {**values, f"{what}_{declaration.metric}": fmean(known) if known else None}
