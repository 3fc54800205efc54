"""One policy's way through a history: production's loop, on models that are fitted once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NoReturn

from mlops_assets.backtest.gates import Gates
from mlops_assets.backtest.models import Mark, Models
from mlops_assets.backtest.twins import Twins
from mlops_assets.backtest.verdicts import JudgedWindows, Profiles
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


@dataclass(frozen=True)
class Served:
    """A champion, and the window after which it was promoted."""

    version: int
    mark: Mark
    window: str


@dataclass
class Simulation:
    """A policy, played.

    Attributes:
        declaration: the model's, with the policy's sections.
        models: shared by all policies, as what follows is.
        profiles: see there.
        twins: see there.
        gates: see there.
        head_start: windows by which a calendar's first retraining comes earlier: its phase.

    """

    declaration: Declaration
    models: Models
    profiles: Profiles
    twins: Twins
    gates: Gates
    head_start: int = 0
    champions: list[Served] = field(default_factory=list)
    retrainings: list[Retraining] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    _judged: dict[str, WindowVerdict] = field(default_factory=dict)
    _windows: dict[str, Row] = field(default_factory=dict)  # as `JudgedWindows` keeps them
    _codes: dict[str, str] = field(default_factory=dict)

    def play(self) -> Simulation:
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
        """Decide and retrain, until nothing is due any more."""
        while (due := self.decide(landed)) is not None:
            self.retrain(due, landed)

    def decide(self, landed: LandedWindows) -> Evidence | None:
        """Decide once, and return for what a retraining is due."""
        due = None
        for one, decided in decide(Moment(self, landed), _fail):
            if decided is None:
                continue
            if changed(decided, self._codes.get(one.cause)):
                self._codes[one.cause] = decided.code
                self.decisions.append(decided)
            if decided.retrain:
                due = one
        return due

    def verdict(self, window: str) -> WindowVerdict | None:
        """Judge a window that the champion scored; each once, in order."""
        served = self.champion
        if served is None or self.serving(window) is not served:
            return None
        if window not in self._judged:
            windows = JudgedWindows(self.declaration, self.profiles, served.mark, self._windows)
            found = windows.judge(window, served.version, served.window)
            self._judged[window] = WindowVerdict(found.verdict, found.sentence, "")
        return self._judged[window]

    def retrain(self, one: Evidence, landed: LandedWindows) -> None:
        """Fit a challenger, ask the gates, refit, compare, promote or refuse.

        Where a number to be learnt is always the same, it waits for newer labels.
        """
        self.answered.add(one.cause)
        frame = declared_frame(self.declaration, landed.mature)
        challenger = self.models.mark(frame.training)
        try:
            self.models.fitted(challenger)
        except NotYetError:
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
        window, promoted = str(landed.newest), refusal is None
        if promoted:
            self.champions.append(Served(len(self.champions) + 1, refit, window))
        self.retrainings.append(
            Retraining(
                window=window,
                trigger=one.trigger,
                reason=one.reason if refusal is None else refusal,
                promoted=promoted,
                training_windows=frame.windows if promoted else frame.training,
                minutes=sum(self.models.seconds[mark] for mark in used) / 60,
            )
        )


@dataclass(frozen=True)
class Moment:
    """The situation of a simulation's model when a window was the newest; see `Situation`."""

    simulation: Simulation
    landed: LandedWindows
    runs: Runs = field(default_factory=EndAtOnce)
    requests: Mapping[str, str] = field(default_factory=dict)
    cancelled: Sequence[tuple[str, str]] = ()
    paused: str | None = None

    @cached_property
    def declaration(self) -> Declaration:
        """The policy's; a calendar's first period is shorter by the head start."""
        declared, ahead = self.simulation.declaration, self.simulation.head_start
        every = declared.retraining.every_windows
        of_first = len(self.simulation.champions) == 1 and self.simulation.retrainings[-1].promoted
        if not (ahead and every and of_first):
            return declared
        sooner = {"every_windows": max(every - ahead, 1)}
        retraining = declared.retraining.model_copy(update=sooner)
        return declared.model_copy(update={"retraining": retraining})

    @property
    def champion(self) -> Champion | None:
        """The version that serves, if one does."""
        served = self.simulation.champion
        if served is None:
            return None
        return Champion(served.version, served.window, served.mark.windows)

    @property
    def retrainings(self) -> list[Retraining]:
        """Those that ended, oldest first."""
        return self.simulation.retrainings

    @property
    def answered(self) -> set[str]:
        """The causes of those, and of what could not be learnt."""
        return self.simulation.answered

    def verdict(self, window: str) -> WindowVerdict | None:
        """Return the drift verdict of a window that the champion scored, if it did."""
        return self.simulation.verdict(window)

    def metric(self, window: str) -> float | None:
        """Return the metric of the champion's scores of a window; None: there is none."""
        served = self.simulation.champion
        if served is None or window <= served.window:
            return None
        return self.simulation.models.value(served.mark, window)

    def twins(self, window: str) -> Comparison | None:
        """Return what a retraining before a window would have earned there; None: not yet known."""
        served = self.simulation.champion
        if served is None or window not in self._mature:
            return None
        return self.simulation.twins.compared(served.mark.windows, window)

    def labelled(self, window: str) -> Labelled | None:
        """Return how many labels a window has."""
        return self.simulation.models.history.labels_of(window)

    @cached_property
    def _mature(self) -> frozenset[str]:
        return frozenset(self.landed.mature)


def _fail(what: str, error: Exception) -> NoReturn:
    error.add_note(f"while a backtest weighed {what}")
    raise error
