"""Why values don't become of the contract's type: one of them, and what to do."""

from __future__ import annotations

import re
from typing import Any

import polars as pl

from mlops_assets.declaration.sections import Files
from mlops_assets.words import visible

#: digits of a second
PLACES = {"ms": 3, "us": 6, "ns": 9}
_MONTHS = 12
_FULL_YEAR = 4  # digits
_SHOWN = 40  # characters of a value
_DAY_FIRST_OR_LAST = re.compile(r"\s*(\d{1,2})([/.-])(\d{1,2})([/.-])(\d{2,4})\b")
_WITH_COMMA = re.compile(r"\s*[+-]?[\d.' ]+,[\d.,]+\s*")
_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
_NAMES_A_ZONE = re.compile(r":\d\d(\.\d+)? ?(Z|z|UTC|[+-]\d\d(:?\d\d)?)$")


def why_not(
    count: int, example: Any, name: str, dtype: pl.DataType, files: Files, zone: str
) -> str:
    """Say why values of a column don't become of a type, and what to do.

    Args:
        count: how many don't.
        example: one of them.
        name: the column.
        dtype: the contract's type.
        files: how the declaration says that files are read.
        zone: the windows' time zone.

    """
    shown = visible(example)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
    what = f"{count:,} values, as `{shown}`, are" if count > 1 else f"`{shown}` is"
    if dtype.is_temporal() and isinstance(example, str):
        return f"{what} {_no_time(example, name, dtype, files, zone)}"
    if isinstance(dtype, pl.Datetime):
        return f"{what} {_no_moment(str(example), dtype, files, zone)}"
    if dtype.is_numeric() and isinstance(example, str):
        return f"{what} {_no_number(example, dtype, files)}"
    if dtype == pl.Boolean:
        return f"{what} none of true, false, 1 and 0"
    return f"{what} not the same as {dtype}"


def _no_number(text: str, dtype: pl.DataType, files: Files) -> str:
    if files.decimal != "," and _WITH_COMMA.fullmatch(text):
        return (
            f"no {dtype}: if the comma is the decimal sign, declare `files: {{decimal: ','}}`; if "
            "it groups digits, `files: {thousands: ','}`"
        )
    return f"no {dtype}, or would lose digits"


def _no_time(text: str, name: str, dtype: pl.DataType, files: Files, zone: str) -> str:
    if name in files.times:
        return (
            f"not written as `{files.times[name]}`, which files.times declares, or on no calendar "
            "and clock"
        )
    day = _DAY_FIRST_OR_LAST.match(text)
    if day is not None and (known := _formats(day)):
        formats = " or ".join(f"`files: {{times: {{{name}: '{one}'}}}}`" for one in known)
        doubt = ": the day may come first, or the month" if " or " in formats else ""
        return f"no ISO 8601{doubt}; declare how it is written, as {formats}"
    if isinstance(dtype, pl.Datetime) and _ISO_TIME.match(text):
        return _no_moment(text, dtype, files, zone)
    return (
        "no ISO 8601 of a day that exists; if it is written otherwise, declare how, as "
        f"`files: {{times: {{{name}: '%d/%m/%Y %H:%M:%S'}}}}`"
    )


def _no_moment(text: str, dtype: pl.Datetime, files: Files, zone: str) -> str:
    named = _NAMES_A_ZONE.search(text)
    if named and dtype.time_zone is None:
        return (
            "of a zone, and the contract's column has none: give it one, as "
            f"`dy.Datetime(time_zone='{zone}', time_unit='{dtype.time_unit}')`"
        )
    if re.search(rf"\.\d{{{PLACES[dtype.time_unit]}}}\d*[1-9]", text):
        return f"finer than the contract's {dtype.time_unit}"
    clocks = files.timezone or dtype.time_zone
    if clocks not in (None, "UTC", "Etc/UTC") and not named and files.ambiguous == "refuse":
        return (
            f"no moment, or one of two, on the clocks of {clocks}, or finer than "
            f"{dtype.time_unit}; declare `files: {{ambiguous: earliest}}` (or latest), or `files: "
            "{timezone: UTC}` if it is of another zone"
        )
    return f"no time that {dtype} can hold, or finer than that"


def _formats(found: re.Match[str]) -> list[str]:
    """Return how a time may be written, as far as one of them tells."""
    first, sign, second, other, year = found.groups()
    last = "%Y" if len(year) == _FULL_YEAR else "%y"
    clock = found.string[found.end() :].strip()
    half = clock.upper().endswith(("AM", "PM"))
    hour = f"%{'I' if half else 'H'}:%M{':%S' if clock.count(':') > 1 else ''}"
    rest = f" {hour}{' %p' if half else ''}" if clock else ""
    day, month = f"%d{sign}%m{other}{last}{rest}", f"%m{sign}%d{other}{last}{rest}"
    return [
        *([day] if int(second) <= _MONTHS else []),
        *([month] if int(first) <= _MONTHS else []),
    ]
