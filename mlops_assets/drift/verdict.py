"""A verdict as a value, and in a person's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from mlops_assets.drift.policy import DriftPolicy

Outcome = Literal["stable", "warning", "drifted", "insufficient"]

_UNITS = {8766: "hours", 365.25: "days", 52.18: "weeks", 12: "months"}
_NAMED = 3  # of things that may be many


@dataclass(frozen=True)
class FeatureLine:
    """One column's part in a verdict.

    ``share`` is its part of the score, 0 to 1. ``own_low`` and ``own_high`` are the range of the
    distance in the reference's own windows. ``cardinality_change`` is the number of distinct
    values, 1 for as many as its own windows usually have. ``psi`` and ``wasserstein`` (in sd of
    the reference) decide nothing.
    """

    feature: str
    kind: str
    distance: float
    own_low: float
    own_high: float
    share: float
    null_change: float
    psi: float | None
    wasserstein: float | None
    cardinality_change: float | None


@dataclass(frozen=True)
class Verdict:
    """What the policy, named by its hash, says of one window.

    Without a score nothing was compared. ``m`` windows of the reference set the limit, which is
    the ``k``-th largest of their own scores; they stand for ``effective`` independent ones.
    ``segments`` are the verdicts on parts of the rows.
    """

    window: str
    verdict: Outcome
    sentence: str
    policy: str
    rows: int = 0
    score: float | None = None
    limit: float | None = None
    p_value: float | None = None
    k: int | None = None
    m: int | None = None
    effective: float | None = None
    exceeds: bool = False
    prediction_exceeds: bool = False
    alarms_per_year: float | None = None
    budget_short: str | None = None
    features: tuple[FeatureLine, ...] = ()
    warnings: tuple[str, ...] = ()
    unjudged: tuple[tuple[str, str], ...] = ()
    segments: Mapping[str, Verdict] = field(default_factory=dict)


def sentence(
    outcome: Outcome,
    *,
    score: float,
    limit: float,
    recent: Sequence[bool],
    lines: Sequence[FeatureLine],
    warnings: Sequence[str],
    policy: DriftPolicy,
) -> str:
    """Return what was found of one window, without its surroundings."""
    compared = "score {}, limit {}".format(*apart(score, limit))
    signs = "; ".join(warnings[:2])
    if policy.alarms(recent):
        judged = min(policy.of_last, len(recent))
        exceeding = sum(recent[-policy.of_last :])
        said = f"{exceeding} of the last {judged} windows exceed the limit ({compared})"
    elif recent[-1]:
        said = (
            f"this window exceeds the limit ({compared}), too few of the last {policy.of_last} do"
        )
    elif warnings:
        # of a window within the limit the sign is what the verdict goes by
        said, signs = f"{signs}; the score is within the limit ({compared})", ""
    else:
        said = f"within the limit ({compared})"
    parts = [f"{outcome}: {said}"]
    if lines and lines[0].share:
        top = lines[0]
        parts.append(f"{moved(top, policy)} and makes up {top.share:.0%} of the score")
    return "; ".join([*parts, *([signs] if signs else [])])


def moved(line: FeatureLine, policy: DriftPolicy) -> str:
    """Say how far a column moved, and how far it does in the reference's own windows."""
    own = f"{short(line.own_low)} to {short(line.own_high)}"
    return f"{line.feature} moved {short(line.distance)} (its own {units(policy)}: {own})"


def surroundings(
    verdict_of: Mapping[str, Verdict], unjudged: Sequence[tuple[str, str]], policy: DriftPolicy
) -> list[str]:
    """Say which segments stand out, and which windows before this one don't count."""
    parts = []
    for outcome in ("drifted", "warning", "insufficient"):
        names = [name for name, verdict in verdict_of.items() if verdict.verdict == outcome]
        if names:
            deciding = outcome == "drifted" and not policy.segments_decide
            parts.append(
                f"{_listed(names)} {outcome}" + (" (segments don't decide)" if deciding else "")
            )
    if unjudged:
        many = (
            f"{len(unjudged)} windows before it don't"
            if len(unjudged) > 1
            else "1 before it doesn't"
        )
        named = _listed([f"{window} {why}" for window, why in unjudged])
        parts.append(f"{many} count: {named}")
    return parts


def units(policy: DriftPolicy) -> str:
    """Return what the windows are called."""
    a_year = policy.windows_per_year
    return next((unit for n, unit in _UNITS.items() if abs(a_year / n - 1) < 0.03), "windows")


def short(value: float) -> str:
    """Return two digits, or three where two would hide it, without the leading zero."""
    text = f"{value:.2f}" if value >= 0.095 or not value else f"{value:.3f}"
    return text.removeprefix("0") or "0"


def apart(one: float, other: float) -> tuple[str, str]:
    """Return two numbers with as few digits as show which is larger."""
    said = short(one), short(other)
    for digits in range(3, 9):
        if said[0] != said[1] or one == other:
            break
        said = f"{one:.{digits}f}", f"{other:.{digits}f}"
        said = said[0].removeprefix("0"), said[1].removeprefix("0")
    return said


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
