"""What Dagster costs: one retraining through it, and the same functions from a plain script.

Three variants, each in a process of its own, asked by turns:
    pure      the functions of features/, learning/ and profiles/ on plain Parquet files in memory
    recorded  the same, with the commits, MLflow runs, store records and ledger of the assets
    Dagster   the code location's own assets: `features`, then those of a retraining
Recorded over pure is what versioning and tracking cost; Dagster over recorded is the orchestration:
steps and events, checks, metadata, pictures, and two passes over the training set to describe it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import Seconds, Worker, ratio, say, table

VARIANTS = ("pure", "recorded", "dagster")
MODULE = "tests.benchmarks.variants"
SIZES = ((24, 10, 3), (24, 1, 2))  # windows, every nth row, repetitions


def run() -> None:
    """Print one table for each size, and how the tax grows between them."""
    say("\nOrchestration tax: one retraining (a window's features to promotion), three ways")
    say(
        "  pure: functions only   recorded: + commits, MLflow, store, ledger   Dagster: the real jobs"
    )
    taxes = [_size(*size) for size in SIZES]
    (few, small), (many, large) = taxes
    say(f"  growth: {few:,} -> {many:,} rows ({many / few:.1f} x), differences within each turn")
    for title, part in (
        ("pure functions", "pure"),
        ("versioning and tracking", "tracking"),
        ("Dagster itself", "dagster"),
    ):
        say(f"    {title:24} {small[part]!s:>28}  ->  {large[part]!s:>28}")


def _size(windows: int, every: int, repetitions: int) -> tuple[int, dict[str, Seconds]]:
    with tempfile.TemporaryDirectory() as folder:
        _prepare(folder, windows, every)
        workers = {name: Worker(MODULE, name, folder) for name in VARIANTS}
        try:
            answers: dict[str, list[dict[str, Any]]] = {name: [] for name in VARIANTS}
            for _ in range(1 + repetitions):
                for name, worker in workers.items():
                    answers[name].append(worker.ask())
        finally:
            for worker in workers.values():
                worker.close()
        return _report(windows, workers, answers)


def _prepare(folder: str, windows: int, every: int) -> None:
    Path(folder).mkdir(exist_ok=True)
    worker = Worker(MODULE, "prepare", folder, str(windows), str(every))
    worker.close()


def _report(
    windows: int, workers: dict[str, Worker], answers: dict[str, list[dict[str, Any]]]
) -> tuple[int, dict[str, Seconds]]:
    every = [one for said in answers.values() for one in said]
    made = every[0]["made"]
    assert all(one["made"] == made for one in every), "the variants made different models"
    wrote = answers["recorded"][0]["wrote"]
    both = [*answers["recorded"], *answers["dagster"]]
    assert all(one["wrote"] == wrote for one in both), "something was reused, or not recorded"
    warm = {name: said[1:] for name, said in answers.items()}
    rows = every[0]["rows"]

    def line(title: str, *keys: str) -> list[str]:
        times = {
            name: Seconds(tuple(sum(one[key] for key in keys) for one in said))
            for name, said in warm.items()
        }
        pure, recorded, dagster = (times[name] for name in VARIANTS)
        return [
            title,
            *map(str, times.values()),
            ratio(recorded, pure),
            ratio(dagster, recorded),
            ratio(dagster, pure),
        ]

    table(
        f"  {windows} windows, {rows:,} rows, 18 features, {len(warm['pure'])} repetitions by turns",
        ["", *("pure", "recorded", "Dagster"), "rec/pure", "Dag/rec", "Dag/pure"],
        [
            line("features of the newest window", "features"),
            line("training set to promotion", "retrain"),
            line("one retraining", "features", "retrain"),
            ["peak memory, MB", *(said[-1]["peak"] for said in answers.values()), "", "", ""],
            ["  of that after imports", *(w.ready["peak"] for w in workers.values()), "", "", ""],
            ["start of the process", *(f"{w.start:.1f} s" for w in workers.values()), "", "", ""],
        ],
    )
    last = warm["dagster"][-1]
    models = sum(map(len, made["models"].values()))
    say(
        f"  checked: {models} models, the reference profile and {len(made['gates'])} gates are equal, "
        f"byte by byte, in all {len(every)} retrainings"
    )
    say(
        f"  recorded and Dagster each: {wrote['commits']} commits, {wrote['runs']} MLflow runs, "
        f"1 promotion; Dagster besides: {last['events']} events, pictures {last['pictures']:.2f} s"
    )
    totals = {
        name: [one["features"] + one["retrain"] for one in said] for name, said in warm.items()
    }
    pure, recorded, dagster = (totals[name] for name in VARIANTS)
    return rows, {
        "pure": Seconds(tuple(pure)),
        "tracking": _difference(recorded, pure),
        "dagster": _difference(dagster, recorded),
    }


def _difference(more: list[float], less: list[float]) -> Seconds:
    """Subtract turn by turn: what else the machine did then hit both."""
    return Seconds(tuple(a - b for a, b in zip(more, less, strict=True)))
