"""The report of a rebuild: what was recorded, what it is now, and what follows from that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

COMMIT = "project's commit"  # the fact that a checkout changes
PRESENT = "present"  # code: of this very project, as it stands


@dataclass(frozen=True)
class Fact:
    """One thing a model follows from, or is; `same` is None where it was not recorded."""

    what: str
    recorded: str | None
    now: str | None
    same: bool | None

    @classmethod
    def of(cls, what: str, recorded: str | None, now: str | None) -> Fact:
        """Compare what was recorded with what is."""
        return cls(what, recorded, now, None if recorded is None else recorded == now)


@dataclass(frozen=True)
class Reproduction:
    """What became of training a registered version again."""

    model: str
    version: int
    identical: bool
    verdict: str
    code: str  # PRESENT, or the commit that was checked out
    trained_on: str  # the "rebuilt" training set, or the "recorded" one
    facts: tuple[Fact, ...]
    differences: tuple[str, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    max_score_difference: float | None
    rows: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the documented form."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Reproduction:
        """Read what `as_json` gave, here or in another version of this project.

        Raises:
            KeyError: a field is missing.

        """
        parts = {field.name: found[field.name] for field in fields(cls)}
        parts["facts"] = tuple(
            Fact(**{field.name: fact[field.name] for field in fields(Fact)})
            for fact in found["facts"]
        )
        for name in ("differences", "missing", "notes"):
            parts[name] = tuple(found[name])
        return cls(**parts)
