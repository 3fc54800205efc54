"""One policy's way through a history: the very decisions of production, without its machinery."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from mlops_assets.backtest.gates import Gates
from mlops_assets.backtest.models import Mark, Models
from mlops_assets.backtest.twins import Twins
from mlops_assets.backtest.verdicts import Judging, Verdicts
from mlops_assets.batches.maturity import LandedWindows
from mlops_assets.decisions import attempts as past
from mlops_assets.decisions import evidence as speaks
from mlops_assets.decisions.attempts import Attempt
from mlops_assets.decisions.governor import Decision, Evidence, Facts, Rules, changed, first, govern
from mlops_assets.decisions.learnable import Obstacle, obstacle
from mlops_assets.decisions.staleness import Staleness, TwinDifference, staleness
from mlops_assets.declaration import Declaration
from mlops_assets.errors import NotYetError
from mlops_assets.learning.frames import frame_of
from mlops_assets.learning.metrics import metric_named
from mlops_assets.monitoring.measure import measure
from mlops_assets.monitoring.staleness import cost, months, unjudged
from mlops_assets.sensors.facts import against_drift


@dataclass(frozen=True)
class Served:
    """A champion, and the window after which it was promoted."""

    version: int
    mark: Mark
    window: str


@dataclass(frozen=True)
class Retraining:
    """One attempt: when, why, and what came of it."""

    window: str
    trigger: str
    reason: str
    promoted: bool
    minutes: float


@dataclass
class Course:
    """A policy, played.

    Attributes:
        declaration: the model's, with the policy's sections.
        models: shared by all policies, as what follows is.
        verdicts: see there.
        twins: see there.
        gates: see there.
        rules: of the governor.
        head_start: windows by which a calendar's first retraining comes earlier: its phase.

    """

    declaration: Declaration
    models: Models
    verdicts: Verdicts
    twins: Twins
    gates: Gates
    rules: Rules
    head_start: int = 0
    champions: list[Served] = field(default_factory=list)
    retrainings: list[Retraining] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    _attempts: list[Attempt] = field(default_factory=list)
    _judging: Judging | None = None
    _codes: dict[str, str] = field(default_factory=dict)
    _answered: set[str] = field(default_factory=set)

    def play(self) -> Course:
        """Play every window in order, then return itself."""
        for window in self.models.history.windows:
            self.turn(self.models.history.landed(window))
        return self

    @property
    def champion(self) -> Served | None:
        """The version that serves from the next window on."""
        return self.champions[-1] if self.champions else None

    def serving(self, window: str) -> Served | None:
        """Return the champion in force when a window landed."""
        before = [served for served in self.champions if served.window < window]
        return before[-1] if before else None

    def turn(self, landed: LandedWindows) -> None:
        """Decide as the sensor does, until nothing is due any more."""
        newest = str(landed.newest)
        found = [*self.evidence(landed, newest)]
        while found:
            due: Evidence | None = None
            for one in first(found):
                facts = self.facts(landed)
                if due is not None:  # one at a time, also within a tick
                    facts = replace(facts, in_flight_minutes=0.0, in_flight_cause=due.cause)
                decided = govern(one, facts, self.rules)
                if decided is None:
                    continue
                if changed(decided, self._codes.get(one.cause)):
                    self._codes[one.cause] = decided.code
                    self.decisions.append(decided)
                if decided.retrain:
                    due = one
            if due is None:
                return
            self.retrain(due, landed)
            found = [*self.evidence(landed, newest, judged=True)]

    def evidence(
        self, landed: LandedWindows, newest: str, *, judged: bool = False
    ) -> Iterable[Evidence]:
        """Yield what speaks for a retraining; `judged`: the window's verdict is known already."""
        if self.champion is None:
            found = speaks.initial(landed.mature, newest, self.rules.first_after)
        else:
            champion = speaks.Champion(
                self.champion.version,
                self.since(landed) or 0,
                [w for w in landed.mature if w > self.champion.mark.windows[-1]],
            )
            found = []
            for trigger in dict.fromkeys(self.declaration.retraining.triggers):
                if trigger == "drift":
                    found += [] if judged else self._drift(champion, newest)
                else:
                    found += getattr(self, f"_{trigger}")(champion, landed, newest)
        return [one for one in found if one.cause not in self._answered]

    def facts(self, landed: LandedWindows) -> Facts:
        """Return what the governor looks at."""
        assert landed.now is not None
        recent = past.within_a_month(past.retrainings(self._attempts), landed.now)
        seen = self.champion.mark.windows[-1] if self.champion else ""
        return Facts(
            paused=None,
            in_flight_minutes=None,
            in_flight_cause=None,
            windows_since_training=self.since(landed),
            mature_windows=len(landed.mature),
            unseen_windows=sum(window > seen for window in landed.mature),
            new_windows=past.new_windows(self._attempts, landed.mature),
            failed_attempts=0,
            refused_in_a_row=past.refused_in_a_row(self._attempts),
            runs_this_month=len(recent),
            minutes_this_month=sum(attempt.minutes for attempt in recent),
            obstacle=self.obstacle(landed),
            not_stale=self._not_stale(landed),
        )

    def obstacle(self, landed: LandedWindows) -> Obstacle | None:
        """Return what keeps the mature labels from teaching anything, as production tells it."""
        training, gates = self.declaration.training, self.declaration.gates
        if len(landed.mature) < training.first_after:
            return None
        frame = frame_of(
            landed.mature,
            least=training.first_after,
            newest=training.frame_windows,
            holdout=gates.holdout_windows,
        )
        counts = self.models.history.labels_of
        return obstacle(
            {window: counts(window) for window in frame.training},
            {window: counts(window) for window in frame.holdout},
            self.declaration.metric,
        )

    def since(self, landed: LandedWindows) -> int | None:
        """Return the windows since the last attempt, once there is a champion."""
        if self.champion is None:
            return None
        last = self._attempts[-1].window
        return self.declaration.windows.distance(last, str(landed.newest))

    def retrain(self, one: Evidence, landed: LandedWindows) -> None:
        """Fit a challenger, ask the gates, refit, compare, promote or refuse.

        Where a number to be learnt is always the same, it waits for newer labels.
        """
        training, gates = self.declaration.training, self.declaration.gates
        frame = frame_of(
            landed.mature,
            least=training.first_after,
            newest=training.frame_windows,
            holdout=gates.holdout_windows,
        )
        challenger = self.models.mark(frame.training)
        try:
            self.models.fitted(challenger)
        except NotYetError:
            self._answered.add(one.cause)
            return
        used = [challenger]
        champion = self.champion.mark if self.champion else None
        refusal = self.gates.refusal(challenger, champion, frame.holdout)
        refit = self.models.mark(frame.windows)
        if refusal is None:
            others = [self.models.mark(frame.training, further_seed=n) for n in (1, 2)]
            used += [refit, *others]
            fresh = [window for window in landed.batches if window not in refit.windows]
            refusal = self.gates.disagreement(
                refit, (challenger, *others), fresh[-1:] or frame.holdout, frame.holdout
            )
        minutes = sum(self.models.seconds[mark] for mark in used) / 60
        window = str(landed.newest)
        promoted = refusal is None
        reason = one.reason if refusal is None else refusal
        if promoted:
            self.champions.append(Served(len(self.champions) + 1, refit, window))
            self._judging = Judging(refit, window)
        self.retrainings.append(Retraining(window, one.trigger, reason, promoted, minutes))
        assert landed.now is not None
        self._attempts.append(Attempt(window, landed.now, promoted, minutes, frame.windows[-1]))
        self._answered.add(one.cause)

    def _drift(self, champion: speaks.Champion, newest: str) -> list[Evidence]:
        served = self.serving(newest)
        if served is None or self._judging is None:
            return []
        verdict = self.verdicts.of(self._judging, self.declaration, newest)
        if verdict.verdict != "drifted":
            return []
        return speaks.drift(champion, newest, "", verdict.sentence)

    def _performance(
        self, champion: speaks.Champion, landed: LandedWindows, newest: str
    ) -> list[Evidence]:
        limit = self.declaration.retraining.performance
        if limit is None or self.champion is None:
            return []
        mark, since = self.champion.mark, self.champion.window
        measured = [
            (window, value)
            for window in landed.mature
            if window > since and (value := self.models.value(mark, window)) is not None
        ]
        return speaks.performance(
            champion,
            newest,
            measured,
            metric=self.declaration.metric,
            worst=limit.worst,
            higher_is_better=metric_named(self.declaration.metric).higher_is_better,
            needed=limit.needed,
            of_last=limit.of_last,
        )

    def _new_data(
        self, champion: speaks.Champion, landed: LandedWindows, newest: str
    ) -> list[Evidence]:
        del landed
        enough = self.declaration.retraining.new_windows
        return speaks.new_data(champion, newest, enough) if enough else []

    def _schedule(
        self, champion: speaks.Champion, landed: LandedWindows, newest: str
    ) -> list[Evidence]:
        del landed
        every = self.declaration.retraining.every_windows
        if not every:
            return []
        if len(self.champions) == 1 and self._attempts[-1].promoted:  # nothing but the first
            champion = speaks.Champion(
                champion.version, champion.since + self.head_start, champion.unseen
            )
        return speaks.schedule(champion, newest, every)

    def _staleness(
        self, champion: speaks.Champion, landed: LandedWindows, newest: str
    ) -> list[Evidence]:
        standing = self._standing(landed)
        if not standing.due:
            return []
        return speaks.staleness(champion, newest, standing.newest, standing.sentence)

    def _not_stale(self, landed: LandedWindows) -> str | None:
        if self.champion is None or "staleness" not in self.declaration.retraining.triggers:
            return None
        return against_drift(self.declaration, self._standing(landed), landed)

    def _standing(self, landed: LandedWindows) -> Staleness:
        """Return what not retraining has cost since the champion was promoted."""
        served = self.champion
        assert served is not None
        length, differences, first = months(self.declaration), [], None
        mature = set(landed.mature)
        for window in landed.batches[bisect_right(landed.batches, served.window) :]:
            if window not in mature:
                why = unjudged(self.declaration, landed, window)
                differences.append(TwinDifference(window, length, None, why))
                continue
            found = self.twins.compared(served.mark.windows, window)
            differences.append(TwinDifference(window, length, found.gain, found.reason))
            if found.gain is not None and first is None:
                first = found.champion
        unit = measure(self.declaration).partition(" ")[0]
        return staleness(differences, cost(self.declaration, first), measure=unit)
