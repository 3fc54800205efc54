"""`mlops rebuild`: a registered version trained again, and compared with what was recorded."""

from __future__ import annotations

import re

from rich.table import Table

from mlops_assets.cli.output import shown, stderr, stdout
from mlops_assets.project import Project
from mlops_assets.rebuild.rebuild import train_again
from mlops_assets.rebuild.report import Reproduction

CHECKSUM = re.compile(r"\b[0-9a-f]{40,64}\b")


def rebuild_version(model: str, version: str, *, checkout: bool = True) -> Reproduction:
    """Train a registered version of the project's again; what is done is said on stderr.

    Raises:
        UnknownNameError: no such model or version.
        RebuildError: it can't be trained again.
        MlopsError: ledger, MLflow or repository can't be read.

    """
    project = Project.find()
    project.make_importable()
    return train_again(
        project.home,
        project.root,
        project.declaration,
        model,
        version,
        checkout=checkout,
        tell=lambda what: stderr.print(what, markup=False),
    )


def show(found: Reproduction) -> None:
    """Print it for a person."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2))
    for column in ("what", "recorded", "now", "same"):
        table.add_column(column)
    said = {True: "[green]yes[/green]", False: "[red]no[/red]", None: "[dim]not recorded[/dim]"}
    for fact in found.facts:
        table.add_row(
            shown(fact.what),
            shown(shortened(fact.recorded)),
            shown(shortened(fact.now)),
            said[fact.same],
        )
    stdout.print(table)
    for difference in found.differences:
        stdout.print(f"  [red]-[/red] {shown(difference)}")
    if found.missing:
        stdout.print(
            "  [yellow]not recorded when it was trained:[/yellow] "
            + shown(", ".join(found.missing))
        )
    for note in found.notes:
        stdout.print(f"  {shown(note)}")
    style = "green" if found.identical else "red"
    stdout.print(f"[{style}]{shown(found.verdict)}[/{style}]")


def shortened(text: str | None) -> str:
    """Return the text with its checksums and commit ids cut to 12 digits."""
    return "" if text is None else CHECKSUM.sub(lambda found: found[0][:12], text)
