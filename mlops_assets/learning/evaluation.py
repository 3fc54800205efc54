"""Compare a challenger with an opponent window by window, and say it in figures."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

import polars as pl

from mlops_assets.declaration import Declaration
from mlops_assets.learning.comparison import Comparison, baseline, compare
from mlops_assets.learning.metrics import metric_named
from mlops_assets.learning.training import FittedModel
from mlops_assets.learning.training_set import TARGET, WINDOW


def against(
    declaration: Declaration,
    held_out: pl.DataFrame,
    challenger: FittedModel,
    opponent: FittedModel | float,
    name: str,
) -> Comparison:
    """Compare two models window by window on the same rows."""
    windows = {}
    for (window,), rows in sorted(held_out.group_by("window")):
        theirs = (
            baseline(opponent, rows.height, declaration.task)
            if isinstance(opponent, float)
            else opponent.predict(rows)
        )
        windows[str(window)] = (rows[TARGET], challenger.predict(rows), theirs)
    limits = declaration.gates
    least = limits.min_gain_over_baseline if name == "baseline" else limits.min_gain
    return compare(declaration.metric, windows, least, opponent=name)


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
