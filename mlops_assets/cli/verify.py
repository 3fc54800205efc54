"""`mlops verify`: all that was recorded is looked up; what is not there, or not whole, is named."""

from __future__ import annotations

from functools import partial
from typing import Any

from mlops_assets.audit.verify import Verification, verify
from mlops_assets.cli.output import shown, stdout
from mlops_assets.cli.progress import spinning
from mlops_assets.instance import materialized
from mlops_assets.project import Project


def verify_models(model: str | None = None) -> Verification:
    """Look up all that was recorded of every model, or of one.

    Raises:
        UnknownNameError: nothing is known of such a model.

    """
    home = Project.find().home
    with spinning("opening") as tell:
        return verify(home, model, partial(materialized, home), tell)


def documented(found: Verification) -> dict[str, Any]:
    """Return the documented form."""
    return {
        "home": found.home,
        "models": list(found.models),
        "checked": found.checked,
        "problems": [
            {"what": one.what, "where": one.where, "do": one.do} for one in found.problems
        ],
    }


def show(found: Verification) -> None:
    """Print it for a person."""
    for one in found.problems:
        stdout.print(f"[red]broken:[/red] {shown(one.what)}")
        stdout.print(f"  [dim]in {shown(one.where)}[/dim]")
        stdout.print(f"  {shown(one.do)}")
    looked = ", ".join(f"{count:,} {name}" for name, count in found.checked.items())
    problems = f"{len(found.problems)} broken" if found.problems else "all there and whole"
    stdout.print(f"{', '.join(found.models) or 'no model yet'}: {looked}; {problems}.")
