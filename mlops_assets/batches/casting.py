"""The contract's types given to a file's columns, where nothing is lost by it.

A column is of the contract's type, or becomes so row for row without losing anything, or it stays as
it came and the reason is told: how many rows, and one of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import polars as pl
from polars.exceptions import PolarsError

from mlops_assets.batches.reasons import PLACES, why_not
from mlops_assets.declaration.sections import Files

if TYPE_CHECKING:
    import dataframely as dy

#: ISO 8601, with what programs write for it: a blank for the T, `UTC` for the Z
_ISO = (
    r"^(?<day>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?<minute>\d{2}:\d{2})(?<second>:\d{2})?(?<part>\.\d+)?)?"
    r" ?(?<zone>Z|z|UTC|[+-]\d{2}(?::?\d{2})?)?$"
)
_DAY = "24h"
#: a time as most programs write it, by which all of a column's are tried at once
_FORM = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:(?P<sign>[T ])[0-9]{2}:[0-9]{2}(?P<second>:[0-9]{2}(?:\.[0-9]+)?)?)?"
    r"(?P<zone>(?P<blank> ?)(?:Z|z|UTC|[+-][0-9]{2}(?P<colon>:?)[0-9]{2}))?"
)
_DAY_SHAPE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_LOOKED_AT = 1000  # rows in which the form of a time is looked for
#: below it a float holds every whole number
_EXACT: dict[Any, float] = {pl.Float32: 2.0**24, pl.Float64: 2.0**53}

Unit = Any  # Polars' own type of "ms", "us" and "ns" is private


@dataclass(frozen=True)
class Conformed:
    """A file's rows with the contract's types, as far as nothing is lost.

    `notes` say what was converted; `problems` why a column (by name) stayed as it was.
    """

    frame: pl.LazyFrame
    notes: tuple[str, ...]
    problems: dict[str, str]


@dataclass(frozen=True)
class _Way:
    """How a column becomes of another type: `lost` marks the rows that can't."""

    value: pl.Expr
    lost: pl.Expr
    #: of a time written as text: whether it names a zone, null where there is no time
    zoned: pl.Expr | None = None
    #: what the others are made of, as a column: computed once for all of them
    parts: pl.Expr | None = None


def conform(
    frame: pl.LazyFrame, contract: type[dy.Schema], files: Files, zone: str, *, text: bool = False
) -> Conformed:
    """Give the columns that the contract knows their names and types, losing nothing.

    Args:
        frame: the file's rows, lazily; what the contract doesn't know stays as it is.
        contract: the dataframely schema.
        files: how the declaration says that files are read.
        zone: the windows' time zone.
        text: whether all columns are text because the file has no types; then converting them is
            nothing to speak of.

    Raises:
        PolarsError: the file is damaged.

    """
    frame, notes = _named(frame, contract)
    there = frame.collect_schema()
    if text and files.nulls:
        frame = frame.with_columns(
            pl.when(~pl.col(pl.String).str.strip_chars().is_in(files.nulls)).then(pl.col(pl.String))
        )
    wanted = {
        name: column.dtype
        for name, column in contract.columns().items()
        if name in there and not column.validate_dtype(there[name])
    }
    numbers = [
        name
        for name, dtype in wanted.items()
        if dtype.is_numeric() and isinstance(there[name], pl.String)
    ]
    plain = _plain(frame, wanted, files, text=text)
    if (
        files.decimal is None
        and not plain.keys() >= set(numbers)
        and _has_decimal_commas(frame, numbers)
    ):
        files = files.model_copy(update={"decimal": ","})
        notes.append("numbers are written with a decimal comma")
    ways = {
        name: way
        for name, dtype in wanted.items()
        if name not in plain and (way := _way(name, there[name], dtype, files)) is not None
    }
    parts = [way.parts for way in ways.values() if way.parts is not None]
    frame = frame.with_columns(parts)
    problems = _lost(frame, ways, wanted, files, zone) if ways else {}
    for name in wanted.keys() - ways.keys() - plain.keys():
        problems[name] = f"there is no way to make {wanted[name]} of {there[name]} without a loss"
    values = plain | {name: way.value for name, way in ways.items()}
    kept = {name: values[name].alias(name) for name in wanted if name not in problems}
    if not text:
        notes += [f"`{name}` converted from {there[name]} to {wanted[name]}" for name in kept]
    made = frame.with_columns(kept.values()).drop(part.meta.output_name() for part in parts)
    return Conformed(made, tuple(notes), problems)


def _named(frame: pl.LazyFrame, contract: type[dy.Schema]) -> tuple[pl.LazyFrame, list[str]]:
    """Give columns the contract's names, where they differ in case or blanks only."""
    names = frame.collect_schema().names()
    missing = [name for name in contract.column_names() if name not in names]
    spare = [name for name in names if name not in contract.column_names()]
    renamed = {}
    for name in missing:
        alike = [one for one in spare if one.strip().casefold() == name.casefold()]
        if len(alike) == 1:
            renamed[alike[0]] = name
    notes = [f"column `{old}` taken for `{new}`" for old, new in renamed.items()]
    return (frame.rename(renamed) if renamed else frame), notes


def _plain(
    frame: pl.LazyFrame, wanted: Mapping[str, pl.DataType], files: Files, *, text: bool
) -> dict[str, pl.Expr]:
    """Return how the texts become numbers and times of which each is written in the plainest way.

    What is left out may become so as well, at several times the cost.
    """
    there = frame.collect_schema()
    names = [name for name in wanted if isinstance(there[name], pl.String)]
    if not names or (files.nulls and not text):
        return {}
    times = [name for name in names if isinstance(wanted[name], pl.Datetime)]
    looked_at = frame.select(times).head(_LOOKED_AT).collect(engine="streaming")
    values: dict[str, pl.Expr] = {}
    others: list[pl.Expr] = []
    for name in names:
        dtype, column = wanted[name], pl.col(name)
        if isinstance(dtype, pl.Datetime):
            example = looked_at[name].drop_nulls().first() or ""
            found = _plain_moment(name, dtype, files, str(example))
        elif dtype == pl.Boolean:
            truth = column.str.to_lowercase()
            value = pl.when(truth.is_in(["true", "false"])).then(truth == "true")
            found = value, value.is_not_null()
        elif dtype == pl.Date:
            found = _plain_day(name, files)
        else:
            found = _plain_number(column, dtype, files)
        if found is not None:
            values[name], fits = found
            others.append(((column != "") & ~fits.fill_null(value=False)).any().alias(name))
    try:
        found_others = frame.select(others).collect(engine="streaming")
    except PolarsError:  # of which column is told by the other way
        return {}
    return {name: value for name, value in values.items() if not found_others[name][0]}


def _plain_number(
    column: pl.Expr, want: pl.DataType, files: Files
) -> tuple[pl.Expr, pl.Expr] | None:
    """Return a number's value, and where it is what the text says to the last digit."""
    if files.thousands is not None:
        return None
    if want.is_integer():
        value = column.cast(want, strict=False)
        return value, value.is_not_null()
    if want.base_type() not in _EXACT or files.decimal == ",":
        return None
    value = column.cast(pl.Float64, strict=False).cast(want, strict=False)
    return value, (value.abs() < _EXACT[want.base_type()]) | value.is_nan()


def _plain_day(name: str, files: Files) -> tuple[pl.Expr, pl.Expr] | None:
    """Return a day's value, and where it is written with nothing else."""
    if name in files.times:
        return None
    value = pl.col(name).str.strptime(pl.Date, "%Y-%m-%d", strict=False)
    return value, pl.col(name).str.contains(_DAY_SHAPE) & value.is_not_null()


def _plain_moment(
    name: str, want: pl.Datetime, files: Files, example: str
) -> tuple[pl.Expr, pl.Expr] | None:
    """Return a time's value if it is written as the example is, and where it is."""
    form = _FORM.fullmatch(example)
    if form is None or name in files.times:
        return None
    sign, second, zone = form["sign"], form["second"], form["zone"] or ""
    shape, written = _DAY_SHAPE.removesuffix("$"), "%Y-%m-%d"
    if sign:
        shape, written = rf"{shape}{sign}[0-9]{{2}}:[0-9]{{2}}", f"{written}{sign}%H:%M"
    if second:
        part = rf"(?:\.[0-9]{{1,{PLACES[want.time_unit]}}})?"
        shape, written = rf"{shape}:[0-9]{{2}}{part}", f"{written}:%S%.f"
    offset = form["colon"] is not None
    shape += rf"{form['blank']}[+-][0-9]{{2}}{form['colon']}[0-9]{{2}}$" if offset else f"{zone}$"
    text = pl.col(name)
    bare = (text.str.head(-len(zone)) if zone else text).str.strptime(
        pl.Datetime(_unit(want)) if sign else pl.Date, written, strict=False
    )
    if not sign:
        bare = bare.cast(pl.Datetime(_unit(want)))
    if not zone:
        moment = _localized(bare, want, files)
    elif want.time_zone is None:
        return None
    else:
        moment = _named_moment(bare, text.str.tail(len(zone.lstrip())) if offset else None)
        moment = moment.dt.convert_time_zone(want.time_zone)
    value = moment.dt.cast_time_unit(cast("Unit", want.time_unit))
    return value, text.str.contains(shape) & value.is_not_null()


def _lost(
    frame: pl.LazyFrame,
    ways: dict[str, _Way],
    wanted: dict[str, pl.DataType],
    files: Files,
    zone: str,
) -> dict[str, str]:
    """Say of each column whose values would not all survive why."""
    problems = {}
    try:
        counts = _counted(frame, ways)
    except PolarsError:  # a conversion that Polars doesn't know: find out of which column
        counts = {}
        for name, way in ways.items():
            try:
                counts |= _counted(frame, {name: way})
            except PolarsError as error:
                # damaged is another thing than not to be converted, and ends it
                frame.select(pl.col(name).count()).collect(engine="streaming")
                problems[name] = f"it does not become {wanted[name]}: {str(error).splitlines()[0]}"
    for name, (lost, example, zoned, bare) in counts.items():
        if lost:
            problems[name] = why_not(lost, example, name, wanted[name], files, zone)
        elif zoned and bare:
            problems[name] = f"{zoned:,} of its times name a zone and {bare:,} name none"
    return problems


def _counted(frame: pl.LazyFrame, ways: dict[str, _Way]) -> dict[str, tuple[int, Any, int, int]]:
    """Count of each column the values that don't survive, show one, and count zones."""
    none = pl.lit(value=False)
    asked: list[pl.Expr] = []
    marks = []  # columns, since each is asked for twice
    for number, (name, way) in enumerate(ways.items()):
        zoned = none if way.zoned is None else way.zoned
        lost = pl.col(f"mlops.lost {number}")
        marks.append(way.lost.alias(f"mlops.lost {number}"))
        asked += [
            lost.sum().alias(f"lost {number}"),
            pl.col(name).filter(lost).first().alias(f"example {number}"),
            zoned.sum().alias(f"zoned {number}"),
            zoned.not_().sum().alias(f"bare {number}"),
        ]
    row = frame.with_columns(marks).select(asked).collect(engine="streaming").row(0)
    return {name: row[4 * number : 4 * number + 4] for number, name in enumerate(ways)}


def _way(name: str, have: pl.DataType, want: pl.DataType, files: Files) -> _Way | None:
    """Return how a column of one type becomes another, if there is any way."""
    column = pl.col(name)
    if isinstance(have, pl.Null):
        return _Way(column.cast(want), pl.lit(value=False))
    if isinstance(have, pl.Binary):
        column, have = column.cast(pl.String, strict=False), pl.String()
    if isinstance(have, pl.Categorical | pl.Enum):
        column, have = column.cast(pl.String), pl.String()
    for is_one, way in _WAYS:
        if is_one(have, want):
            return way(name, column, have, want, files)
    return None


def _from_text(
    name: str, column: pl.Expr, _: pl.DataType, want: pl.DataType, files: Files
) -> _Way | None:
    if isinstance(want, pl.String | pl.Categorical | pl.Enum):
        value = column.cast(want, strict=False)
        return _Way(value, pl.col(name).is_not_null() & value.is_null())
    text = column.str.strip_chars()
    known = text.is_not_null() & ~text.is_in(["", *files.nulls])
    text = pl.when(known).then(text)
    zoned = parts = None
    if want == pl.Boolean:
        truth = text.str.to_lowercase()
        value = (
            pl.when(truth.is_in(["true", "1", "1.0"]))
            .then(statement=True)
            .when(truth.is_in(["false", "0", "0.0"]))
            .then(statement=False)
        )
        changed = value.is_null()
    elif want.is_numeric():
        value, changed = _number(text, want, files)
    elif isinstance(want, pl.Datetime):
        written = files.times.get(name)
        if written is None:
            parts = text.str.extract_groups(_ISO).alias(_parts_of(name))
        value, changed, zoned = _moment(name, text, want, files, written)
    elif isinstance(want, pl.Date):
        written = files.times.get(name)
        if written is None:
            day = text.str.replace(r"[T ]00:00(:00(\.0+)?)?$", "")
            iso = pl.when(day.str.contains(r"^\d{4}-\d{2}-\d{2}$")).then(day)
            value = iso.str.strptime(pl.Date, "%Y-%m-%d", strict=False)
        else:
            value = text.str.strptime(pl.Date, written, strict=False)
        changed = value.is_null()
    elif isinstance(want, pl.Time):
        written = files.times.get(name, "%H:%M:%S%.f")
        full = text.str.replace(r"^(\d{1,2}:\d{2})$", "${1}:00")
        value = full.str.strptime(pl.Time, written, strict=False)
        changed = value.is_null()
    else:
        return None
    return _Way(
        value, (known & changed).fill_null(value=False) | _undecoded(name, column), zoned, parts
    )


def _undecoded(name: str, column: pl.Expr) -> pl.Expr:
    return pl.col(name).is_not_null() & column.is_null()


def _number(text: pl.Expr, want: pl.DataType, files: Files) -> tuple[pl.Expr, pl.Expr]:
    """Read numbers; also mark those that lose digits."""
    decimal = files.decimal or "."
    if files.thousands is not None:
        sign, point = re.escape(files.thousands), re.escape(decimal)
        grouped = rf"^[+-]?\d{{1,3}}({sign}\d{{3}})+({point}\d*)?$"
        text = (
            pl.when(text.str.contains(grouped))
            .then(text.str.replace_all(files.thousands, "", literal=True))
            .otherwise(text)
        )
    if decimal == ",":
        # a point is no decimal sign then: it may not pass for one
        text = pl.when(~text.str.contains(".", literal=True)).then(
            text.str.replace(",", ".", literal=True)
        )
    text = text.str.strip_prefix("+")
    whole = text.str.replace(r"^(-?\d+)\.0*$", "${1}")
    if want.is_integer():
        value = pl.when(whole.str.contains(r"^-?\d+$")).then(whole).cast(want, strict=False)
        return value, value.is_null()
    if isinstance(want, pl.Decimal):
        plain = pl.when(text.str.contains(r"^-?\d*\.?\d*$")).then(text)
        value = plain.cast(want, strict=False)
        return value, value.is_null() | plain.str.contains(rf"\.\d{{{want.scale}}}\d*[1-9]")
    wide = text.cast(pl.Float64, strict=False)
    value = wide.cast(want, strict=False)
    # of a fraction the nearest float is what everybody reads; of a whole number each digit counts
    long = whole.str.contains(r"^-?\d{8,}$") & (
        whole.cast(pl.Int128, strict=False) != value.cast(pl.Int128, strict=False)
    ).fill_null(value=True)
    beyond = value.is_infinite() & ~text.str.to_lowercase().str.contains("inf", literal=True)
    return value, value.is_null() | long | beyond


def _parts_of(name: str) -> str:
    return f"mlops.parts of {name}"


def _moment(
    name: str, text: pl.Expr, want: pl.Datetime, files: Files, written: str | None
) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """Read times; also mark those that are none or are finer, and those that name a zone."""
    unit = _unit(want)
    if written is not None:
        finer = pl.lit(value=False)
        if "%z" in written or "%#z" in written:
            moment = text.str.strptime(pl.Datetime(unit, "UTC"), written, strict=False)
            zoned = text.is_not_null()
        else:
            if re.search(r"%-?[HIkl]|%[TRXcs+]", written):
                bare = text.str.strptime(pl.Datetime(unit), written, strict=False)
            else:
                bare = text.str.strptime(pl.Date, written, strict=False).cast(pl.Datetime(unit))
            moment = _localized(bare, want, files)
            zoned = pl.when(text.is_not_null()).then(statement=False)
    else:
        # its parts are a column: to search each text once more for each part takes minutes
        parts = pl.col(_parts_of(name)).struct
        day, offset = parts.field("day"), parts.field("zone")
        clock = pl.concat_str(
            day,
            pl.lit(" "),
            parts.field("minute").fill_null("00:00"),
            parts.field("second").fill_null(":00"),
            parts.field("part").fill_null(""),
        )
        bare = clock.str.strptime(pl.Datetime(unit), "%Y-%m-%d %H:%M:%S%.f", strict=False)
        moment = (
            pl.when(offset.is_not_null())
            .then(_named_moment(bare, offset).dt.convert_time_zone(want.time_zone))
            .otherwise(_localized(bare, want, files))
            if want.time_zone is not None
            else pl.when(offset.is_null()).then(bare)
        )
        finer = parts.field("part").str.contains(rf"\.\d{{{PLACES[want.time_unit]}}}\d*[1-9]")
        zoned = pl.when(day.is_not_null()).then(offset.is_not_null())
    if want.time_zone is not None:
        moment = moment.dt.convert_time_zone(want.time_zone)
    value = moment.dt.cast_time_unit(cast("Unit", want.time_unit))
    return value, value.is_null() | finer.fill_null(value=False), zoned


def _unit(want: pl.Datetime) -> Unit:
    return "ns" if want.time_unit == "ns" else "us"


def _named_moment(bare: pl.Expr, offset: pl.Expr | None) -> pl.Expr:
    """Return the moments, in UTC, of times in the zone of an offset; None: in UTC."""
    if offset is not None:
        digits = offset.str.replace(":", "", literal=True)
        hours = digits.str.slice(0, 3).cast(pl.Int64, strict=False).fill_null(0)
        minutes = digits.str.slice(3, 2).cast(pl.Int64, strict=False).fill_null(0)
        minutes = pl.when(digits.str.starts_with("-")).then(-minutes).otherwise(minutes)
        bare = bare - pl.duration(minutes=hours * 60 + minutes)
    return bare.dt.replace_time_zone("UTC")


def _localized(bare: pl.Expr, want: pl.Datetime, files: Files) -> pl.Expr:
    """Give times without a zone the declared one, as moments of the wanted one.

    Where the clocks skipped an hour, a time in it means what it would with the clock of before, or
    with that of after; where they showed it twice, the first or the second.
    """
    if want.time_zone is None:
        return bare
    zone = files.timezone or want.time_zone
    rule = files.ambiguous

    def told(times: pl.Expr) -> pl.Expr:
        return times.dt.replace_time_zone(
            zone, ambiguous="null" if rule == "refuse" else rule, non_existent="null"
        )

    moment = told(bare)
    if rule != "refuse":
        there, back = (_DAY, f"-{_DAY}") if rule == "earliest" else (f"-{_DAY}", _DAY)
        moment = moment.fill_null(told(bare.dt.offset_by(there)).dt.offset_by(back))
    return moment.dt.convert_time_zone(want.time_zone)


def _between_numbers(
    name: str, column: pl.Expr, have: pl.DataType, want: pl.DataType, _: Files
) -> _Way:
    value = column.cast(want, strict=False)
    back = value.cast(have, strict=False)
    return _Way(value, pl.col(name).is_not_null() & back.ne_missing(pl.col(name)))


def _to_digits(name: str, column: pl.Expr, _: pl.DataType, want: pl.DataType, __: Files) -> _Way:
    value = column.cast(want)
    return _Way(value, pl.col(name).is_not_null() & value.is_null())


def _between_times(
    name: str, column: pl.Expr, have: pl.DataType, want: pl.DataType, files: Files
) -> _Way | None:
    assert isinstance(have, pl.Datetime)
    assert isinstance(want, pl.Datetime)
    if have.time_zone is not None and want.time_zone is None:
        # an hour that the clocks show twice would be one
        return None
    value = column.dt.cast_time_unit(cast("Unit", want.time_unit))
    back = value.dt.cast_time_unit(cast("Unit", have.time_unit))
    lost = back.ne_missing(column)
    if have.time_zone is None:
        value = _localized(value, want, files)
    elif want.time_zone is not None:
        value = value.dt.convert_time_zone(want.time_zone)
    return _Way(value, pl.col(name).is_not_null() & (lost | value.is_null()))


def _from_day(name: str, column: pl.Expr, _: pl.DataType, want: pl.DataType, files: Files) -> _Way:
    assert isinstance(want, pl.Datetime)
    midnight = column.cast(pl.Datetime(cast("Unit", want.time_unit)), strict=False)
    value = _localized(midnight, want, files)
    return _Way(value, pl.col(name).is_not_null() & value.is_null())


def _to_day(name: str, column: pl.Expr, _: pl.DataType, __: pl.DataType, ___: Files) -> _Way:
    value = column.dt.date()
    return _Way(value, pl.col(name).is_not_null() & (column.dt.time() != pl.time(0)))


def _is_number(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype == pl.Boolean


#: which types become which, and how
_WAYS: Sequence[
    tuple[
        Callable[[pl.DataType, pl.DataType], bool],
        Callable[[str, pl.Expr, pl.DataType, pl.DataType, Files], _Way | None],
    ]
] = (
    (lambda have, _: isinstance(have, pl.String), _from_text),
    (lambda have, want: _is_number(have) and _is_number(want), _between_numbers),
    (lambda have, want: have.is_integer() and isinstance(want, pl.String), _to_digits),
    (
        lambda have, want: isinstance(have, pl.Datetime) and isinstance(want, pl.Datetime),
        _between_times,
    ),
    (lambda have, want: isinstance(have, pl.Date) and isinstance(want, pl.Datetime), _from_day),
    (lambda have, want: isinstance(have, pl.Datetime) and isinstance(want, pl.Date), _to_day),
    # lists, arrays and structs: what holds for their parts is found out by going there and back
    (
        lambda have, want: have.is_nested() and want.base_type() == have.base_type(),
        _between_numbers,
    ),
)


def _has_decimal_commas(frame: pl.LazyFrame, names: Sequence[str]) -> bool:
    """Say whether numbers as text have commas that can be nothing else, and no points."""
    if not names:
        return False
    text = pl.col(names).str.strip_chars()
    clear = text.str.contains(r"^[+-]?(\d+,(\d{1,2}|\d{4,})|0\d*,\d+)$").any()
    points = text.str.contains(".", literal=True).any()
    found = frame.select(
        pl.any_horizontal(clear.name.prefix("clear ")).alias("clear"),
        pl.any_horizontal(points.name.prefix("points ")).alias("points"),
    )
    row = found.collect(engine="streaming").row(0)
    return bool(row[0]) and not row[1]
