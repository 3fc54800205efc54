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

from pydantic import Field

from mlops_assets.declaration.sections import Drift


class DriftPolicy(Drift):
    """What counts as drift: everything that changes a verdict, as one value.

    What is declared, and how many windows a year has: a budget a year is a rate per window.
    """

    windows_per_year: float = Field(gt=0)

    @classmethod
    def declared(cls, drift: Drift, windows_per_year: float) -> Self:
        """Return the policy of a declaration."""
        return cls(**drift.model_dump(), windows_per_year=windows_per_year)

    def to_bytes(self) -> bytes:
        """Return the policy as JSON; kept as a blob, its id is ``hash``."""
        values = self.model_dump(mode="json")
        return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()

    @property
    def hash(self) -> str:
        """SHA-256 of the bytes, in hex: it changes with any field."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def sharing(self, parts: int) -> Self:
        """Return the same policy with an equal part of the budget."""
        return self.model_copy(
            update={"false_alarms_per_year": self.false_alarms_per_year / max(parts, 1)}
        )

    def alarms(self, exceeds: Sequence[bool]) -> bool:
        """Whether ``needed`` of the ``of_last`` latest windows, oldest first, exceed."""
        return sum(exceeds[-self.of_last :]) >= self.needed


@dataclass(frozen=True)
class Limit:
    """The score a window has to exceed, and what that costs in false alarms.

    ``effective`` is for how many independent windows the ``m`` of the reference stand.
    """

    score: float
    k: int
    m: int
    effective: float
    alarms_per_year: float
    budget_short: str | None


def alarm_chance(
    m: int, k: int, needed: int = 2, of_last: int = 3, resemblance: float = 0.0
) -> float:
    """Return the chance that ``needed`` of ``of_last`` windows exceed, without drift.

    The limit is the k-th largest of m own scores. All windows share it, so exceedances are not
    independent: the chance p that one exceeds is Beta(k, m + 1 - k) over references, and the
    number that do is beta-binomial. For 2 of 3 this is
    3k(k+1)/((m+1)(m+2)) - 2k(k+1)(k+2)/((m+1)(m+2)(m+3)).

    That holds where windows could have come in any order. Where each resembles the one before
    (``resemblance``, the correlation of neighbours, 0 to below 1), m of them tell no more than
    m (1 - r) / (1 + r) independent ones (Bartlett 1946, for the mean of an autoregression), and
    the next largest scores come from the same spell: both parameters shrink, but for the largest
    score itself. An approximation, checked by simulation in docs/calibration.md.
    """
    told = (1 - resemblance) / (1 + resemblance)
    a, b, n = 1 + (k - 1) * told, (m + 1 - k) * told, of_last

    def log_beta(x: float, y: float) -> float:
        return math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y)

    return sum(
        math.comb(n, j) * math.exp(log_beta(a + j, b + n - j) - log_beta(a, b))
        for j in range(needed, n + 1)
    )


def alarms_per_year(m: int, k: int, policy: DriftPolicy, resemblance: float = 0.0) -> float:
    """Return the false alarms expected in a year: ``alarm_chance`` times the windows of a year.

    Every window on which the rule holds counts, so one bad spell that keeps it true for two
    windows counts twice: an upper bound on what a person would call alarms.
    """
    chance = alarm_chance(m, k, policy.needed, policy.of_last, resemblance)
    return chance * policy.windows_per_year


def choose_limit(
    own_scores: Sequence[float], policy: DriftPolicy, resemblance: float = 0.0
) -> Limit:
    """Return the lowest limit whose false alarms keep the budget.

    The k-th largest of the m own scores, for the largest k that keeps it; where not even k = 1
    does, k = 1, and ``budget_short`` says by how much. Needs at least one own score.
    """
    m, budget = len(own_scores), policy.false_alarms_per_year
    k = 1
    while k < m and alarms_per_year(m, k + 1, policy, resemblance) <= budget:
        k += 1
    expected = alarms_per_year(m, k, policy, resemblance)
    effective = m * (1 - resemblance) / (1 + resemblance)
    short = None
    if expected > budget:
        enough = m + 1
        while alarms_per_year(enough, 1, policy, resemblance) > budget:
            enough += max(1, enough // 100)
        counting, if_not = "", " (more if windows come in spells that so few don't show)"
        if resemblance:
            counting = f" resemble their neighbours, so that they count as {effective:.0f}, and"
            if_not = ""
        short = (
            f"the reference is too short for {budget:.2g} false alarm{'' if budget == 1 else 's'} "
            f"a year: its {m} windows{counting} allow {expected:.2g}{if_not}, about {enough} "
            "would do"
        )
    return Limit(sorted(own_scores, reverse=True)[k - 1], k, m, effective, expected, short)


def rank_p_value(score: float, own_scores: Sequence[float]) -> float:
    """Return (1 + own scores at least as large) / (own scores + 1): exact if exchangeable."""
    return (1 + sum(own >= score for own in own_scores)) / (len(own_scores) + 1)
