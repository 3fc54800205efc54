"""`mlops retrain`, `mlops pause`, `mlops resume`: the person in charge."""

from __future__ import annotations

import getpass
from typing import Any

from mlops_assets import clock
from mlops_assets.errors import HomeError
from mlops_assets.project import Project
from mlops_assets.records.store import Store


def write_control(store: Store, model: str, action: str, reason: str) -> str:
    """Write down what a person asked for, and when; return when."""
    at = clock.now().isoformat(timespec="milliseconds")
    store.add(
        "controls",
        {"model": model, "action": action, "reason": reason, "by": who(), "requested_at": at},
    )
    return at


def who() -> str:
    """Return the name of the person at the command line, as the system knows it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "somebody"


def set_paused(model: str, action: str, reason: str) -> str:
    """Pause or resume; return what to say.

    Raises:
        UnknownNameError: no such declared model.

    """
    project = Project.find()
    project.declaration(model)
    store = Store(project.home.prepare().store)
    both = ("pause", "resume")
    rows = [row for row in store.rows("controls", model=model) if row["action"] in both]
    newest = max(rows, key=lambda row: (row["requested_at"], row["event_id"]), default=None)
    is_paused = newest is not None and newest["action"] == "pause"
    if is_paused == (action == "pause"):
        return f"{model} is {'paused already' if is_paused else 'not paused'}; nothing to do."
    write_control(store, model, action, reason)
    if action == "pause":
        return (
            f"{model} is paused: evidence is still collected and decisions are still written, "
            f"but none starts a retraining. `mlops resume {model}` ends it."
        )
    return f"{model} is resumed."


def ask_for_retraining(model: str, reason: str) -> dict[str, Any]:
    """Ask for a retraining. Where a daemon serves the home it starts it, else it runs here.

    Raises:
        UnknownNameError: no such declared model.
        HomeError: a replay holds the home.

    """
    project = Project.find()
    declaration = project.playable(model)
    store = Store(project.home.prepare().store)
    holder = project.home.holder()
    if holder and "mlops dev" not in holder:
        raise HomeError(f"{project.home.root} is in use by {holder}; ask again when it is done")
    if holder:
        at = write_control(store, model, "retrain", reason)
        return {
            "model": model,
            "cause": f"manual:{at}",
            "outcome": "requested",
            "message": f"Requested; {holder} starts it within seconds. See `mlops status {model}`.",
        }
    from mlops_assets.cli.output import stderr
    from mlops_assets.replay.connections import kept_open
    from mlops_assets.replay.player import Player
    from mlops_assets.replay.recovery import recover

    with project.home.held(f"mlops retrain {model}"), kept_open():
        at = write_control(store, model, "retrain", reason)
        cause = f"manual:{at}"

        def tell(message: str) -> None:
            stderr.print(message, markup=False)

        recover(project, tell)
        Player(project, declaration, tell).settle()
        decided = store.latest("decisions", model=model, cause=cause)
        waits = any(row["decision"] == "held_back" for row in decided)
        for row in [] if waits else store.latest("outcomes", model=model, cause=cause):
            what = f"promoted version {row['version']}" if row["promoted"] else "refused"
            return {
                "model": model,
                "cause": cause,
                "outcome": "promoted" if row["promoted"] else "refused",
                "message": f"Retrained, {what}: {row['reason']}",
            }
        for row in decided:
            return {
                "model": model,
                "cause": cause,
                "outcome": row["decision"],
                "message": f"Not retrained: {row['reason']}",
            }
    return {
        "model": model,
        "cause": cause,
        "outcome": "waiting",
        "message": "Nothing has landed to train on; the request stands.",
    }
