"""The schema and the quality of what landed, before it may reach main."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from mlops_assets.batches.reading import row_count
from mlops_assets.declaration.windows import Windows
from mlops_assets.errors import DeclarationError, did_you_mean
from mlops_assets.words import counted, visible

if TYPE_CHECKING:
    import dataframely as dy

_KEYS_AT_ONCE = 5_000_000  # about 500 MB of them
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


@dataclass(frozen=True)
class Beside:
    """What else is known of a window whose file is checked.

    Of labels, the `batch` whose keys they name, and the least share of them that must be in it;
    of both, the rows that landed `before` and may not go missing.
    """

    batch: pl.LazyFrame | None = None
    before: pl.LazyFrame | None = None
    min_matched_share: float = 0.0


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
    not_cast: Mapping[str, str] | None = None,
    beside: Beside | None = None,
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
        not_cast: why columns are not of the contract's types, by name.
        beside: what else is known of the window.

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
    schema = tuple(_schema_problems(frame, contract, not_cast or {}))
    if schema:
        return Report(row_count(frame), schema, (), {})
    columns = contract.columns()
    counts = (
        frame.select(
            pl.len().alias("rows"),
            *(pl.col(name).null_count().alias(f"null {name}") for name in columns),
            *(
                pl.col(name).str.contains("\0", literal=True).sum().alias(f"nul {name}")
                for name, dtype in frame.collect_schema().items()
                if name in columns and isinstance(dtype, pl.String)
            ),
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
        quality.append(f"{counted(rows, 'row')}, fewer than the {min_rows:,} declared as the least")
    quality += _foreign_windows(frame, window, windows, time)
    quality += [
        f"`{name}` has a NUL byte in {counted(count, 'row')}"
        for name in columns
        if (count := counts.get(f"nul {name}"))
    ]
    if duplicated := rows - _distinct(frame, key, rows):
        quality.append(
            f"{counted(duplicated, 'row')} {'repeats' if duplicated == 1 else 'repeat'} the key "
            f"{', '.join(f'`{k}`' for k in key)}"
            f", as {_shown(_repeated(frame, key), key)}"
        )
    limits = {name: (null_shares or {}).get(name, max_null_share) for name in columns}
    quality += [
        f"`{name}` is null in {nulls[name]:.1%} of the rows; at most {limits[name]:.1%} may be"
        for name, column in columns.items()
        if column.nullable and nulls[name] > limits[name]
    ]
    quality += _broken_rules(frame, contract, key)
    quality += _at_odds(frame, key, rows, beside or Beside())
    return Report(rows, (), tuple(quality), facts)


def _schema_problems(
    frame: pl.LazyFrame, contract: type[dy.Schema], not_cast: Mapping[str, str]
) -> list[str]:
    there = frame.collect_schema()
    problems = []
    for name, column in contract.columns().items():
        if name not in there:
            problems.append(f"no column `{name}`{did_you_mean(name, there.names())}")
        elif not column.validate_dtype(there[name]):
            why = f": {not_cast[name]}" if name in not_cast else ""
            problems.append(f"`{name}` is {there[name]}, not {column.dtype}{why}")
    return problems


def _distinct(frame: pl.LazyFrame, key: Sequence[str], rows: int) -> int:
    """Count the different keys, so many at a time that they fit in memory."""
    parts = -(-rows // _KEYS_AT_ONCE)
    keys = pl.struct(key)
    if parts <= 1:
        return int(frame.select(keys.n_unique()).collect(engine="streaming").item())
    return sum(
        int(
            frame.filter(keys.hash() % parts == part)
            .select(keys.n_unique())
            .collect(engine="streaming")
            .item()
        )
        for part in range(parts)
    )


def _at_odds(frame: pl.LazyFrame, key: Sequence[str], rows: int, beside: Beside) -> list[str]:
    """Compare the rows with what else is known of the window."""
    there = frame.collect_schema()

    def differing(other: pl.LazyFrame) -> list[str] | None:
        """Name the parts of the key that are of another type there; None: it has no such key."""
        others = other.collect_schema()
        if any(name not in others for name in key):
            return None  # of another declaration, by which nothing can be compared
        return [
            f"the key `{name}` is {there[name]} here and {others[name]} in the batch"
            for name in key
            if there[name] != others[name]
        ]

    problems = []
    if beside.batch is not None and (wrong := differing(beside.batch)) is not None:
        problems += wrong or _unmatched(frame, beside.batch, key, rows, beside.min_matched_share)
    if beside.before is not None and differing(beside.before) == []:
        problems += _dropped(frame, beside.before, key)
    return problems


def _unmatched(
    labels: pl.LazyFrame, batch: pl.LazyFrame, key: Sequence[str], rows: int, least: float
) -> list[str]:
    strangers = labels.select(key).join(batch.select(key), on=key, how="anti", nulls_equal=True)
    number = row_count(strangers)
    share = 1 - number / rows
    if share >= least and (share > 0 or least == 0):
        return []
    return [
        f"{number:,} of {rows:,} rows have keys that are not in the window's batch"
        f", as {_shown(strangers, key)}; at least {least:.1%} must be, as labels.min_matched_share "
        "declares"
    ]


def _dropped(frame: pl.LazyFrame, before: pl.LazyFrame, key: Sequence[str]) -> list[str]:
    missing = before.select(key).join(frame.select(key), on=key, how="anti", nulls_equal=True)
    number = row_count(missing)
    if not number:
        return []
    return [
        f"{number:,} of the {row_count(before):,} rows that landed before are not in it and would be dropped"
        f", as {_shown(missing, key)}; land all rows, or `mlops land --replace` if they are to go, or "
        "declare `deliveries: append` if each file brings more rows"
    ]


def _shown(frame: pl.LazyFrame, key: Sequence[str]) -> str:
    """Name some keys."""
    # not the least ones: sorting needs them all
    some = frame.select(key).head(SHOWN).collect(engine="streaming").sort(key)
    return "; ".join("/".join(map(visible, row)) for row in some.iter_rows())


def _foreign_windows(frame: pl.LazyFrame, window: str, windows: Windows, time: str) -> list[str]:
    tallied = windows.counted(frame, time)
    other = tallied.filter(pl.col("window").ne_missing(window)).sort(
        "len", "window", descending=[True, False]
    )
    if other.is_empty():
        return []
    where = ", ".join(
        f"{count:,} of {key}" if key else f"{count:,} without a time"
        for key, count in other.head(SHOWN).iter_rows()
    )
    return [f"{int(other['len'].sum()):,} rows are not of window {window}: {where}"]


def _repeated(frame: pl.LazyFrame, key: Sequence[str]) -> pl.LazyFrame:
    """Return the first of the keys that several rows have."""
    times = "\0times"  # a key may be called `len`
    tallied = frame.group_by(key).len(times).filter(pl.col(times) > 1)
    return tallied.drop(times).bottom_k(SHOWN, by=key)


def _broken_rules(frame: pl.LazyFrame, contract: type[dy.Schema], key: Sequence[str]) -> list[str]:
    # not `contract.filter`, which collects all rows that break a rule, or all there are
    rules = contract._validation_rules(with_cast=False)  # noqa: SLF001 the public ones collect
    if set(contract.primary_key()) == set(key):
        rules.pop("primary_key", None)  # said above, with examples
    if not rules:
        return []
    tallied = frame.select(
        (~rule.expr.fill_null(value=True)).sum().alias(name) for name, rule in rules.items()
    )
    counts = tallied.collect(engine="streaming").row(0, named=True)
    problems = []
    for rule, count in sorted(counts.items()):
        if not count:
            continue
        column, _, broken = rule.partition("|")
        what = f"`{column}` breaks `{broken}`" if broken else f"the rule `{rule}` is broken"
        problems.append(f"{what} in {counted(count, 'row')}")
    return problems
