"""The governor: it stands between evidence and a retraining.

Everything here is a pure function of facts, so a replayed history decides as the live one did.
Spans are counted in windows of the data; only the age of a run in flight is wall-clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from mlops_assets.decisions.learnable import Obstacle
from mlops_assets.words import counted

Trigger = Literal[
    "manual",
    "initial",
    "new_target",
    "staleness",
    "drift",
    "performance",
    "new_data",
    "schedule",
    "missing",
    "declaration",
]
Code = Literal[
    "due",
    "in_flight",
    "cancelled",
    "failing",
    "declined",
    "paused",
    "breaker",
    "cooldown",
    "budget",
    "unmatured",
    "no_labels",
    "one_class",
    "same_data",
    "not_stale",
    # what is no evidence for a retraining, and decided all the same: to go on without it
    "missing_batch",
    "missing_labels",
    "arrived",
    "superseded",
    "done",
]

_ORDER = tuple(get_args(Trigger))


@dataclass(frozen=True)
class Evidence:
    """Something that speaks for a retraining. `cause` names it once and for all."""

    cause: str
    trigger: Trigger
    window: str
    reason: str
    champion: int | None


@dataclass(frozen=True)
class Facts:
    """What the governor looks at.

    Attributes:
        paused: who paused the model and why, or None.
        in_flight_minutes: wall-clock age of the youngest retraining still running, or None.
        in_flight_cause: the cause it runs for.
        windows_since_training: windows of data between the last finished retraining (promoted or
            refused) and now; None before the first.
        mature_windows: windows whose labels can be trusted.
        unseen_windows: newest of them that the champion was not trained on.
        new_windows: mature windows that the last attempt, promoted or refused, did not have; None
            before the first.
        failed_attempts: how many runs for this cause ended without a promotion or a refusal.
        cancelled: whether a person cancelled the newest of them.
        declined: the cause of a retraining that a person cancelled since the newest window landed,
            or None.
        refused_in_a_row: challengers refused since the last promotion.
        runs_this_month: attempts after the first promotion that ended in the month of the data's time before now.
        minutes_this_month: what they took, in minutes of a run.
        obstacle: why nothing can be learnt or compared before other labels come, or None.
        not_stale: what mature labels say against a retraining that drift asks for, or None.
        comparable: whether the champion learnt what a challenger will; else they are not compared.

    """

    paused: str | None
    in_flight_minutes: float | None
    in_flight_cause: str | None
    windows_since_training: int | None
    mature_windows: int
    unseen_windows: int
    new_windows: int | None
    failed_attempts: int
    refused_in_a_row: int
    runs_this_month: int
    minutes_this_month: float
    not_stale: str | None = None
    obstacle: Obstacle | None = None
    comparable: bool = True
    cancelled: bool = False
    declined: str | None = None


@dataclass(frozen=True)
class Rules:
    """What was declared; None: no limit."""

    first_after: int
    cooldown_windows: int
    holdout_windows: int
    in_flight_minutes: float
    attempts: int
    breaker_after: int
    breaker_windows: int
    runs_per_month: int | None
    minutes_per_month: float | None


@dataclass(frozen=True)
class Decision:
    """What was decided of one piece of evidence, and why."""

    evidence: Evidence
    retrain: bool
    code: Code
    reason: str


def govern(evidence: Evidence, facts: Facts, rules: Rules) -> Decision | None:
    """Decide about one piece of evidence. None: its own retraining is running already.

    A person's request overrides the pause, the breaker, the cooldown and the budget, never what
    makes the comparison honest. The first training is not held back by breaker, cooldown and
    budget, since nothing serves yet. Drift gives way to labels that say it does no harm.
    """
    running = (
        facts.in_flight_minutes is not None and facts.in_flight_minutes < rules.in_flight_minutes
    )
    if running and facts.in_flight_cause == evidence.cause:
        return None
    by_hand, first_one = evidence.trigger == "manual", evidence.trigger == "initial"
    since = facts.windows_since_training
    rivals = evidence.champion is not None and facts.comparable
    holds: list[tuple[Code, bool, str]] = [
        (
            "in_flight",
            running,
            f"a retraining for {facts.in_flight_cause or 'another reason'} is running",
        ),
        (
            "cancelled",
            facts.cancelled,
            "its run was cancelled in Dagster, and that answers it; `mlops retrain` asks again",
        ),
        (
            "failing",
            facts.failed_attempts >= rules.attempts,
            f"{counted(facts.failed_attempts, 'run')} for it crashed; see the runs in Dagster, mend the "
            "cause, then `mlops retrain`",
        ),
        (
            "declined",
            facts.declined is not None and not by_hand,
            f"the retraining for {facts.declined} was cancelled in Dagster; the next window may "
            "ask again, or `mlops retrain`",
        ),
        (
            "paused",
            facts.paused is not None and not by_hand,
            f"{facts.paused}; `mlops resume` ends it",
        ),
        (
            "breaker",
            since is not None
            and facts.refused_in_a_row >= rules.breaker_after
            and since < rules.breaker_windows
            and not (by_hand or first_one),
            f"the last {facts.refused_in_a_row} challengers were refused, so only every "
            f"{rules.breaker_windows} windows another is tried ({since} have passed); "
            "`mlops retrain` tries at once",
        ),
        (
            "cooldown",
            since is not None and since < rules.cooldown_windows and not (by_hand or first_one),
            f"{since} of {rules.cooldown_windows} windows have passed since the last retraining",
        ),
        (
            "budget",
            rules.runs_per_month is not None
            and facts.runs_this_month >= rules.runs_per_month
            and not (by_hand or first_one),
            f"{counted(facts.runs_this_month, 'retraining')} within a month, the budget is "
            f"{rules.runs_per_month}",
        ),
        (
            "budget",
            rules.minutes_per_month is not None
            and facts.minutes_this_month >= rules.minutes_per_month
            and not (by_hand or first_one),
            f"retrainings took {facts.minutes_this_month:.1f} minutes within a month, the budget "
            f"is {rules.minutes_per_month or 0:g}",
        ),
        (
            "unmatured",
            not rivals and facts.mature_windows < rules.first_after,
            f"{counted(facts.mature_windows, 'window')} with mature labels, the first training "
            f"{'of this target ' if evidence.champion is not None else ''}needs "
            f"{rules.first_after}",
        ),
        (
            "unmatured",
            rivals and facts.unseen_windows <= rules.holdout_windows,
            f"{counted(facts.unseen_windows, 'mature window')} that the champion never saw, and "
            f"{rules.holdout_windows + 1} are needed: {rules.holdout_windows} to compare on, and "
            "one to learn something new from",
        ),
        (
            facts.obstacle.code if facts.obstacle else "no_labels",
            facts.obstacle is not None,
            f"{facts.obstacle.reason if facts.obstacle else ''}; tried again when newer labels mature",
        ),
        (
            "same_data",
            facts.new_windows == 0 and not by_hand,
            "the last attempt had the same windows; the next labels bring something new",
        ),
        (
            "not_stale",
            facts.not_stale is not None and evidence.trigger == "drift",
            f"inputs moved, but {facts.not_stale}",
        ),
    ]
    for code, holds_back, why in holds:
        if holds_back:
            reason = f"{evidence.reason}; held back: {why}"
            return Decision(evidence, retrain=False, code=code, reason=reason)
    return Decision(evidence, retrain=True, code="due", reason=evidence.reason)


def changed(decision: Decision, last_code: str | None) -> bool:
    """Say whether a decision is worth a new row: one for each cause and state, not each tick."""
    return decision.code != last_code


def first(evidence: Sequence[Evidence]) -> list[Evidence]:
    """Order evidence: a person first, then the first training, then what weighs most."""
    return sorted(evidence, key=lambda one: (_ORDER.index(one.trigger), one.window, one.cause))
