"""What stock whylogs and Evidently say, by their defaults, of windows that did not drift.

The same windows for each: three after thirteen shuffled weeks of flights, 1,000 rows each. whylogs
tests each column (Kolmogorov-Smirnov or chi-square, p below .05 is DRIFT); Evidently's drift preset
measures each column, and calls a data set drifted where half of its columns are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from tests.benchmarks.measuring import PEERS, Worker

WORKERS = "tests.benchmarks.drift_defaults"
REFERENCE, JUDGED, ROWS, HISTORIES = 13, 3, 1000, 4


@dataclass(frozen=True)
class Compared:
    """Shares over windows: of columns flagged, of windows with any, and of windows as a whole."""

    name: str
    windows: int
    columns: float
    any_column: float
    whole: float | None


def compared(weeks: Sequence[pl.DataFrame], tell: Callable[[str], None]) -> list[Compared]:
    """Ask ours, stock whylogs and Evidently about the same windows."""
    random = np.random.default_rng(7)
    names = [name for name in weeks[0].columns if name != "target"]
    sampled = [w.select(names).sample(ROWS, seed=n) for n, w in enumerate(weeks)]
    chosen = [random.permutation(len(weeks))[: REFERENCE + JUDGED] for _ in range(HISTORIES)]
    histories = [[sampled[week] for week in order] for order in chosen]
    found = [ours(histories, weeks, names)]
    asked = {
        "whylogs": Worker(WORKERS, "whylogs", settings={"WHYLOGS_NO_ANALYTICS": "True"}),
        "Evidently": Worker(WORKERS, "Evidently", python=PEERS),
    }
    for name, worker in asked.items():
        answers = []
        with tempfile.TemporaryDirectory() as folder:
            before, now = Path(folder) / "reference.parquet", Path(folder) / "window.parquet"
            for history in histories:
                pl.concat(history[:REFERENCE]).write_parquet(before)
                for window in history[REFERENCE:]:
                    window.write_parquet(now)
                    answers.append(worker.ask(reference=str(before), window=str(now)))
        worker.close()
        flagged = [answer["flagged"] for answer in answers]
        whole = [answer["whole"] for answer in answers]
        found.append(
            Compared(
                f"{name} {worker.ready['version']}",
                len(answers),
                float(np.mean(flagged)) / len(names),
                float(np.mean([count > 0 for count in flagged])),
                None if None in whole else float(np.mean(whole)),
            )
        )
        tell(f"{name}: {len(answers)} windows")
    return found


def ours(
    histories: Sequence[Sequence[pl.DataFrame]], weeks: Sequence[pl.DataFrame], names: list[str]
) -> Compared:
    """Judge them as the asset does, from profiles; a column stands out beyond all its own windows."""
    from mlops_assets.drift.judgement import DriftPolicy, Reference, judge
    from mlops_assets.sketches.profile import profile
    from tests.benchmarks.null_histories import importance

    policy = DriftPolicy(windows_per_year=365.25 / 7)
    gain = importance(weeks, names)
    columns, exceeds = [], []
    for history in histories:
        profiles = {f"{n:02}": profile(week) for n, week in enumerate(history)}
        reference = Reference.build(dict(list(profiles.items())[:REFERENCE]), gain)
        for window in list(profiles)[REFERENCE:]:
            verdict = judge(reference, window, profiles[window], policy)
            columns.append(sum(line.distance > line.own_high for line in verdict.features))
            exceeds.append(verdict.exceeds)
    return Compared(
        "ours (one window; 2 of 3 make an alarm)",
        len(exceeds),
        float(np.mean(columns)) / len(names),
        float(np.mean([count > 0 for count in columns])),
        float(np.mean(exceeds)),
    )
