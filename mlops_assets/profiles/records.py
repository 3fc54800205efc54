"""What the store holds: the kinds of records with their columns, and a record as a file."""

from __future__ import annotations

import hashlib
import json
import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from mlops_assets.errors import StoreError, UnknownNameError, did_you_mean

Type = Literal["str", "int", "float", "bool", "json"]

_2_63 = 1 << 63
_SPELLED = {
    "str": "a text",
    "int": "a whole number of 64 bits",
    "float": "a finite number",
    "bool": "a bool",
}


@dataclass(frozen=True)
class Field:
    """One column of a kind: ``key`` columns say which rows replace each other."""

    name: str
    type: Type
    nullable: bool = False
    key: bool = False


def _fields(text: str) -> tuple[Field, ...]:
    """Read ``*name type?`` lists: a star marks a key column, a question mark a nullable one."""
    fields = []
    for item in text.split(","):
        name, kind = item.split()
        plain: Any = kind.removesuffix("?")
        fields.append(Field(name.removeprefix("*"), plain, kind.endswith("?"), name[0] == "*"))
    return tuple(fields)


#: every kind of record; a new kind is one more entry, and the index is rebuilt by itself
KINDS: Mapping[str, tuple[Field, ...]] = {
    "batches": _fields("*model str, *window str, version str, commit_id str, rows int"),
    "labels": _fields(
        "*model str, *window str, version str, commit_id str, rows int, positives int?, unknown int"
    ),
    "verdicts": _fields(
        "*model str, *window str, batch_version str, champion int?, profile str, reference str?, "
        "rows int, score float?, score_limit float?, exceeds bool, verdict str, sentence str, "
        "policy str, detail json, features_commit str"
    ),
    "distances": _fields(
        "*model str, *window str, *feature str, champion int, kind str, distance float, "
        "own_low float, own_high float, share float, null_change float, features_commit str, "
        "psi float?, wasserstein float?, cardinality_change float?"
    ),
    "segments": _fields(
        "*model str, *window str, *segment str, champion int?, profile str, rows int, "
        "score float?, score_limit float?, exceeds bool, verdict str, sentence str, policy str, "
        "warnings json, features_commit str"
    ),
    "performance": _fields(
        "*model str, *window str, champion int, metric str, value float?, rows int, "
        "base_rate float?, predictions_version str, labels_version str, batch_version str, "
        "predictions_commit str, labels_commit str"
    ),
    # values of both twins and their difference, null where the reason says why; total, rate and due
    # are of the windows since the champion was promoted up to this one
    "staleness": _fields(
        "*model str, *window str, champion int, since str, measure str, months float, "
        "fresh float?, served float?, gain float?, reason str, rows int, cost float?, total float, "
        "rate float, due bool, sentence str, policy str, fresh_twin str?, champion_twin str?, "
        "champion_twin_blob str?, batch_version str, labels_version str, features_commit str, "
        "labels_commit str, known_commit str?"
    ),
    # a version's estimators, by the newest window that they are made of
    "estimators": _fields(
        "*model str, *champion int, *window str, method str, metric str, estimator str?, "
        "reason str, rows int, made_of json"
    ),
    # once the labels are mature, what was measured and the estimate's error stand beside it
    "estimates": _fields(
        "*model str, *window str, champion int, method str, metric str, value float?, reason str, "
        "rows int, estimator str?, made_of json, predictions_version str, measured float?, "
        "error float?"
    ),
    "decisions": _fields(
        "*model str, *cause str, window str, trigger str, decision str, code str, reason str, "
        "champion int?, decided_at str"
    ),
    "outcomes": _fields(
        "*model str, *cause str, window str, promoted bool, version int?, reason str, run_id str, "
        "minutes float?"
    ),
    # every request counts, so the moment it was made is part of the key
    "controls": _fields("*model str, *requested_at str, *action str, reason str, by str"),
}


def fields_of(kind: str) -> tuple[Field, ...]:
    """Return the columns of a kind; raises StoreError's sibling UnknownNameError for another."""
    if kind not in KINDS:
        raise UnknownNameError.among("kind of record", kind, KINDS)
    return KINDS[kind]


def checked(kind: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record with exactly the kind's columns, nullable ones filled with None.

    Raises StoreError that names the first field that is missing, unknown or of a wrong type.
    """
    fields = fields_of(kind)
    for name in record:
        if name not in {field.name for field in fields}:
            hint = did_you_mean(name, [field.name for field in fields])
            raise StoreError(f"{kind} have no field `{name}`{hint}")
    return {field.name: _value(kind, field, record) for field in fields}


def identity(kind: str, record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the kind and the record, the name of its file."""
    return hashlib.sha256(_canonical({"kind": kind, "record": record})).hexdigest()


def sealed(kind: str, record: Mapping[str, Any]) -> bytes:
    """Return the content of a record's file, stamped with the wall clock now (UTC)."""
    now = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    return _canonical({"kind": kind, "recorded_at": now, "record": record})


@dataclass(frozen=True)
class Opened:
    """A record read from its file; ``row`` is None where this version doesn't know the kind."""

    id: str
    kind: str
    recorded_at: str
    row: dict[str, Any] | None


def opened(name: str, content: bytes) -> Opened:
    """Read a record's file; raises StoreError where it isn't one, whole and under its own name."""
    try:
        envelope = json.loads(content)
        kind, record = envelope["kind"], envelope["record"]
        moment = datetime.fromisoformat(envelope["recorded_at"])
        same = name == f"{identity(kind, record)}.json"
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{name} is no record of the store: {error}") from error
    if not same:
        raise StoreError(f"{name} doesn't hold what its name says")
    row = checked(kind, record) if kind in KINDS else None
    return Opened(name.removesuffix(".json"), kind, moment.isoformat(timespec="microseconds"), row)


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
            and isinstance(value, numbers.Integral)
            and -_2_63 <= int(value) < _2_63
        ):
            return int(value)
        if field.type == "float" and isinstance(value, numbers.Real) and math.isfinite(value):
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


def _canonical(value: Any) -> bytes:
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()
