"""What the store holds: the kinds of records with their columns, and a record as a file."""

from __future__ import annotations

import hashlib
import json
import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import polars as pl

from mlops_assets.errors import StoreError, UnknownNameError, did_you_mean

Type = Literal["str", "int", "float", "bool", "json"]
Content = Mapping[str, Any] | list[dict[str, Any]]

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


# a `meaning` is what the figures beside it mean (see monitoring.meaning); null in older homes
#: every kind of record; a new kind is one more entry, and the index is rebuilt by itself
KINDS: Mapping[str, tuple[Field, ...]] = {
    "batches": _fields("*model str, *window str, version str, commit_id str, rows int"),
    "labels": _fields(
        "*model str, *window str, version str, commit_id str, rows int, positives int?, "
        "unknown int, meaning str?"
    ),
    # what later verdicts go by of it, and of what of earlier ones it was made (see profiles.past)
    "verdicts": _fields(
        "*model str, *window str, batch_version str, champion int?, profile str, reference str?, "
        "rows int, score float?, score_limit float?, exceeds bool, verdict str, sentence str, "
        "policy str, detail json, features_commit str, finding str?, past str?"
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
        "predictions_commit str, labels_commit str, meaning str?"
    ),
    # values of both twins and their difference, null where the reason says why; total, rate and due
    # are of the windows since the champion was promoted up to this one
    "staleness": _fields(
        "*model str, *window str, champion int, since str, measure str, months float, "
        "fresh float?, served float?, gain float?, reason str, rows int, cost float?, total float, "
        "rate float, due bool, sentence str, policy str, fresh_twin str?, champion_twin str?, "
        "champion_twin_blob str?, batch_version str, labels_version str, features_commit str, "
        "labels_commit str, known_commit str?, meaning str?"
    ),
    # a version's estimators, by the newest window that they are made of
    "estimators": _fields(
        "*model str, *champion int, *window str, method str, metric str, estimator str?, "
        "reason str, rows int, made_of json, meaning str?"
    ),
    # once the labels are mature, what was measured and the estimate's error stand beside it
    "estimates": _fields(
        "*model str, *window str, champion int, method str, metric str, value float?, reason str, "
        "rows int, estimator str?, made_of json, predictions_version str, measured float?, "
        "error float?, meaning str?"
    ),
    # what the figures of a model mean; another row where the declaration gave them another meaning
    "meanings": _fields("*model str, parts json"),
    "decisions": _fields(
        "*model str, *cause str, window str, trigger str, decision str, code str, reason str, "
        "champion int?, decided_at str"
    ),
    "outcomes": _fields(
        "*model str, *cause str, window str, promoted bool, version int?, reason str, run_id str, "
        "minutes float?"
    ),
    # a month of windows in one profile, and one more for each segment: `windows` has the profiles
    # that stood for each before, first the one that was merged
    "merged_profiles": _fields(
        "*model str, *period str, *segment str, profile str, rows int, windows json"
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
    names = {field.name for field in fields}
    for name in record:
        if name not in names:
            raise StoreError(f"{kind} have no field `{name}`{did_you_mean(name, names)}")
    return {field.name: _value(kind, field, record) for field in fields}


def identity(kind: str, content: Content, follows: str | None = None) -> str:
    """Return the SHA-256 of the kind and a record, or several in one file: the file's name.

    ``follows`` is the record_id of a newer one of the same key, after which this state returned:
    without it, the file would be the one of before.
    """
    return hashlib.sha256(_canonical(_envelope(kind, content, follows))).hexdigest()


def sealed(
    kind: str, content: Content, follows: str | None = None, after: datetime | None = None
) -> bytes:
    """Return what stands in the file of a record or several, stamped with the wall clock (UTC).

    It is later than ``after`` (UTC, naive), wherever the clock stands.
    """
    now = datetime.now(UTC).replace(tzinfo=None)
    if after is not None:
        now = max(now, after + timedelta(microseconds=1))
    stamp = {"recorded_at": now.isoformat(timespec="microseconds")}
    return _canonical(_envelope(kind, content, follows) | stamp)


def same_content(kind: str, content: Content, file: bytes) -> bool:
    """Whether a file holds this record, or these, whatever it follows."""
    envelope = json.loads(file)
    return bool(envelope["kind"] == kind and envelope.get(_field_of(content)) == content)


def file_of(record_id: str) -> str:
    """Return the id of the file that holds a row."""
    return record_id.partition(".")[0]


def key_of(kind: str, content: Content) -> dict[str, Any]:
    """Return the key columns of a record, or of the first of several."""
    record = content[0] if isinstance(content, list) else content
    return {field.name: record[field.name] for field in fields_of(kind) if field.key}


def _envelope(kind: str, content: Content, follows: str | None) -> dict[str, Any]:
    envelope = {"kind": kind, _field_of(content): content}
    return envelope if follows is None else envelope | {"follows": follows}


@dataclass(frozen=True)
class Opened:
    """A file's records; ``rows`` is None where this version doesn't know the kind."""

    id: str
    kind: str
    recorded_at: str
    rows: tuple[dict[str, Any], ...] | None


def opened(name: str, content: bytes) -> Opened:
    """Read a file of records; raises StoreError unless it is one, whole and under its own name.

    The rows' ``record_id`` is the file's name, with a number behind it where it holds several.
    """
    try:
        envelope = json.loads(content)
        kind = envelope["kind"]
        several = "records" in envelope
        records: Content = envelope["records"] if several else envelope["record"]
        moment = datetime.fromisoformat(envelope["recorded_at"])
        file = identity(kind, records, envelope.get("follows"))
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{name} is no record of the store: {error}") from error
    if name != f"{file}.json":
        raise StoreError(f"{name} doesn't hold what its name says")
    recorded_at = moment.isoformat(timespec="microseconds")
    if kind not in KINDS:
        return Opened(file, kind, recorded_at, None)
    rows = _checked_alike(kind, records if isinstance(records, list) else [records])
    own = {"recorded_at": recorded_at}
    ids = [f"{file}.{number:06}" for number in range(len(rows))] if several else [file]
    numbered = ({"record_id": name, **own, **row} for name, row in zip(ids, rows, strict=True))
    return Opened(file, kind, recorded_at, tuple(numbered))


def _checked_alike(kind: str, several: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Check records read from a file; what looks like one that passed has only its values checked.

    A window's distances are many and all of one form.
    """
    passed: set[tuple[Any, ...]] = set()
    rows: list[Mapping[str, Any]] = []
    for record in several:
        form = (*record, *map(type, record.values()))
        if form in passed and all(map(_is_storable, record.values())):
            rows.append(record)
            continue
        rows.append(checked(kind, record))
        passed.add(form)
    return rows


def _is_storable(value: Any) -> bool:
    if type(value) is int:
        return -_2_63 <= value < _2_63
    return type(value) is not str or "\0" not in value


def moment(content: bytes) -> str:
    """Return when a file was recorded, to sort by; empty for what is no record."""
    try:
        return str(json.loads(content)["recorded_at"])
    except (ValueError, KeyError, TypeError):
        return ""


def columns_of(kind: str) -> tuple[str, ...]:
    """Return what a row of the index has; raises UnknownNameError for another kind."""
    return ("event_id", "record_id", "recorded_at", *(field.name for field in fields_of(kind)))


def read_back(kind: str, frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the index's rows as plain values."""
    jsons = {field.name for field in fields_of(kind) if field.type == "json"}
    names = frame.columns
    columns = (
        [None if text is None else json.loads(text) for text in frame[name]]
        if name in jsons
        else frame[name].to_list()
        for name in names
    )
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _field_of(content: Content) -> str:
    return "records" if isinstance(content, list) else "record"


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


def _canonical(value: Any) -> bytes:
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()
