"""What speaks for a retraining, and what is decided about it: functions of a `Situation`.

The same for production, which reads a situation from its records, and for a backtest.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from mlops_assets.batches.maturity import LandedWindows
from mlops_assets.decisions import attempts as past
from mlops_assets.decisions import evidence as speaks
from mlops_assets.decisions.attempts import Attempt
from mlops_assets.decisions.governor import Decision, Evidence, Facts, Rules, first, govern
from mlops_assets.decisions.learnable import Labelled, Obstacle, obstacle
from mlops_assets.decisions.staleness import Staleness
from mlops_assets.declaration import Declaration
from mlops_assets.learning.frames import declared_frame
from mlops_assets.learning.metrics import metric_named
from mlops_assets.monitoring.meaning import Meaning
from mlops_assets.monitoring.situation import Retraining, Running, Situation, Tried
from mlops_assets.monitoring.staleness import stand

#: is told what could not be weighed, and why
Failed = Callable[[str, Exception], None]


def rules_of(declaration: Declaration) -> Rules:
    """Return what the governor has to keep to."""
    declared = declaration.retraining
    return Rules(
        first_after=declaration.training.first_after,
        cooldown_windows=declared.cooldown_windows,
        holdout_windows=declaration.gates.holdout_windows,
        in_flight_minutes=declared.in_flight_minutes,
        attempts=declared.attempts,
        breaker_after=declared.breaker_after,
        breaker_windows=declared.breaker_windows,
        runs_per_month=declared.runs_per_month,
        minutes_per_month=declared.minutes_per_month,
    )


def decide(situation: Situation, failed: Failed) -> Iterator[tuple[Evidence, Decision | None]]:
    """Decide on each piece of evidence, what weighs most first; one at most is to retrain.

    None: its own retraining is running. What can't be weighed is told to `failed`, and stops no
    other.
    """
    weighing = Weighing(situation)
    found = first(weighing.evidence(failed))
    tries = situation.runs.tried([one.cause for one in found])
    due: Evidence | None = None
    for one in found:
        try:
            facts = weighing.facts(one, tries)
        except Exception as error:  # noqa: BLE001  # the next tick looks at it again
            failed(one.cause, error)
            continue
        if due is not None:  # one at a time
            facts = replace(facts, in_flight_minutes=0.0, in_flight_cause=due.cause)
        decision = govern(one, facts, rules_of(situation.declaration))
        if decision is not None and decision.retrain:
            due = one
        yield one, decision


@dataclass(frozen=True)
class Weighing:
    """One moment's evidence and facts; what several of them need is found once."""

    situation: Situation

    @property
    def declaration(self) -> Declaration:
        """What is declared of the model."""
        return self.situation.declaration

    @property
    def landed(self) -> LandedWindows:
        """Which windows there are."""
        return self.situation.landed

    def evidence(self, failed: Failed) -> list[Evidence]:
        """Return what speaks for a retraining now and was not answered yet.

        A trigger that fails is told to `failed`; what others and persons say is heard all the same.
        """
        newest, champion = self.landed.newest, self.situation.champion
        if newest is None:
            return []
        version = champion.version if champion else None
        found = [
            Evidence(cause, "manual", newest, reason, version)
            for cause, reason in self.situation.requests.items()
        ]
        if champion is None:
            least = self.declaration.training.first_after
            found += speaks.initial(self.landed.mature, newest, least)
        else:
            serving = speaks.Champion(champion.version, self.since_training or 0, self.unseen)
            if champion.unlike:
                learnt = Meaning.declared(self.declaration).learnt
                mature = self.landed.mature
                found += speaks.new_target(serving, newest, mature, champion.unlike, learnt)
            for trigger in dict.fromkeys(self.declaration.retraining.triggers):
                try:
                    found += getattr(self, f"_{trigger}")(serving, newest)
                except Exception as error:  # noqa: BLE001  # whatever it is, it is told
                    failed(trigger, error)
        return [one for one in found if one.cause not in self.situation.answered]

    def facts(self, one: Evidence, tries: Mapping[str, Tried]) -> Facts:
        """Collect what the governor looks at; `tries` is of all the evidence."""
        champion, running = self.situation.champion, self.running(one)
        cancelled = [cause for cause, runs in tries.items() if runs.cancelled]
        return Facts(
            paused=self.situation.paused,
            in_flight_minutes=running.minutes if running else None,
            in_flight_cause=running.cause if running else None,
            windows_since_training=self.since_training,
            mature_windows=len(self.landed.mature),
            unseen_windows=len(self.unseen),
            new_windows=past.new_windows(self.attempts_alike, self.landed.mature),
            failed_attempts=tries[one.cause].ended,
            cancelled=one.cause in cancelled,
            declined=next(iter(cancelled), None) or self.declined(),
            refused_in_a_row=past.refused_in_a_row(self.attempts_alike),
            runs_this_month=len(self.recent),
            minutes_this_month=sum(attempt.minutes for attempt in self.recent),
            obstacle=self.obstacle,
            not_stale=self.not_stale() if one.trigger == "drift" else None,
            comparable=champion is None or not champion.unlike,
        )

    def running(self, one: Evidence) -> Running | None:
        """Return the retraining that is in flight: its own first, so that two hold back neither."""
        longest = self.declaration.retraining.in_flight_minutes
        found = None
        for other in self.situation.runs.running:
            if other.minutes < longest and (found is None or other.cause == one.cause):
                found = other
        return found

    def declined(self) -> str | None:
        """Name the retraining that a person cancelled since the newest window landed, if any."""
        newest = self.landed.newest
        of_newest = [cause for cause, window in self.situation.cancelled if window == newest]
        return of_newest[-1] if of_newest else None

    @cached_property
    def unseen(self) -> list[str]:
        """The newest mature windows, that the champion was not trained on."""
        champion = self.situation.champion
        newest = max(champion.training_windows, default="") if champion else ""
        return [window for window in self.landed.mature if window > newest]

    @cached_property
    def obstacle(self) -> Obstacle | None:
        """What keeps the mature labels from teaching anything, as far as their counts tell."""
        if len(self.landed.mature) < self.declaration.training.first_after:
            return None
        frame = declared_frame(self.declaration, self.landed.mature)
        counts: dict[str, Labelled] = {}
        for window in frame.windows:
            labelled = self.situation.labelled(window)
            if labelled is None:
                return None  # not counted yet, or by another target; the training tells
            counts[window] = labelled
        return obstacle(
            {window: counts[window] for window in frame.training},
            {window: counts[window] for window in frame.holdout},
            self.declaration.metric,
        )

    def not_stale(self) -> str | None:
        """Say why mature labels speak against a retraining that drift asks for, if they do."""
        triggers = self.declaration.retraining.triggers
        if self.situation.champion is None or "staleness" not in triggers:
            return None
        return against_drift(self.declaration, self.standing, self.landed)

    @cached_property
    def standing(self) -> Staleness:
        """What not retraining has cost since the champion was put in force.

        Raises:
            DeclarationError: no cost was declared, and none follows from its first value.

        """
        champion = self.situation.champion
        assert champion is not None, "asked of a model with a champion only"
        until = self.landed.newest or champion.window
        return stand(self.declaration, self.landed, champion.window, until, self.situation.twins)

    @property
    def since_training(self) -> int | None:
        """Windows since the last finished retraining of a model that has a champion."""
        alike = self._alike
        if not any(one.promoted for one in alike) or self.landed.newest is None:
            return None  # a refused first training may be tried again with the next labels
        return self.declaration.windows.distance(alike[-1].window, self.landed.newest)

    @cached_property
    def attempts(self) -> list[Attempt]:
        """The attempts that ended, oldest first; those of windows now undeclared are left out."""
        return self._attempts(self.situation.retrainings)

    @cached_property
    def recent(self) -> list[Attempt]:
        """The retrainings of the last month of data."""
        now = self.landed.now
        return past.within_a_month(past.retrainings(self.attempts), now) if now else []

    @cached_property
    def attempts_alike(self) -> list[Attempt]:
        """Those of them that were to learn what is declared now: another target, another start."""
        return self._attempts(self._alike)

    @cached_property
    def _alike(self) -> list[Retraining]:
        return [one for one in self.situation.retrainings if one.alike]

    def _attempts(self, retrainings: Sequence[Retraining]) -> list[Attempt]:
        mature, windows = self.landed.mature, self.declaration.windows
        holdout = self.declaration.gates.holdout_windows
        found = []
        for one in retrainings:
            if not windows.declares(one.window):
                continue
            seen = max(one.training_windows, default="")
            if not one.promoted:  # it was compared on windows that it did not learn from
                at = bisect_right(mature, seen) - 1 + holdout
                seen = mature[min(at, len(mature) - 1)] if mature else seen
            found.append(
                Attempt(
                    window=one.window,
                    ended=windows.ends(one.window),
                    promoted=one.promoted,
                    minutes=one.minutes,
                    newest_seen=seen,
                )
            )
        return found

    def _drift(self, champion: speaks.Champion, newest: str) -> list[Evidence]:
        judged = self.situation.verdict(newest)
        if judged is None or judged.verdict != "drifted":
            return []
        return speaks.drift(champion, newest, judged.batch_version, judged.sentence)

    def _performance(self, champion: speaks.Champion, newest: str) -> list[Evidence]:
        limit, metric = self.declaration.retraining.performance, self.declaration.metric
        if limit is None:
            return []
        return speaks.performance(
            champion,
            newest,
            [
                (window, value)
                # fewer than were measured, where the delay grew
                for window in self.landed.mature
                if (value := self.situation.metric(window)) is not None
            ],
            metric=metric,
            worst=limit.worst,
            higher_is_better=metric_named(metric).higher_is_better,
            needed=limit.needed,
            of_last=limit.of_last,
        )

    def _new_data(self, champion: speaks.Champion, newest: str) -> list[Evidence]:
        enough = self.declaration.retraining.new_windows
        return speaks.new_data(champion, newest, enough) if enough else []

    def _schedule(self, champion: speaks.Champion, newest: str) -> list[Evidence]:
        every = self.declaration.retraining.every_windows
        return speaks.schedule(champion, newest, every) if every else []

    def _staleness(self, champion: speaks.Champion, newest: str) -> list[Evidence]:
        found = self.standing
        if not found.due:
            return []
        return speaks.staleness(champion, newest, found.newest, found.sentence)


def against_drift(
    declaration: Declaration, standing: Staleness, landed: LandedWindows
) -> str | None:
    """Return what labels say against a retraining that drift asks for, if they say anything.

    Labels of windows from before those that the verdict goes by know nothing of the drift.
    """
    if standing.denial is None or landed.newest is None:
        return None
    late = declaration.windows.distance(standing.newest, landed.newest)
    return standing.denial if late < declaration.drift.of_last else None
