"""What the staleness of a model is counted in: its metric, or money."""

from __future__ import annotations

import polars as pl

from mlops_assets.declaration import Declaration, load
from mlops_assets.errors import DeclarationError
from mlops_assets.features.expressions import code_version


def measure(declaration: Declaration) -> str:
    """Return what differences are in: the metric, or money and by which expression.

    Raises:
        DeclarationError: the declared KPI is not there, or no expression.

    """
    expression = kpi(declaration)
    if expression is None:
        return declaration.metric
    return f"money by {code_version({'kpi': expression})}"


def kpi(declaration: Declaration) -> pl.Expr | None:
    """Return the declared money of a row, if there is one."""
    declared = declaration.retraining.kpi
    if declared is None:
        return None
    expression = load(declared)
    if not isinstance(expression, pl.Expr):
        raise DeclarationError(f"`{declared}` is no Polars expression; retraining.kpi must be one")
    return expression
