"""The report of a rebuild: what was recorded, what it is now, and what follows from that."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from rich.table import Table

from mlops_assets.cli.output import shown, stdout

CHECKSUM = re.compile(r"\b[0-9a-f]{40,64}\b")
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

    def print(self) -> None:
        """Say it to a person."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2))
        for column in ("what", "recorded", "now", "same"):
            table.add_column(column)
        said = {True: "[green]yes[/green]", False: "[red]no[/red]", None: "[dim]not recorded[/dim]"}
        for fact in self.facts:
            table.add_row(
                shown(fact.what),
                shown(shortened(fact.recorded)),
                shown(shortened(fact.now)),
                said[fact.same],
            )
        stdout.print(table)
        for difference in self.differences:
            stdout.print(f"  [red]-[/red] {shown(difference)}")
        if self.missing:
            stdout.print(
                "  [yellow]not recorded when it was trained:[/yellow] "
                + shown(", ".join(self.missing))
            )
        for note in self.notes:
            stdout.print(f"  {shown(note)}")
        style = "green" if self.identical else "red"
        stdout.print(f"[{style}]{shown(self.verdict)}[/{style}]")


def shortened(text: str | None) -> str:
    """Return the text with its checksums and commit ids cut to 12 digits."""
    return "" if text is None else CHECKSUM.sub(lambda found: found[0][:12], text)
