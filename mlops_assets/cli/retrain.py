"""`mlops retrain`: a retraining now, by the daemon where one serves the home, else here."""

from __future__ import annotations

from typing import Any

from mlops_assets.cli.output import stderr
from mlops_assets.cli.person import who
from mlops_assets.errors import HomeError
from mlops_assets.monitoring.controls import add_control
from mlops_assets.project import Project
from mlops_assets.records.store import Store


def ask_for_retraining(model: str, reason: str) -> dict[str, Any]:
    """Ask for a retraining; return the documented form.

    Raises:
        UnknownNameError: no such declared model.
        HomeError: a replay holds the home.

    """
    project = Project.find()
    declaration = project.playable(model)
    home = project.home.prepare()
    holder = home.holder()
    if holder and "mlops dev" not in holder:
        raise HomeError(f"{home.root} is in use by {holder}; ask again when it is done")
    if holder:
        at = add_control(Store(home.store), model, "retrain", reason, by=who())
        return {
            "model": model,
            "cause": f"manual:{at}",
            "outcome": "requested",
            "message": f"Requested; {holder} starts it within seconds. See `mlops status {model}`.",
        }
    from mlops_assets.replay.retraining import retrain_now

    answer = retrain_now(
        project,
        declaration,
        reason,
        by=who(),
        tell=lambda message: stderr.print(message, markup=False),
    )
    messages = {
        "promoted": f"Retrained, promoted version {answer.version}: {answer.reason}",
        "refused": f"Retrained, refused: {answer.reason}",
        "waiting": "Nothing has landed to train on; the request stands.",
    }
    return {
        "model": model,
        "cause": answer.cause,
        "outcome": answer.outcome,
        "message": messages.get(answer.outcome, f"Not retrained: {answer.reason}"),
    }
