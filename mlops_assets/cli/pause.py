"""`mlops pause` and `mlops resume`: no retraining that nobody asked for by hand."""

from __future__ import annotations

from mlops_assets.cli.person import who
from mlops_assets.monitoring.controls import set_paused
from mlops_assets.project import Project
from mlops_assets.records.store import Store


def pause_model(model: str, reason: str, *, paused: bool) -> str:
    """Pause or resume; return what to say.

    Raises:
        UnknownNameError: no such declared model.

    """
    project = Project.find()
    project.declaration(model)
    store = Store(project.home.prepare().store)
    if not set_paused(store, model, reason, paused=paused, by=who()):
        return f"{model} is {'paused already' if paused else 'not paused'}; nothing to do."
    if paused:
        return (
            f"{model} is paused: evidence is still collected and decisions are still written, "
            f"but none starts a retraining. `mlops resume {model}` ends it."
        )
    return f"{model} is resumed."
