"""Staleness: what not retraining has cost since the champion was promoted, and when that is enough.

For each window two small models were compared, one that learnt from what the champion learnt from
and one that learnt from everything known before the window (see `learning.twins`). Their
difference is what a retraining would have earned there. The idea of a staleness cost is that of
CARA (Mahadevan and Mathioudakis 2024); the rule is the mean of two that are optimal for opposite
kinds of change: looking back for a slow one, looking forward for a step.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from mlops_assets.errors import DeclarationError

_AUC_COST = 0.01  # for a month
_SHARE_COST = 0.03  # of the champion's first value, for a month: metrics with a unit of their own
_COSTS = 2  # that the sum and a month at the latest rate must reach together
_DRIFTED_COSTS = 1  # the same where the inputs drift: that is evidence too, but not of a loss
_WEEK = 7 / (365.25 / 12)  # months; a rate is of no less, for one day's or one hour's is noise
_SHOWN = 3


class StalenessPolicy(BaseModel):
    """What a retraining costs: in metric x months, or in the money of the declared KPI.

    Without a cost the metric's default stands in (see `default_cost`); money has none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cost: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    unit: Literal["metric", "money"] = "metric"

    @property
    def hash(self) -> str:
        """Twelve hex digits that change with any field."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class TwinDifference:
    """What a retraining would have earned on one window, or why that can't be said.

    Attributes:
        window: its key.
        months: its length.
        gain: the newer twin's metric less the champion's twin's, or money a month; positive: a
            retraining would have helped. None: it can't be judged.
        reason: why it can't be judged; empty where it was.

    """

    window: str
    months: float
    gain: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Staleness:
    """What not retraining has cost so far, what it costs now, and whether that is enough.

    Attributes:
        total: sum of gain x months over the judged windows, signed.
        rate: gain of the latest judged window, for a month; of shorter ones than a week, the mean
            of the latest week's. 0 where none was judged.
        cost: of a retraining, in the unit of total; None where nothing was judged that it is a
            share of.
        due: whether total + rate x 1 month >= 2 costs.
        denial: what was judged says against a retraining that drift alone asks for; None unless
            total + rate x 1 month < 1 cost.
        judged: how many windows were.
        newest: the key of the latest of them; empty where none was.
        unjudged: the keys of those that were not, in order.
        sentence: all of it for a person.

    """

    total: float
    rate: float
    cost: float | None
    due: bool
    denial: str | None
    judged: int
    newest: str
    unjudged: tuple[str, ...]
    sentence: str


def staleness(
    differences: Sequence[TwinDifference], cost: float | None, *, measure: str = "the metric"
) -> Staleness:
    """Sum up the windows since the champion was promoted, in any order.

    Differences count with their sign: where the older model did better, that pays back.

    Args:
        differences: one for each window that the champion served.
        cost: of a retraining, in gain x months, above 0; None only if no window was judged.
        measure: what the sentence calls the unit of gain, as `auc` or `money`.

    Raises:
        ValueError: the cost is not a finite number above 0, or a window comes twice.

    """
    if cost is not None and not (math.isfinite(cost) and cost > 0):
        raise ValueError(f"a retraining can't cost {cost}; declare a number above 0")
    ordered = sorted(differences, key=lambda one: one.window)
    if len({one.window for one in ordered}) < len(ordered):
        raise ValueError("a window comes twice among the differences")
    judged = [(one, one.gain) for one in ordered if one.gain is not None]
    unjudged = [one for one in ordered if one.gain is None]
    total = math.fsum(gain * one.months for one, gain in judged)
    rate = latest_rate([(gain, one.months) for one, gain in judged])
    if judged and cost is None:
        raise ValueError("windows were judged, so what a retraining costs has to be known")
    due, denial = False, None
    if cost is not None and judged:
        due = total + rate >= _COSTS * cost
        if total + rate < _DRIFTED_COSTS * cost:
            denial = (
                f"by the labels up to {judged[-1][0].window} not retraining has "
                f"{'cost' if total >= 0 else 'earned'} {_short(abs(total))}; with a month at the "
                f"latest rate that costs {_short(total + rate)}, less than a retraining's "
                f"{_short(cost)}"
            )
    return Staleness(
        total=total,
        rate=rate,
        cost=cost,
        due=due,
        denial=denial,
        judged=len(judged),
        newest=judged[-1][0].window if judged else "",
        unjudged=tuple(one.window for one in unjudged),
        sentence="; ".join(
            [*_said(total, rate, cost, len(judged), measure, due=due), *_unjudged(unjudged)]
        ),
    )


def latest_rate(gains: Sequence[tuple[float, float]]) -> float:
    """Return the mean gain, for a month, of the latest windows that make up a week or more.

    Args:
        gains: (gain, months) of each judged window, oldest first. 0 where there are none.

    """
    latest: list[tuple[float, float]] = []
    for one in reversed(gains):
        latest.append(one)
        if math.fsum(months for _, months in latest) > _WEEK * (1 - 1e-9):
            break
    if len(latest) < 2:
        return latest[0][0] if latest else 0.0
    weight = math.fsum(months for _, months in latest)
    return math.fsum(gain * months for gain, months in latest) / weight


def default_cost(metric: str, first_value: float) -> float:
    """Return what a retraining costs where nothing was declared, in metric x months.

    .01 for auc, which means the same everywhere; for the others 3% of the champion's first value.

    Raises:
        DeclarationError: the first value is 0 or no number, so that a share of it says nothing.

    """
    if metric == "auc":
        return _AUC_COST
    if not (math.isfinite(first_value) and first_value > 0):
        raise DeclarationError(
            f"the champion's first {metric} is {first_value:g}, so that the default cost of a "
            "retraining, a share of it, says nothing; declare retraining.cost"
        )
    return _SHARE_COST * first_value


def _said(
    total: float, rate: float, cost: float | None, judged: int, measure: str, *, due: bool
) -> list[str]:
    if not judged or cost is None:
        return ["staleness can't be judged yet"]
    unit = measure if measure == "money" else f"{measure} x months"
    windows = f"{judged} window{'' if judged == 1 else 's'}"
    verb = "cost" if total >= 0 else "earned"
    return [
        f"{'stale' if due else 'not stale'}: not retraining has {verb} {_short(abs(total))} {unit} "
        f"over {windows}",
        f"at the latest rate a month more {'costs' if rate >= 0 else 'earns'} {_short(abs(rate))}",
        f"together {_short(total + rate)}, and a retraining is worth its price from "
        f"{_short(_COSTS * cost)} on (twice its cost of {_short(cost)})",
    ]


def _unjudged(windows: Sequence[TwinDifference]) -> list[str]:
    """Say which windows could not be judged, those of one reason together."""
    reasons: dict[str, list[str]] = {}
    for one in windows:
        reasons.setdefault(one.reason or "no reason given", []).append(one.window)
    parts = []
    for reason, names in reasons.items():
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        parts.append(f"not judged: {', '.join(names[:_SHOWN])}{more} ({reason})")
    return parts


def _short(value: float) -> str:
    """Return four decimals, or more where they would hide it, and thousands with commas."""
    return f"{value:,.4f}" if abs(value) >= 0.001 or not value else f"{value:.2g}"
