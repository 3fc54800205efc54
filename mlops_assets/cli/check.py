"""`mlops check`: everything that can be known of declarations before they run, and on a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_assets.batches.landing import Kind
from mlops_assets.checking.declared import Declared
from mlops_assets.checking.findings import Finding
from mlops_assets.cli.output import shown, stdout
from mlops_assets.errors import UnknownNameError
from mlops_assets.project import Project


@dataclass(frozen=True)
class Checked:
    """One model: each fault and each warning on one line, with file and line."""

    model: str
    problems: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    sample: str = ""  # what a file was taken for

    def as_json(self) -> dict[str, Any]:
        """Return the documented form."""
        return {
            "model": self.model,
            "passed": not self.problems,
            "problems": list(self.problems),
            "warnings": list(self.warnings),
        }

    def print(self) -> None:
        """Print it for a person."""
        for problem in self.problems:
            stdout.print(shown(problem))
        for warning in self.warnings:
            stdout.print(f"[yellow]warning:[/yellow] {shown(warning)}")
        if not self.problems:
            stdout.print(f"{self.model}: as declared{self.sample}", markup=False)


def check_models(
    model: str | None = None,
    data: Path | None = None,
    *,
    labels: bool | None = None,
    window: str | None = None,
) -> list[Checked]:
    """Check every declared model, or one, and a file of it.

    Raises:
        UnknownNameError: no such model is declared.
        DeclarationError: the project's definitions can't be found at all.

    """
    project = Project.find()
    names = sorted({*project.declarations, *project.broken})
    if model is not None and model not in names:
        raise UnknownNameError.among("declared model", model, names)
    if model is None and data is not None:
        if len(names) != 1:
            raise UnknownNameError(
                f"--data is a file of one model: name it, as in mlops check {names[0]} --data "
                f"{data}"
                if names
                else "no model is declared"
            )
        (model,) = names
    return [
        check_model(project, name, data, labels=labels, window=window)
        for name in names
        if model is None or name == model
    ]


def check_model(
    project: Project,
    model: str,
    data: Path | None = None,
    *,
    labels: bool | None = None,
    window: str | None = None,
) -> Checked:
    """Check one declared model: without data, by trying it, and on a file."""
    if model in project.broken:
        return Checked(model, tuple(str(project.broken[model]).splitlines()))
    from mlops_assets.checking.sample import sample_problems
    from mlops_assets.checking.trial import trial_problems

    declaration, origin = project.declaration(model), project.origin(model)

    def lines(findings: list[Finding]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.said(origin, project.root) for one in findings))

    found, sample = trial_problems(declaration), ""
    if data is not None:
        asked: Kind | None = None if labels is None else "labels" if labels else "batches"
        kind, of, problems = sample_problems(declaration, data, kind=asked, window=window)
        found += problems
        sample = f", and {data.name} is what it should be: {kind} of {of}"
    warnings = Declared(declaration).warnings(project.root)
    warnings += origin.repeated() if origin else []
    return Checked(model, lines(found), lines(warnings), sample)


def as_json(checked: list[Checked]) -> dict[str, Any]:
    """Return the documented form."""
    return {
        "passed": not any(one.problems for one in checked),
        "models": [one.as_json() for one in checked],
    }


def show(checked: list[Checked]) -> None:
    """Print it for a person."""
    if not checked:
        stdout.print("no model is declared; docs/declaration.md says how")
    for one in checked:
        one.print()
