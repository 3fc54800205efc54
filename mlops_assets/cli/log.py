"""`mlops log`: the ledger, oldest first."""

from __future__ import annotations

from typing import Any

from mlops_assets.cli.output import shown, stdout
from mlops_assets.errors import UnknownNameError
from mlops_assets.home import Home
from mlops_assets.registry.ledger import Ledger


def read_log(model: str) -> list[dict[str, Any]]:
    """Return every entry of a model's ledger in the documented form.

    Raises:
        UnknownNameError: nothing is known of such a model.

    """
    home = Home.find()
    entries = Ledger(home.ledger).entries(model)
    if not entries:
        from mlops_assets.cli.declared import declared
        from mlops_assets.monitoring.known import known_models
        from mlops_assets.project import Project

        known = {*known_models(home), *declared(Project.find()).models}
        if model not in known:
            raise UnknownNameError.among(
                "model, declared or with any state here,", model, sorted(known)
            )
    return [
        {
            "at": entry.at,
            "event": entry.event,
            "version": entry.version,
            "previous": entry.previous,
            "data_commit": entry.data_commit,
            "gates": [gate.model_dump() for gate in entry.gates],
            "reason": entry.reason,
            "window": entry.window,
            "trigger": entry.trigger,
            "cause": entry.cause,
            "mlflow_run_id": entry.mlflow_run_id,
            "fingerprint": entry.fingerprint,
            "training_windows": list(entry.training_windows),
        }
        for entry in entries
    ]


def show_log(model: str, entries: list[dict[str, Any]]) -> None:
    """Print it for a person."""
    if not entries:
        stdout.print(f"{model}: nothing was promoted or refused yet.", markup=False)
    for entry in entries:
        version = f"v{entry['version']}" if entry["version"] is not None else "a challenger"
        style = "green" if entry["event"] == "promoted" else "yellow"
        stdout.print(
            f"[bold]{shown(entry['window'])}[/bold]  [{style}]{entry['event']}[/{style}] {version}"
            f" (before: {'v' + str(entry['previous']) if entry['previous'] else 'none'},"
            f" {shown(entry['trigger'])})"
        )
        stdout.print(f"  {shown(entry['reason'])}")
        for gate in entry["gates"]:
            mark = "[green]passed[/green]" if gate["passed"] else "[red]failed[/red]"
            stdout.print(f"  {mark} {shown(gate['name'])}: {shown(gate['sentence'])}")
        stdout.print(f"  [dim]data {str(entry['data_commit'])[:12]}, {entry['at']}[/dim]")
