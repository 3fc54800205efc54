"""A record as a file: its name is a hash of what it says, its content JSON of one spelling."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mlops_assets.errors import StoreError
from mlops_assets.records import kinds
from mlops_assets.records.record import (
    Record,
    checked,
    is_storable,
    keys_of,
    migrated,
    version_of,
)

Content = Mapping[str, Any] | list[dict[str, Any]]


def identity(kind: type[Record], content: Content, follows: str | None = None) -> str:
    """Return the SHA-256 of the kind and a record, or several in one file: the file's name.

    ``follows`` is the record_id of a newer one of the same key, after which this state returned:
    without it, the file would be the one of before.
    """
    return _hash(_envelope(kind, content, follows))


def sealed(
    kind: type[Record], content: Content, follows: str | None = None, after: datetime | None = None
) -> bytes:
    """Return what stands in the file of a record or several, stamped with the wall clock (UTC).

    It is later than ``after`` (UTC, naive), wherever the clock stands.
    """
    now = datetime.now(UTC).replace(tzinfo=None)
    if after is not None:
        now = max(now, after + timedelta(microseconds=1))
    stamp = {"recorded_at": now.isoformat(timespec="microseconds")}
    return _canonical(_envelope(kind, content, follows) | stamp)


def same_content(kind: type[Record], content: Content, file: bytes) -> bool:
    """Whether a file holds this record, or these, whatever it follows."""
    envelope = json.loads(file)
    there = envelope.get(_field_of(content))
    if (version := envelope.get("version", 1)) != version_of(kind) and there is not None:
        several = there if isinstance(there, list) else [there]
        rows = [checked(kind, migrated(kind, record, version)) for record in several]
        there = rows if isinstance(there, list) else rows[0]
    return bool(envelope["kind"] == kind.KIND and there == content)


def file_of(record_id: str) -> str:
    """Return the id of the file that holds a row."""
    return record_id.partition(".")[0]


def key_of(kind: type[Record], content: Content) -> dict[str, Any]:
    """Return the key fields of a record, or of the first of several."""
    record = content[0] if isinstance(content, list) else content
    return {name: record[name] for name in keys_of(kind)}


def _envelope(kind: type[Record], content: Content, follows: str | None) -> dict[str, Any]:
    return _enveloped(kind.KIND, version_of(kind), content, follows)


def _enveloped(kind: str, version: int, content: Content, follows: str | None) -> dict[str, Any]:
    envelope: dict[str, Any] = {"kind": kind, _field_of(content): content}
    if version > 1:  # the first is not written: kinds had no versions once
        envelope["version"] = version
    return envelope if follows is None else envelope | {"follows": follows}


@dataclass(frozen=True)
class Opened:
    """A file's records; ``rows`` is None where this code doesn't know the kind or its version."""

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
        version = int(envelope.get("version", 1))
        follows = envelope.get("follows")
        file = _hash(_enveloped(kind, version, records, follows))
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{name} is no record of the store: {error}") from error
    if name != f"{file}.json":
        raise StoreError(f"{name} doesn't hold what its name says")
    recorded_at = moment.isoformat(timespec="microseconds")
    known = kinds.KINDS.get(kind)
    if known is None or version > version_of(known):
        return Opened(file, kind, recorded_at, None)
    several_of = records if isinstance(records, list) else [records]
    if version < version_of(known):
        several_of = [dict(migrated(known, record, version)) for record in several_of]
    rows = _checked_alike(known, several_of)
    own = {"recorded_at": recorded_at}
    ids = [f"{file}.{number:06}" for number in range(len(rows))] if several else [file]
    numbered = ({"record_id": name, **own, **row} for name, row in zip(ids, rows, strict=True))
    return Opened(file, kind, recorded_at, tuple(numbered))


def _checked_alike(
    kind: type[Record], several: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Check records read from a file; what looks like one that passed has only its values checked.

    A window's distances are many and all of one form.
    """
    passed: set[tuple[Any, ...]] = set()
    rows: list[Mapping[str, Any]] = []
    for record in several:
        form = (*record, *map(type, record.values()))
        if form in passed and all(map(is_storable, record.values())):
            rows.append(record)
            continue
        rows.append(checked(kind, record))
        passed.add(form)
    return rows


def moment(content: bytes) -> str:
    """Return when a file was recorded, to sort by; empty for what is no record."""
    try:
        return str(json.loads(content)["recorded_at"])
    except (ValueError, KeyError, TypeError):
        return ""


def _field_of(content: Content) -> str:
    return "records" if isinstance(content, list) else "record"


def _hash(envelope: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(envelope)).hexdigest()


def _canonical(value: Any) -> bytes:
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()
