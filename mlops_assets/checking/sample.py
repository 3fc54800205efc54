"""What a file tells of a declaration: does it land, can each row's features be computed alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from mlops_assets.batches.landing import Kind, audit, identify
from mlops_assets.checking.declared import Declared
from mlops_assets.checking.findings import Finding, in_module
from mlops_assets.declaration import Declaration, load
from mlops_assets.errors import FeatureError, MlopsError
from mlops_assets.features.expressions import compute
from mlops_assets.features.row_by_row import tried
from mlops_assets.words import counted

MOST = 1_000  # rows whose features are tried together and in another order, some of them alone
ALONE = 32


def sample_problems(
    declaration: Declaration, file: Path, *, kind: Kind | None = None, window: str | None = None
) -> tuple[Kind | None, str | None, list[Finding]]:
    """Check a file as if it landed, and try the declared expressions on its rows.

    Args:
        declaration: in which nothing is wrong that can be known without data.
        file: a batch or labels, of any declared window.
        kind: what it is, if its columns don't say it.
        window: its window, if neither name nor rows say it.

    Returns: what it was taken for, its window, and what is wrong.

    """
    try:
        kind, window, opened = identify(declaration, file, kind, window)
        report = audit(declaration, kind, window, opened.frame)
        found = [Finding((), problem, file) for problem in report.problems]
        if not report.schema and report.rows:
            rows = opened.frame.head(MOST).collect()
            tried_on = _features if kind == "batches" else _target
            found += tried_on(declaration, rows)
    except MlopsError as error:
        return kind, window, [Finding((), str(error), file)]
    except PolarsError as error:
        return kind, window, [Finding((), str(error).splitlines()[0], file)]
    return kind, window, found


def _features(declaration: Declaration, rows: pl.DataFrame) -> Iterator[Finding]:
    features = Declared(declaration).features
    for name, one in features.items():
        try:
            compute(rows.lazy(), {name: one}, key=declaration.batches.key).collect()
            problem = tried(rows, {name: one}, ALONE).get(name)
        except (FeatureError, PolarsError) as error:
            problem = f"feature `{name}`: {str(error).splitlines()[0]}"
        if problem:
            yield Finding(("features",), problem, *in_module(declaration.features, name))


def _target(declaration: Declaration, rows: pl.DataFrame) -> Iterator[Finding]:
    reference = declaration.labels.target
    try:
        values = rows.select(load(reference).alias("target")).to_series().drop_nulls()
    except PolarsError as error:
        yield Finding(("labels", "target"), str(error).splitlines()[0], *in_module(reference))
        return
    numbers = values.cast(pl.Float64)
    if declaration.task == "binary":
        strange = numbers.filter(~numbers.is_in([0.0, 1.0])).unique().sort().head(3)
        if len(strange):
            shown = json.dumps([float(f"{value:g}") for value in strange]).strip("[]")
            yield Finding(
                ("labels", "target"),
                f"the target holds {shown}; for the task binary it must be 0 or 1",
                *in_module(reference),
            )
    elif strange_rows := int((~numbers.is_finite()).sum()):
        yield Finding(
            ("labels", "target"),
            f"the target is NaN or infinite in {counted(strange_rows, 'row')}; make it null where it is "
            "unknown",
            *in_module(reference),
        )
