"""What all records have in common: fields, keys, versions, and what may stand in a field."""

from __future__ import annotations

import dataclasses
import json
import math
import numbers
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from mlops_assets.errors import StoreError, did_you_mean

Type = Literal["str", "int", "float", "bool", "json"]
Migration = Callable[[dict[str, Any]], dict[str, Any]]
R = TypeVar("R", bound="Record")

#: what the store says of a record, which is no part of it
OWN = ("event_id", "record_id", "recorded_at")

_2_63 = 1 << 63
_PLAIN: Mapping[Any, Type] = {str: "str", int: "int", float: "float", bool: "bool"}
_SPELLED = {
    "str": "a text",
    "int": "a whole number of 64 bits",
    "float": "a finite number",
    "bool": "a bool",
}


@dataclass(frozen=True, kw_only=True)
class Record:
    """What every kind of record has; a kind is a frozen dataclass below it.

    A field is a str, int, float, bool or, with any other annotation, plain JSON; one that may be
    None has None as its default. What a field means never changes: a kind whose fields change gets a
    migration, which makes the fields that a version had into those of the next.

    Attributes:
        KIND: what files and the index call the kind.
        KEY: the fields that say which records replace each other.
        MIGRATIONS: the first makes a record of version 1 one of version 2, and so on; a kind without
            any is of version 1.
        model: the model's name.
        event_id: the number that the index gave it, in the order in which records came in; 0 for one
            that was not read from the store.
        record_id: its id in the store.
        recorded_at: when it was recorded, wall clock, UTC, naive.

    """

    KIND: ClassVar[str]
    KEY: ClassVar[tuple[str, ...]]
    MIGRATIONS: ClassVar[tuple[Migration, ...]] = ()

    model: str
    event_id: int = field(default=0, compare=False, repr=False)
    record_id: str = field(default="", compare=False, repr=False)
    recorded_at: datetime = field(default=datetime.min, compare=False, repr=False)  # noqa: DTZ901 - naive, as all of them

    @property
    def content(self) -> dict[str, Any]:
        """The fields by name, without what the store says of the record."""
        return {one.name: getattr(self, one.name) for one in fields_of(type(self))}


@dataclass(frozen=True)
class Field:
    """One field of a kind: ``key`` fields say which records replace each other."""

    name: str
    type: Type
    nullable: bool = False
    key: bool = False


_FIELDS: dict[Any, tuple[Field, ...]] = {}


def fields_of(kind: type[Record]) -> tuple[Field, ...]:
    """Return the fields of a kind, without what the store says of a record."""
    if kind not in _FIELDS:
        _FIELDS[kind] = tuple(_fields(kind))
    return _FIELDS[kind]


def _fields(kind: type[Record]) -> Iterator[Field]:
    hints = get_type_hints(kind)
    for one in dataclasses.fields(kind):
        if one.name in OWN:
            continue
        hint = hints[one.name]
        nullable = False
        if get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint):
            nullable = True
            (hint,) = (arg for arg in get_args(hint) if arg is not type(None))
        yield Field(one.name, _PLAIN.get(hint, "json"), nullable, one.name in kind.KEY)


def keys_of(kind: type[Record]) -> tuple[str, ...]:
    """Return the names of the key fields, in the order of the fields."""
    return tuple(one.name for one in fields_of(kind) if one.key)


def version_of(kind: type[Record]) -> int:
    """Return the version that records of this kind are written in, from 1."""
    return len(kind.MIGRATIONS) + 1


def migrated(kind: type[Record], record: Mapping[str, Any], version: int) -> Mapping[str, Any]:
    """Return a record of an earlier version as one of today's."""
    for migration in kind.MIGRATIONS[version - 1 :]:
        record = migration(dict(record))
    return record


def made(kind: type[R], names: tuple[str, ...], values: tuple[Any, ...]) -> R:
    """Return a record of values that were checked before, in half the time of its constructor."""
    record = object.__new__(kind)
    record.__dict__.update(zip(names, values, strict=True))
    return record


def checked(kind: type[Record], record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record with exactly the kind's fields, nullable ones filled with None.

    Raises StoreError that names the first field that is missing, unknown or of a wrong type.
    """
    fields = fields_of(kind)
    names = {one.name for one in fields}
    for name in record:
        if name not in names:
            raise StoreError(f"{kind.KIND} have no field `{name}`{did_you_mean(name, names)}")
    return {one.name: _value(kind.KIND, one, record) for one in fields}


def is_storable(value: Any) -> bool:
    """Whether a value of the right type is within what files and the index hold."""
    if type(value) is int:
        return -_2_63 <= value < _2_63
    return type(value) is not str or "\0" not in value


def _value(kind: str, field: Field, record: Mapping[str, Any]) -> Any:
    value = record.get(field.name)
    if value is None:
        if field.nullable:
            return None
        state = "is None" if field.name in record else "is missing"
        raise StoreError(f"{kind}: the field `{field.name}` {state}")
    if field.type == "json":
        return _plain(kind, field, value)
    if isinstance(value, bool) == (field.type == "bool"):
        if field.type == "bool":
            return value
        if field.type == "str" and isinstance(value, str) and _encodable(value):
            return str(value)
        if (
            field.type == "int"
            and isinstance(value, (int, numbers.Integral))  # the first is found at once
            and -_2_63 <= int(value) < _2_63
        ):
            return int(value)
        if (
            field.type == "float"
            and isinstance(value, (float, numbers.Real))
            and math.isfinite(value)
        ):
            return float(value)
    raise StoreError(
        f"{kind}: the field `{field.name}` must be {_SPELLED[field.type]}, not {value!r}"
    )


def _encodable(text: str) -> bool:
    """Whether UTF-8 and SQL can hold it: no half of a surrogate pair, no NUL."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _plain(kind: str, field: Field, value: Any) -> Any:
    """Return the value as JSON gives it back, so that its hash is the file's."""
    try:
        plain = json.dumps(value, allow_nan=False, ensure_ascii=False)
        plain.encode()  # half of a surrogate pair would be no UTF-8
        return json.loads(plain)
    except (TypeError, ValueError) as error:
        raise StoreError(f"{kind}: the field `{field.name}` must be plain JSON: {error}") from error
