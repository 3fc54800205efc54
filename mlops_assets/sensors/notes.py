"""What the sensors write down of what they did not do: a row among the decisions that says why."""

from __future__ import annotations

from typing import Any

from mlops_assets.declaration import Declaration
from mlops_assets.records.store import Store


def note(
    declaration: Declaration,
    store: Store,
    *,
    cause: str,
    window: str,
    trigger: str,
    decision: str,
    code: str,
    reason: str,
) -> dict[str, Any]:
    """Write down what is no decision about evidence, dated by the end of its window; return the row."""
    row = {
        "model": declaration.name,
        "cause": cause,
        "window": window,
        "trigger": trigger,
        "decision": decision,
        "code": code,
        "reason": reason,
        "champion": None,
        # there may be no window, or one of before that is declared no more
        "decided_at": declaration.windows.ends(window).isoformat()
        if declaration.windows.declares(window)
        else "",
    }
    store.add("decisions", row)
    return row
