"""Whether the labels of some windows can teach anything yet, told from their counts alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Labelled:
    """How many rows of a window have a label, and how many of those are positive.

    `positives` is None where the target is a number, of which counts tell nothing more.
    """

    rows: int
    positives: int | None


@dataclass(frozen=True)
class Obstacle:
    """Why nothing can be learnt, or compared, before other labels come."""

    code: Literal["no_labels", "one_class"]
    reason: str


def obstacle(
    learnt: Mapping[str, Labelled], held_out: Mapping[str, Labelled], metric: str
) -> Obstacle | None:
    """Return what keeps a challenger from being trained, or from being compared; None: nothing.

    Args:
        learnt: window -> counts, of what a challenger would learn from.
        held_out: the same of the windows on which it would be compared.
        metric: by which; auc is undefined on windows of one class.

    """
    whole = _sum(learnt)
    if whole.rows == 0:
        return Obstacle("no_labels", f"no row of {_span(learnt)} has a target to learn from")
    if whole.positives in (0, whole.rows):
        many = "none" if whole.positives == 0 else "every one"
        return Obstacle(
            "one_class",
            f"of the {whole.rows:,} labelled rows of {_span(learnt)} {many} is positive, and nothing "
            "can be learnt from one class",
        )
    if not any(one.rows for one in held_out.values()):
        return Obstacle(
            "no_labels", f"no row of {_span(held_out)}, which is held out, has a target"
        )
    if metric == "auc" and all(
        one.positives in (0, one.rows) for one in held_out.values() if one.positives is not None
    ):
        return Obstacle(
            "one_class",
            f"{_span(held_out)}, which is held out, has labels of one class only, where auc is "
            "undefined",
        )
    return None


def _sum(windows: Mapping[str, Labelled]) -> Labelled:
    known = [one.positives for one in windows.values() if one.positives is not None]
    positives = sum(known) if len(known) == len(windows) else None
    return Labelled(sum(one.rows for one in windows.values()), positives)


def _span(windows: Mapping[str, Labelled]) -> str:
    first, last = min(windows), max(windows)
    return first if first == last else f"{first} to {last}"
