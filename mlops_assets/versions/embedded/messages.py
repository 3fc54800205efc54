"""A commit's message as git keeps it: the text, then one trailer of JSON with the metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

_TRAILER = "\n\nMlops-Assets: "


class Message(NamedTuple):
    """The parts; `created_at` (UTC) is None in a commit that another tool made."""

    text: str
    metadata: dict[str, str]
    created_at: datetime | None


def encode(text: str, metadata: Mapping[str, str], created_at: datetime) -> str:
    """Return the message for git; the time stands in it because git's own has whole seconds only."""
    trailer = {
        "created_at": created_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "metadata": dict(metadata),
    }
    return f"{text}{_TRAILER}{json.dumps(trailer, sort_keys=True)}\n"


def decode(message: str) -> Message:
    """Return the parts of a message, of ours or of any other tool."""
    text, found, trailer = message.rpartition(_TRAILER)
    if found:
        try:
            parsed = json.loads(trailer)
            created_at = datetime.fromisoformat(parsed["created_at"])
            return Message(text, dict(parsed["metadata"]), created_at)
        except (ValueError, KeyError, TypeError):
            pass  # somebody wrote the trailer by hand: then it is a part of the text
    return Message(message.strip(), {}, None)


def author_of(metadata: Mapping[str, str], default: tuple[str, str]) -> tuple[str, str]:
    """Return the author's name and mail: the metadata's `author`, as "Name <mail>" or a name alone."""
    name, _, mail = metadata.get("author", "").partition("<")
    clean = [" ".join(part.replace(">", " ").replace("\0", " ").split()) for part in (name, mail)]
    return (clean[0] or default[0], clean[1] or default[1])
