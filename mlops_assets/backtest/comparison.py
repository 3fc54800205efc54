"""Policies side by side: retrainings, gain, compute, and net value as a share of hindsight's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean

from mlops_assets.backtest.cache import Cache
from mlops_assets.backtest.models import Mark
from mlops_assets.backtest.policies import Policy
from mlops_assets.backtest.simulation import Simulation
from mlops_assets.decisions.hindsight import Best, hindsight, share_of
from mlops_assets.decisions.staleness import default_cost
from mlops_assets.declaration import Declaration
from mlops_assets.errors import TrainingError
from mlops_assets.learning.frames import declared_frame
from mlops_assets.monitoring.situation import Champion


@dataclass(frozen=True)
class Played:
    """What a policy did to the history, and what that was worth.

    Attributes:
        name: the policy's.
        hash: the policy's.
        simulation: each decision, attempt and champion.
        value: mean of the metric over the measured windows.
        gain: over the frozen first model, in metric (or money) x months.
        net: gain less the cost of every attempt after the first, promoted or refused.
        share: net as a share of hindsight's; None where hindsight could earn nothing.
        by_window: what it gained on each measured window, in metric (or money) x months.

    """

    name: str
    hash: str
    simulation: Simulation
    value: float | None
    gain: float
    net: float
    share: float | None
    by_window: Mapping[str, float]

    @property
    def attempts(self) -> int:
        """Retrainings, promoted or refused; the first training is none."""
        return len(self.simulation.retrainings) - self._first

    @property
    def promoted(self) -> int:
        """Retrainings that were promoted."""
        return max(len(self.simulation.champions) - 1, 0)

    @property
    def minutes(self) -> float:
        """Minutes of fitting that the attempts took, were nothing shared."""
        return sum(one.minutes for one in self.simulation.retrainings[self._first :])

    @property
    def _first(self) -> int:
        """Attempts up to the first champion."""
        done = [one.promoted for one in self.simulation.retrainings]
        return done.index(True) + 1 if True in done else len(done)


@dataclass
class Backtest(Cache):
    """One history, played by policies and valued."""

    @cached_property
    def frozen(self) -> Champion:
        """The first champion, which the gates and no policy decide on.

        Raises:
            TrainingError: the history is too short, or no challenger passed.

        """
        calendar = self.declaration.retraining.model_copy(update={"triggers": []})
        simulation = self.simulation(self.declaration.model_copy(update={"retraining": calendar}))
        if not simulation.play().champions:
            raise TrainingError(
                f"{self.declaration.name}: no champion in the whole history, so there is nothing "
                "to compare policies on; it needs more windows with labels, or a challenger that "
                "passes the gates"
            )
        return simulation.champions[0]

    @cached_property
    def first(self) -> Mark:
        """The model of the first champion; raises as `frozen`."""
        return self.models.mark(self.frozen.training_windows)

    @cached_property
    def cost(self) -> float:
        """What a retraining costs: as declared, or by default, in metric (or money) x months."""
        declared = self.declaration.retraining.cost
        if declared is not None:
            return declared
        first = (self.models.value(self.first, window) for window in self.served)
        known = next((value for value in first if value is not None), float("nan"))
        return default_cost(self.declaration.metric, known)

    @cached_property
    def served(self) -> list[str]:
        """The windows after the first promotion."""
        return [window for window in self.history.windows if window > self.frozen.window]

    @cached_property
    def measured(self) -> list[str]:
        """Those of them with mature labels, on which the first model's gain is defined."""
        return [
            window
            for window in self.history.landed(self.history.windows[-1]).mature
            if window > self.frozen.window
            and (
                self.declaration.retraining.kpi is not None  # money is, of any window
                or self.models.value(self.first, window) is not None
            )
        ]

    def simulation(self, declaration: Declaration, head_start: int = 0) -> Simulation:
        """Return a policy's simulation, not yet played."""
        return Simulation(declaration, self, head_start)

    def played(self, policy: Policy, best: Best, *, cost: float, head_start: int = 0) -> Played:
        """Play a policy and value it at a cost."""
        simulation = self.simulation(policy.declaration, head_start).play()
        by_window = {}
        values = []
        for window in self.measured:
            served = simulation.serving(window)
            if served is None:
                continue
            mark = self.models.mark(served.training_windows)
            gain = self.models.gain(mark, self.first, window)
            if gain is not None:
                by_window[window] = gain * self.history.months(window)
            value = self.models.value(mark, window)
            if value is not None:
                values.append(value)
        gain = sum(by_window.values())
        played = Played(
            policy.name,
            policy.hash,
            simulation,
            fmean(values) if values else None,
            gain,
            0.0,
            None,
            by_window,
        )
        net = gain - cost * played.attempts
        return replace(played, net=net, share=share_of(net, best))

    def candidates(self) -> dict[str, Mark]:
        """Return turn -> what a retraining after it would have promoted, gates left aside."""
        found: dict[str, Mark] = {}
        for turn in [self.frozen.window, *self.served][:-1]:
            mature = self.history.landed(turn).mature
            frame = declared_frame(self.declaration, mature)
            mark = self.models.mark(frame.windows)
            if turn != self.frozen.window and mark not in found.values():
                found[turn] = mark
        return found

    def gains(self, tell: Callable[[str], None]) -> dict[str, dict[str, float]]:
        """Return what each candidate gains over the frozen model on each later window."""
        table: dict[str, dict[str, float]] = {}
        for turn, mark in self.candidates().items():
            tell(f"candidate of {turn}")
            table[turn] = {}
            for window in self.measured:
                if window <= turn:
                    continue
                gain = self.models.gain(mark, self.first, window)
                if gain is not None:
                    table[turn][window] = gain * self.history.months(window)
        return table


def compared(
    backtest: Backtest, policies: Sequence[Policy], tell: Callable[[str], None]
) -> tuple[list[Played], Best]:
    """Play all policies on one history, and find the best schedule in hindsight."""
    cost = backtest.cost
    best = hindsight(backtest.served, backtest.gains(tell), cost)
    results = []
    for policy in policies:
        tell(f"policy {policy.name}")
        results.append(backtest.played(policy, best, cost=cost))
    return results, best
