"""One policy's way through a history: production's loop, on models that are fitted once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from mlops_assets.backtest.cache import Cache
from mlops_assets.backtest.verdicts import JudgedWindows
from mlops_assets.batches.maturity import LandedWindows
from mlops_assets.decisions.governor import Decision, Evidence, changed
from mlops_assets.decisions.learnable import Labelled
from mlops_assets.declaration import Declaration
from mlops_assets.drift.past import Row
from mlops_assets.errors import NotYetError
from mlops_assets.learning.frames import declared_frame
from mlops_assets.learning.twins import Comparison
from mlops_assets.monitoring.loop import decide
from mlops_assets.monitoring.situation import Champion, EndAtOnce, Retraining, Runs, WindowVerdict


@dataclass
class Simulation:
    """A policy, played: at each window the `Situation` that its loop decides on.

    Attributes:
        policy: the model's declaration, with the policy's sections.
        cache: shared by all policies.
        head_start: windows by which a calendar's first retraining comes earlier: its phase.
        champions: those that were promoted, oldest first.
        retrainings: those that ended, oldest first.
        decisions: one for each cause and state.
        answered: the causes of the retrainings, and of what could not be learnt.
        landed: the windows there are, as play goes on.

    """

    policy: Declaration
    cache: Cache
    head_start: int = 0
    champions: list[Champion] = field(default_factory=list)
    retrainings: list[Retraining] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    landed: LandedWindows = field(default_factory=lambda: LandedWindows((), (), (), None))
    # nobody is there to ask, pause or cancel, and nothing crashes
    runs: Runs = field(default_factory=EndAtOnce)
    requests: Mapping[str, str] = field(default_factory=dict)
    cancelled: Sequence[tuple[str, str]] = ()
    paused: str | None = None
    _mature: frozenset[str] = frozenset()
    _judged: dict[str, WindowVerdict] = field(default_factory=dict)
    _windows: dict[str, Row] = field(default_factory=dict)  # as `JudgedWindows` keeps them
    _codes: dict[str, str] = field(default_factory=dict)

    def play(self) -> Simulation:
        """Play every window in order, then return itself."""
        for window in self.cache.history.windows:
            self.landed = self.cache.history.landed(window)
            self._mature = frozenset(self.landed.mature)
            while (due := self.decide()) is not None:
                self.retrain(due)
        return self

    @property
    def declaration(self) -> Declaration:
        """The policy's; a calendar's first period is shorter by the head start."""
        every = self.policy.retraining.every_windows
        of_first = len(self.champions) == 1 and self.retrainings[-1].promoted
        if not (self.head_start and every and of_first):
            return self.policy
        sooner = {"every_windows": max(every - self.head_start, 1)}
        retraining = self.policy.retraining.model_copy(update=sooner)
        return self.policy.model_copy(update={"retraining": retraining})

    @property
    def champion(self) -> Champion | None:
        """The version that serves from the next window on."""
        return self.champions[-1] if self.champions else None

    def serving(self, window: str) -> Champion | None:
        """Return the champion in force when a window landed."""
        before = [champion for champion in self.champions if champion.window < window]
        return before[-1] if before else None

    def verdict(self, window: str) -> WindowVerdict | None:
        """Judge a window that the champion scored; each once, in order."""
        champion = self.champion
        if champion is None or self.serving(window) is not champion:
            return None
        if window not in self._judged:
            mark = self.cache.models.mark(champion.training_windows)
            windows = JudgedWindows(self.policy, self.cache.profiles, mark, self._windows)
            found = windows.judge(window, champion.version, champion.window)
            self._judged[window] = WindowVerdict(found.verdict, found.sentence, "")
        return self._judged[window]

    def metric(self, window: str) -> float | None:
        """Return the metric of the champion's scores of a window; None: there is none."""
        champion, models = self.champion, self.cache.models
        if champion is None or window <= champion.window:
            return None
        return models.value(models.mark(champion.training_windows), window)

    def twins(self, window: str) -> Comparison | None:
        """Return what a retraining before a window would have earned there; None: not yet known."""
        if self.champion is None or window not in self._mature:
            return None
        return self.cache.twins.compared(tuple(self.champion.training_windows), window)

    def labelled(self, window: str) -> Labelled | None:
        """Return how many labels a window has."""
        return self.cache.history.labels_of(window)

    def decide(self) -> Evidence | None:
        """Decide once, and return for what a retraining is due."""
        due = None
        for one, decided in decide(self, _fail):
            if decided is None:
                continue
            if changed(decided, self._codes.get(one.cause)):
                self._codes[one.cause] = decided.code
                self.decisions.append(decided)
            if decided.retrain:
                due = one
        return due

    def retrain(self, one: Evidence) -> None:
        """Fit a challenger, ask the gates, refit, compare, promote or refuse.

        Where a number to be learnt is always the same, it waits for newer labels.
        """
        self.answered.add(one.cause)
        models, gates = self.cache.models, self.cache.gates
        frame = declared_frame(self.policy, self.landed.mature)
        challenger, refit = models.mark(frame.training), models.mark(frame.windows)
        try:
            models.fitted(challenger)
        except NotYetError:
            return
        used = [challenger]
        rival = models.mark(self.champion.training_windows) if self.champion else None
        refusal = gates.refusal(challenger, rival, frame.holdout)
        if refusal is None:
            others = [models.mark(frame.training, further_seed=n) for n in (1, 2)]
            used += [refit, *others]
            fresh = [window for window in self.landed.batches if window not in refit.windows]
            refusal = gates.disagreement(
                refit, (challenger, *others), fresh[-1:] or frame.holdout, frame.holdout
            )
        window, promoted = str(self.landed.newest), refusal is None
        if promoted:
            self.champions.append(Champion(len(self.champions) + 1, window, frame.windows))
        self.retrainings.append(
            Retraining(
                window=window,
                trigger=one.trigger,
                reason=one.reason if refusal is None else refusal,
                promoted=promoted,
                training_windows=frame.windows if promoted else frame.training,
                minutes=sum(models.seconds[mark] for mark in used) / 60,
            )
        )


def _fail(what: str, error: Exception) -> NoReturn:
    error.add_note(f"while a backtest weighed {what}")
    raise error
