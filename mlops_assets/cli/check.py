"""`mlops check`: everything that can be known of declarations before they run, and on a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlops_assets.batches.landing import Kind
from mlops_assets.checking.model import Checked, check_declaration
from mlops_assets.cli.output import shown, stdout
from mlops_assets.errors import UnknownNameError
from mlops_assets.project import Project


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
    """Check one declared model; one that can't be kept is not tried."""
    if model in project.broken:
        return Checked(model, tuple(str(project.broken[model]).splitlines()))
    kind: Kind | None = None if labels is None else "labels" if labels else "batches"
    declaration, origin = project.declaration(model), project.origin(model)
    return check_declaration(declaration, origin, project.root, data, kind=kind, window=window)


def documented(checked: list[Checked]) -> dict[str, Any]:
    """Return the documented form."""
    return {
        "passed": not any(one.problems for one in checked),
        "models": [
            {
                "model": one.model,
                "passed": not one.problems,
                "problems": list(one.problems),
                "warnings": list(one.warnings),
            }
            for one in checked
        ],
    }


def show(checked: list[Checked]) -> None:
    """Print it for a person."""
    if not checked:
        stdout.print("no model is declared; docs/declaration.md says how")
    for one in checked:
        for problem in one.problems:
            stdout.print(shown(problem))
        for warning in one.warnings:
            stdout.print(f"[yellow]warning:[/yellow] {shown(warning)}")
        if not one.problems:
            stdout.print(f"{one.model}: as declared{one.sample}", markup=False)
