"""The drift policy, and the limit that follows from its budget of false alarms.

A window is judged against the spread of the reference's own windows, never by a p-value over rows:
the rows of one week share its weather, its promotions, its outages.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class DriftPolicy(BaseModel):
    """What counts as drift: a budget of false alarms instead of a threshold.

    ``null_change`` and ``new_categories`` are for the warning signs: how far the share of missing
    values must be from the reference's and outside what its own windows had, and the share of rows
    in categories never seen before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    false_alarms_per_year: float = Field(default=1.0, gt=0)
    leave_out: tuple[str, ...] = ()
    min_row_share: float = Field(default=0.5, ge=0, le=1)
    null_change: float = Field(default=0.05, gt=0, le=1)
    new_categories: float = Field(default=0.005, ge=0, le=1)
    needed: int = Field(default=2, ge=1)
    of_last: int = Field(default=3, ge=1)

    @model_validator(mode="after")
    def _needed_fits(self) -> Self:
        if self.needed > self.of_last:
            raise ValueError(f"needed ({self.needed}) is more than of_last ({self.of_last})")
        return self

    @property
    def hash(self) -> str:
        """Twelve hex digits that change with any field."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Limit:
    """The score a window has to exceed, and what that costs in false alarms."""

    score: float
    k: int
    m: int
    alarms_per_year: float
    budget_short: str | None


def alarm_chance(m: int, k: int, needed: int = 2, of_last: int = 3) -> float:
    """Return the chance that ``needed`` of ``of_last`` windows exceed, without drift.

    The limit is the k-th largest of m own scores. All windows share it, so exceedances are not
    independent: the chance p that one exceeds is Beta(k, m + 1 - k) over references, and the
    number that do is beta-binomial. For 2 of 3 this is
    3k(k+1)/((m+1)(m+2)) - 2k(k+1)(k+2)/((m+1)(m+2)(m+3)).
    """
    a, b, n = k, m + 1 - k, of_last

    def log_beta(x: float, y: float) -> float:
        return math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y)

    return sum(
        math.comb(n, j) * math.exp(log_beta(a + j, b + n - j) - log_beta(a, b))
        for j in range(needed, n + 1)
    )


def alarms_per_year(m: int, k: int, windows_per_year: float, policy: DriftPolicy) -> float:
    """Return the false alarms expected in a year: ``alarm_chance`` times the windows of a year.

    Every window on which the rule holds counts, so one bad spell that keeps it true for two
    windows counts twice: an upper bound on what a person would call alarms.
    """
    return alarm_chance(m, k, policy.needed, policy.of_last) * windows_per_year


def choose_limit(
    own_scores: Sequence[float], policy: DriftPolicy, windows_per_year: float
) -> Limit:
    """Return the lowest limit whose false alarms keep the budget.

    The k-th largest of the m own scores, for the largest k that keeps it; where not even k = 1
    does, k = 1, and ``budget_short`` says by how much. Needs at least one own score.
    """
    m, budget = len(own_scores), policy.false_alarms_per_year
    k = 1
    while k < m and alarms_per_year(m, k + 1, windows_per_year, policy) <= budget:
        k += 1
    expected = alarms_per_year(m, k, windows_per_year, policy)
    short = None
    if expected > budget:
        enough = m + 1
        while alarms_per_year(enough, 1, windows_per_year, policy) > budget:
            enough += max(1, enough // 100)
        short = (
            f"the reference is too short for {budget:g} false alarm{'' if budget == 1 else 's'} a year: "
            f"its {m} windows allow {expected:.1f}, about {enough} would do"
        )
    return Limit(sorted(own_scores, reverse=True)[k - 1], k, m, expected, short)


def rank_p_value(score: float, own_scores: Sequence[float]) -> float:
    """Return (1 + own scores at least as large) / (own scores + 1): exact if exchangeable."""
    return (1 + sum(own >= score for own in own_scores)) / (len(own_scores) + 1)
