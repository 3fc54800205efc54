"""`mlops land`: one file, checked where it landed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlops_assets.batches.landing import Kind
from mlops_assets.cli.output import shown, stdout
from mlops_assets.cli.person import who
from mlops_assets.home import Home
from mlops_assets.instance import report_checks
from mlops_assets.monitoring.landing import Landed
from mlops_assets.monitoring.landing import land_file as land
from mlops_assets.project import Project
from mlops_assets.records.store import Store
from mlops_assets.versions import open_repository
from mlops_assets.words import counted


def land_file(
    model: str,
    file: Path,
    *,
    window: str | None,
    labels: bool | None,
    replace: bool = False,
    jump: bool = False,
) -> Landed:
    """Land a file in the home's repository; Dagster shows what failed of its checks.

    Raises:
        MlopsError: no such model, no such file, no declared window, one that is yet to begin, or
            a batch far ahead of all others without `jump`.

    """
    project = Project.find()
    declaration = project.playable(model)
    home = project.home.prepare()
    kind: Kind | None = None if labels is None else "labels" if labels else "batches"
    landed = land(
        open_repository(home.repository, home.cache),
        Store(home.store),
        declaration,
        file,
        kind=kind,
        window=window,
        replace=replace,
        jump=jump,
        by=who(),
    )
    if landed.landing is not None and landed.report is not None and not landed.report.passed:
        report_checks(declaration, landed.landing, landed.report)
    return landed


def documented(model: str, file: Path, landed: Landed) -> dict[str, Any]:
    """Return the documented form."""
    landing = landed.landing
    return {
        "model": model,
        "file": file.name,
        "outcome": "unchanged" if landing is None else "refused" if landing.refused else "landed",
        "kind": landing.kind if landing else None,
        "window": landing.window if landing else None,
        "branch": landing.branch if landing else None,
        "rows": landed.report.rows if landed.report else None,
        "problems": list(landing.problems) if landing else [],
        "waits_until": landed.waits_until and landed.waits_until.isoformat(),
        "notes": list(landing.notes) if landing else [],
        "waiting": landed.waiting,
    }


def show(model: str, file: Path, landed: Landed) -> None:
    """Print it for a person, and who takes it in."""
    landing = landed.landing
    if landing is None:
        what = "its work had failed and is tried again" if landed.retried else "nothing to do"
        stdout.print(f"{shown(file.name)}: main holds exactly this already; {what}.")
        return
    what = f"{landing.kind} of {landing.window}"
    if landing.refused:
        stdout.print(f"Refused: {what}. Main is untouched.", style="red", markup=False)
        for problem in landing.problems:
            stdout.print(f"  - {shown(problem)}")
        stdout.print(
            f"It stays on branch {landing.branch} with its report. Mend the file, or what "
            "the declaration asks of it, and land it again.",
            markup=False,
        )
        if landed.waiting:
            stdout.print(f"What landed before still waits on {landed.waiting}.", markup=False)
        return
    rows = landed.report.rows if landed.report else 0
    stdout.print(
        f"Landed: {what}, {counted(rows, 'row')}, checked.",
        style="green",
        markup=False,
    )
    for note in landing.notes:
        stdout.print(f"  - {shown(note)}")
    if landed.waits_until is not None:
        stdout.print(
            f"{landing.window} is not over: it waits, and is taken when the window ends, "
            f"{landed.waits_until:%Y-%m-%d %H:%M %Z}. Land it again if rows came after; "
            f"`mlops withdraw {model} {landing.window}` takes it back.",
            markup=False,
        )
        return
    stdout.print(taken_in_by(model, Home.find().holder()), markup=False)


def taken_in_by(model: str, holder: str | None) -> str:
    """Say who ingests what waits, and when; `holder` is the process that has the home."""
    if holder is None:
        return "It waits on its branch; `mlops dev` ingests it."
    if "mlops dev" in holder:
        return f"{holder} picks it up within seconds."
    if f"`mlops replay {model}`" in holder:
        return f"It waits on its branch; {holder} takes it in, if it plays that far."
    return f"It waits on its branch; once {holder} is done, `mlops dev` ingests it."
