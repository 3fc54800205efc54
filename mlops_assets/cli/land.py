"""`mlops land`: one file, checked where it landed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets import clock
from mlops_assets.cli.output import shown, stdout
from mlops_assets.declaration import Declaration
from mlops_assets.project import Project
from mlops_assets.words import counted

if TYPE_CHECKING:
    from mlops_assets.batches.landing import Landing
    from mlops_assets.records.store import Store
    from mlops_assets.versions import Repository


@dataclass(frozen=True)
class Outcome:
    """What became of a landed file."""

    model: str
    file: str
    landing: Landing | None  # None: main holds exactly this already
    rows: int | None
    holder: str | None  # the process that has the home
    retried: bool = False  # work on it had been given up, and is tried again
    waits_until: datetime | None = None  # its window's end, which is yet to come
    waiting: str | None = None  # branch of what landed before a refused file, and still waits

    @property
    def refused(self) -> bool:
        """Whether it may not be merged."""
        return self.landing is not None and self.landing.refused

    def as_json(self) -> dict[str, Any]:
        """Return the documented form."""
        landing = self.landing
        return {
            "model": self.model,
            "file": self.file,
            "outcome": "unchanged"
            if landing is None
            else "refused"
            if landing.refused
            else "landed",
            "kind": landing.kind if landing else None,
            "window": landing.window if landing else None,
            "branch": landing.branch if landing else None,
            "rows": self.rows,
            "problems": list(landing.problems) if landing else [],
            "waits_until": self.waits_until and self.waits_until.isoformat(),
            "notes": list(landing.notes) if landing else [],
            "waiting": self.waiting,
        }

    def print(self) -> None:
        """Say it to a person."""
        landing = self.landing
        if landing is None:
            what = "its work had failed and is tried again" if self.retried else "nothing to do"
            stdout.print(f"{shown(self.file)}: main holds exactly this already; {what}.")
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
            if self.waiting:
                stdout.print(f"What landed before still waits on {self.waiting}.", markup=False)
            return
        stdout.print(
            f"Landed: {what}, {counted(self.rows or 0, 'row')}, checked.",
            style="green",
            markup=False,
        )
        for note in landing.notes:
            stdout.print(f"  - {shown(note)}")
        if self.waits_until is not None:
            stdout.print(
                f"{landing.window} is not over: it waits, and is taken when the window ends, "
                f"{self.waits_until:%Y-%m-%d %H:%M %Z}. Land it again if rows came after; "
                f"`mlops withdraw {self.model} {landing.window}` takes it back.",
                markup=False,
            )
            return
        stdout.print(self.taken_in_by, markup=False)

    @property
    def taken_in_by(self) -> str:
        """Who ingests it, and when."""
        if self.holder is None:
            return "It waits on its branch; `mlops dev` ingests it."
        if "mlops dev" in self.holder:
            return f"{self.holder} picks it up within seconds."
        if f"`mlops replay {self.model}`" in self.holder:
            return f"It waits on its branch; {self.holder} takes it in, if it plays that far."
        return f"It waits on its branch; once {self.holder} is done, `mlops dev` ingests it."


def land_file(
    model: str,
    file: Path,
    *,
    window: str | None,
    labels: bool | None,
    replace: bool = False,
    jump: bool = False,
) -> Outcome:
    """Land a file on its branch and check it there; only then what waited before it is put away.

    Raises:
        MlopsError: no such model, no such file, no declared window, one that is yet to begin, or
            a batch far ahead of all others without `jump`.

    """
    from mlops_assets.batches.landing import Kind, delivered, newest, put
    from mlops_assets.batches.maturity import refuse_jump
    from mlops_assets.cli.retrain import write_control
    from mlops_assets.records.store import Store
    from mlops_assets.versions import open_repository

    project = Project.find()
    declaration = project.playable(model)
    project.home.prepare()
    repository = open_repository(project.home.repository, project.home.cache)
    kind: Kind | None = None if labels is None else "labels" if labels else "batches"
    with delivered(
        repository, declaration, file, kind=kind, window=window, replace=replace
    ) as delivery:
        kind, window = delivery.kind, delivery.window
        if kind == "batches" and not jump:
            refuse_jump(repository, declaration, window)
        landing = put(repository, declaration, delivery, again=True, taken_back=True)
    retried = window in failing(Store(project.home.store), model)
    if retried:  # its runs had failed too often: a person lands it again, so they may try again
        write_control(Store(project.home.store), model, "retry", window)
    rows = None
    if landing is not None and not landing.refused:
        landing, rows = check_landing(repository, declaration, landing)
    waits_until = waiting = None
    if landing and landing.refused:
        before = newest(repository, declaration, kind, window)
        waiting = before.branch if before else None
    elif landing and not declaration.windows.has_ended(window, clock.now()):
        waits_until = declaration.windows.ends(window)
    return Outcome(
        model, file.name, landing, rows, project.home.holder(), retried, waits_until, waiting
    )


def failing(store: Store, model: str) -> set[str]:
    """Return the windows on which work was given up, since its runs had failed too often."""
    return {
        row["window"]
        for row in store.latest("decisions", model=model, trigger="data")
        if row["code"] == "failing"
    }


def check_landing(
    repository: Repository, declaration: Declaration, landing: Landing
) -> tuple[Landing, int]:
    """Check a landed file where it lies; a refused one gets its report. Also return its rows.

    What waited for the window before one that passes is put away.
    """
    from mlops_assets.batches.landing import audit_landing, refuse, succeed
    from mlops_assets.instance import report_checks

    report = audit_landing(repository, declaration, landing)
    if report.passed:
        succeed(repository, declaration, landing)
        return landing, report.rows
    report_checks(declaration, landing, report)
    return refuse(repository, declaration, landing, report), report.rows
