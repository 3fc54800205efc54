"""The schema and the quality of what landed, before it may reach main."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dataframely as dy
import polars as pl

from mlops_assets.errors import DeclarationError, did_you_mean
from mlops_assets.windows import Windows

SHOWN = 5  # examples in a message; a report is read by a person


@dataclass(frozen=True)
class Report:
    """What was found in one landed file.

    `schema` and `quality` hold one sentence for each problem; `facts` what a person wants to know
    of a good file too (rows, null shares).
    """

    rows: int
    schema: tuple[str, ...]
    quality: tuple[str, ...]
    facts: Mapping[str, Any]

    @property
    def passed(self) -> bool:
        """Whether it may be merged."""
        return not self.problems

    @property
    def problems(self) -> tuple[str, ...]:
        """Every problem, those of the schema first."""
        return self.schema + self.quality

    def as_json(self) -> dict[str, Any]:
        """Return the form that is committed beside a refused file."""
        return {
            "passed": self.passed,
            "rows": self.rows,
            "schema": list(self.schema),
            "quality": list(self.quality),
            "facts": dict(self.facts),
        }


def check(
    frame: pl.LazyFrame,
    contract: type[dy.Schema],
    *,
    window: str,
    windows: Windows,
    time: str,
    key: Sequence[str],
    min_rows: int = 1,
    max_null_share: float = 1.0,
    null_shares: Mapping[str, float] | None = None,
) -> Report:
    """Check one window's rows against the contract.

    Args:
        frame: the landed rows, lazily; any columns.
        contract: the dataframely schema; its column rules are applied too.
        window: the window they are said to belong to.
        windows: the declared windows.
        time: the column of the row's time (Datetime with a zone).
        key: columns that name a row.
        min_rows: fewer are a problem.
        max_null_share: largest share of nulls in a nullable column, from 0 to 1.
        null_shares: limits of single columns, instead of that one.

    Raises:
        DeclarationError: the contract has not a declared column.

    """
    for name in (time, *key, *(null_shares or {})):
        if name not in contract.columns():
            hint = did_you_mean(name, contract.columns())
            raise DeclarationError(
                f"{contract.__name__} has no column `{name}`, which is declared as the time, in "
                f"the key or in null_shares{hint}"
            )
    schema = tuple(_schema_problems(frame, contract))
    if schema:
        rows = int(frame.select(pl.len()).collect(engine="streaming").item())
        return Report(rows, schema, (), {})
    columns = contract.columns()
    counts = (
        frame.select(
            pl.len().alias("rows"),
            pl.struct(key).n_unique().alias("unique"),
            *(pl.col(name).null_count().alias(f"null {name}") for name in columns),
        )
        .collect(engine="streaming")
        .row(0, named=True)
    )
    rows = counts["rows"]
    nulls = {name: counts[f"null {name}"] / max(rows, 1) for name in columns}
    facts = {"null_shares": {name: round(share, 4) for name, share in nulls.items() if share}}
    if rows == 0:
        return Report(0, (), ("no rows at all",), facts)
    quality: list[str] = []
    if rows < min_rows:
        quality.append(f"{rows:,} rows, fewer than the {min_rows:,} declared as the least")
    quality += _foreign_windows(frame, window, windows, time)
    if duplicated := rows - counts["unique"]:
        quality.append(
            f"{duplicated:,} rows repeat the key {', '.join(f'`{k}`' for k in key)}"
            + _examples(frame, key)
        )
    limits = {name: (null_shares or {}).get(name, max_null_share) for name in columns}
    quality += [
        f"`{name}` is null in {nulls[name]:.1%} of the rows; at most {limits[name]:.1%} may be"
        for name, column in columns.items()
        if column.nullable and nulls[name] > limits[name]
    ]
    quality += _broken_rules(frame, contract, key)
    return Report(rows, (), tuple(quality), facts)


def _schema_problems(frame: pl.LazyFrame, contract: type[dy.Schema]) -> list[str]:
    there = frame.collect_schema()
    problems = []
    for name, column in contract.columns().items():
        if name not in there:
            problems.append(f"no column `{name}`{did_you_mean(name, there.names())}")
        elif not column.validate_dtype(there[name]):
            problems.append(f"`{name}` is {there[name]}, not {column.dtype}")
    return problems


def _foreign_windows(frame: pl.LazyFrame, window: str, windows: Windows, time: str) -> list[str]:
    other = (
        frame.select(windows.expression(time).alias("window"))
        .filter(pl.col("window").ne_missing(window))
        .group_by("window")
        .len()
        .collect(engine="streaming")
        .sort("len", "window", descending=[True, False])
    )
    if other.is_empty():
        return []
    where = ", ".join(
        f"{count:,} of {key}" if key else f"{count:,} without a time"
        for key, count in other.head(SHOWN).iter_rows()
    )
    return [f"{int(other['len'].sum()):,} rows are not of window {window}: {where}"]


def _examples(frame: pl.LazyFrame, key: Sequence[str]) -> str:
    repeated = (
        frame.group_by(key).len().filter(pl.col("len") > 1).sort(key).head(SHOWN).drop("len")
    ).collect()
    return ", as " + "; ".join("/".join(str(part) for part in row) for row in repeated.iter_rows())


def _broken_rules(frame: pl.LazyFrame, contract: type[dy.Schema], key: Sequence[str]) -> list[str]:
    _, failures = contract.filter(frame.select(contract.column_names()).collect(engine="streaming"))
    problems = []
    for rule, count in sorted(failures.counts().items()):
        if rule == "primary_key" and set(contract.primary_key()) == set(key):
            continue  # said above, with examples
        column, _, broken = rule.partition("|")
        what = f"`{column}` breaks `{broken}`" if broken else f"the rule `{rule}` is broken"
        problems.append(f"{what} in {count:,} rows")
    return problems
