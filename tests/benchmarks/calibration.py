"""`python -m tests.benchmarks.calibration` measures the drift verdict and writes docs/calibration.md.

How often does it cry wolf where nothing drifts, and how soon does it see what does? Histories are
made of real weeks (see `null_histories`); the limit, the budget and the rule are the verdict's own.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl

from mlops_assets.drift.policy import DriftPolicy, choose_limit
from mlops_assets.drift.resemblance import resemblance
from tests.benchmarks.calibration_page import page
from tests.benchmarks.measuring import ROOT
from tests.benchmarks.null_histories import (
    Floats,
    Simulated,
    Weeks,
    flights,
    importance,
    judged,
    orders,
    profiled,
    tabled,
    with_columns,
)

PAGE = ROOT / "docs/calibration.md"
HISTORIES = 1000
JUDGED = 16  # windows after the reference, of which the first two complete the first three
REFERENCES = (8, 13, 26, 52)  # 52 from simulated weeks: there are 50 real ones
ROWS = (1_000, 10_000)
FEATURES = (5, 30)
SPELLS = (1, 4)  # weeks that keep their order
SHIFTS = (0.1, 0.2, 0.5)  # sd
POLICY = DriftPolicy(windows_per_year=365.25 / 7)


@dataclass(frozen=True)
class Setting:
    """One kind of history."""

    reference: int
    rows: int
    features: int
    spell: int
    shifted: tuple[str, float] | None = None

    @property
    def seed(self) -> int:
        """A seed of its own, and the same for every shift, so that histories are."""
        return self.reference * 1_000_003 + self.rows * 101 + self.features * 7 + self.spell


@dataclass(frozen=True)
class Found:
    """What the verdict did in many histories of one kind, one figure each.

    ``alarms`` in a year, ``said`` the alarms that it said it would give, ``short`` whether it said
    that the reference is too short, ``k`` and ``effective`` its limit, ``delay`` the windows until
    the first alarm (0: none).
    """

    setting: Setting
    alarms: Floats
    said: Floats
    short: Floats
    k: Floats
    effective: Floats
    delay: Floats

    def interval(self) -> tuple[float, float, float]:
        """Return the mean of the alarms a year with its 95% confidence interval."""
        mean = float(self.alarms.mean())
        half = 1.96 * float(self.alarms.std(ddof=1)) / len(self.alarms) ** 0.5
        return mean, mean - half, mean + half

    def detected(self, within: int) -> float:
        """Return the share of histories with an alarm by then."""
        return float(np.mean((self.delay > 0) & (self.delay <= within)))


def play(setting: Setting, weeks: Weeks, moved: Weeks | None, histories: int) -> Found:
    """Judge the windows after the reference, in so many histories."""
    random = np.random.default_rng(setting.seed)
    source = tables(setting, weeks, moved, random)
    shares = np.array([weeks.importance[feature.name] for feature in weeks.features])
    rows = []
    for _ in range(histories):
        history = judged(weeks, *next(source), setting.reference)
        alike = resemblance(history.neighbours, weeks.importance)
        limit = choose_limit((history.own @ shares).tolist(), POLICY, alike)
        exceeds = (history.new @ shares > limit.score).tolist()
        alarms = [POLICY.alarms(exceeds[: end + 1]) for end in range(len(exceeds))]
        settled = np.mean(alarms[POLICY.of_last - 1 :]) * POLICY.windows_per_year
        rows.append(
            (
                settled,
                limit.alarms_per_year,
                limit.budget_short is not None,
                limit.k,
                limit.effective,
                alarms.index(True) + 1 if any(alarms) else 0,
            )
        )
    return Found(setting, *np.array(rows, dtype=np.float64).T)


def tables(
    setting: Setting, weeks: Weeks, moved: Weeks | None, random: np.random.Generator
) -> Iterator[tuple[Floats, Floats]]:
    """Yield histories: the shares and values of the reference's weeks, then of those judged.

    Weeks that are judged come from ``moved``, if given.
    """
    windows = setting.reference + JUDGED
    if windows <= len(weeks.shares) - setting.spell + 1:
        while True:
            order = orders(random, len(weeks.shares), windows, setting.spell)
            shares = weeks.shares[order]
            if moved is not None:
                shares[setting.reference :] = moved.shares[order[setting.reference :]]
            yield shares, weeks.values[order]
    simulated = Simulated(weeks, *([moved] if moved is not None else []))
    values = np.tile(np.median(weeks.values, axis=0), (windows, 1))
    while True:
        drawn = simulated.draw(random, windows, setting.spell)
        yield (
            np.concatenate([drawn[0][: setting.reference], drawn[-1][setting.reference :]]),
            values,
        )


@dataclass(frozen=True)
class Work:
    """The settings that share their weeks, and so a process."""

    features: int
    rows: int
    references: tuple[int, ...]
    spells: tuple[int, ...]
    shifts: tuple[tuple[str, float], ...]
    histories: int

    def run(self) -> list[Found]:
        """Play all of them."""
        weeks = with_columns(flights()[1], self.features)
        names = [name for name in weeks[0].columns if name != "target"]
        gain = importance(weeks, names)
        usual = tabled(profiled(weeks, self.rows), gain)
        found = [
            play(Setting(m, self.rows, self.features, spell), usual, None, self.histories)
            for m, spell in product(self.references, self.spells)
        ]
        for name, by in self.shifts:
            moved = tabled(profiled(weeks, self.rows, {name: by}), gain, usual)
            found += [
                play(
                    Setting(m, self.rows, self.features, 1, (name, by)),
                    usual,
                    moved,
                    self.histories,
                )
                for m in self.references
            ]
        return found


def chosen() -> tuple[str, str]:
    """Return the column of numbers with the most gain, and the one with about a hundredth."""
    weeks = flights()[1]
    names = [n for n in weeks[0].columns if n != "target"]
    gain = importance(weeks, names)
    numbers = [name for name in names if weeks[0].schema[name].is_numeric()]
    return max(numbers, key=lambda n: gain[n]), min(numbers, key=lambda n: abs(gain[n] - 0.01))


def measured(
    histories: int,
    tell: Callable[[str], object],
    references: Sequence[int] = REFERENCES,
    rows: Sequence[int] = ROWS,
    features: Sequence[int] = FEATURES,
) -> list[Found]:
    """Play every setting; the shifts in the last of ``rows`` and the last of ``features``."""
    shifts = tuple(product(chosen(), SHIFTS))
    works = [
        Work(
            f,
            r,
            tuple(references),
            SPELLS,
            shifts if (f, r) == (features[-1], rows[-1]) else (),
            histories,
        )
        for f, r in product(features[::-1], rows[::-1])
    ]
    begun = time.perf_counter()
    found = []
    processes = min(os.cpu_count() or 1, len(works))
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of each process: they would only wait for each other
    # not forked: Polars' threads would not be in the copy, and their locks would
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        for work, played in zip(works, pool.map(Work.run, works), strict=True):
            tell(f"{work.features} features, {work.rows} rows: {time.perf_counter() - begun:.0f} s")
            found += played
    return found


def run(histories: int = HISTORIES, target: Path = PAGE) -> None:
    """Measure and write the page."""
    from tests.benchmarks.calibration_peers import compared

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    begun = time.perf_counter()
    found = measured(histories, tell)
    important, unimportant = chosen()
    peers = compared(flights()[1], tell)
    minutes = (time.perf_counter() - begun) / 60
    target.write_text(page(found, important, unimportant, peers, histories, minutes))
    tell(f"{target.relative_to(ROOT)}: written after {minutes:.0f} minutes")


if __name__ == "__main__":
    pl.Config.set_tbl_rows(20)
    run(*map(int, sys.argv[1:2]))
