"""Profiling a window, ours beside stock whylogs on the same rows, each in a process of its own."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.measuring import (
    ROOT,
    Seconds,
    Worker,
    answer_questions,
    peak_memory,
    ratio,
    say,
    table,
)

WEEK = "a week of flights"
# rows, repetitions: stock takes half a minute for what ours does in half a second
WIDE_OURS, WIDE_BOTH = (500_000, 3), (50_000, 3)


def run() -> None:
    """Print rows of both, with the ratio where both took the same rows."""
    here = Worker("tests.benchmarks.profiles", "ours")
    peer = Worker("tests.benchmarks.profiles", "stock", settings={"WHYLOGS_NO_ANALYTICS": "True"})
    lines = []
    try:
        for rows, repetitions, both in ((0, 9, True), (*WIDE_BOTH, True), (*WIDE_OURS, False)):
            asked = (here, peer) if both else (here,)
            answers = [[worker.ask(rows=rows) for _ in range(repetitions + 1)] for worker in asked]
            facts = answers[0][0]["facts"]
            assert all(said[0]["facts"] == facts for said in answers), "counts differ"
            ours_s, *stock_s = (
                Seconds(tuple(one["seconds"] for one in said[1:])) for said in answers
            )
            title = f"{facts['rows']:,} x {facts['columns']}" + ("" if rows else f", {WEEK}")
            peaks = " / ".join(f"{said[-1]['peak']}" for said in answers)
            compared = (stock_s[0], ratio(stock_s[0], ours_s)) if both else ("", "")
            lines.append([title, ours_s, *compared, peaks])
    finally:
        here.close()
        peer.close()
    table(
        "Profiles: rows x columns",
        ["", "ours", "stock whylogs", "stock/ours", "peak MB so far"],
        lines,
    )
    say("  stock: np.unicode_ restored, rows handed over in pandas; same counts and nulls, checked")


def frame(rows: int) -> pl.DataFrame:
    """Return made columns (20 float, 6 integer, 4 string), or a week's 18 features for 0 rows."""
    if rows == 0:
        from mlops_assets.declaration import load
        from mlops_assets.features.expressions import compute
        from tests.benchmarks.retraining import flights

        expressions = load(flights().features)
        file = ROOT / "data/flights/departures/2013-03-11.parquet"
        computed = compute(pl.scan_parquet(file), expressions, key=["flight_id"])
        return computed.drop("flight_id").collect()
    random = np.random.default_rng(1)
    columns: dict[str, Any] = {f"f{n}": random.normal(n, 1.0, rows) for n in range(20)}
    columns |= {f"i{n}": random.integers(0, 10 ** (n + 1), rows) for n in range(6)}
    columns |= {f"s{n}": random.integers(0, 20, rows).astype(str) for n in range(4)}
    return pl.DataFrame(columns)


def ours(data: pl.DataFrame) -> tuple[float, dict[str, list[int]]]:
    """Profile and write the bytes; return the seconds, and the counts by column."""
    from mlops_assets.profiles.profile import profile

    begun = time.perf_counter()
    made = profile(data)
    made.to_bytes()
    seconds = time.perf_counter() - begun
    counted = {n: c.components for n, c in made.columns.items()}
    return seconds, {n: [int(c["counts/n"]), int(c["counts/null"])] for n, c in counted.items()}


def stock(data: pl.DataFrame) -> tuple[float, dict[str, list[int]]]:
    """Do the same with whylogs as it is published."""
    np.unicode_ = np.str_  # type: ignore[attr-defined]  # noqa: NPY201  # whylogs asks for it
    import whylogs

    table = data.to_pandas()  # the only frame it takes; making it is not counted
    begun = time.perf_counter()
    view = whylogs.log(table).profile().view()
    view.serialize()
    seconds = time.perf_counter() - begun
    counts = {n: c.get_metric("counts").to_summary_dict() for n, c in view.get_columns().items()}
    return seconds, {n: [int(c["n"]), int(c["null"])] for n, c in counts.items()}


def main(side: str) -> None:
    made: dict[int, pl.DataFrame] = {}

    def answer(rows: int) -> dict[str, Any]:
        data = made[rows] if rows in made else made.setdefault(rows, frame(rows))
        seconds, counts = (ours if side == "ours" else stock)(data)
        facts = {"rows": data.height, "columns": data.width, "counts": counts}
        return {"seconds": seconds, "facts": facts, "peak": peak_memory()}

    answer_questions({"pid": os.getpid()}, answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
