"""The three sketches of a column, ours beside Apache DataSketches and the wheel of whylogs.

For each: how long a sketch of so many values takes, how long 50 windows take to become one, how
large and how exact it is, whether equal rows give equal bytes (profiles are addressed by their
content), and whether stock whylogs reads it and joins it with a profile that a home holds today.
"""

from __future__ import annotations

import os
import sys
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mlops_assets.sketches import distribution, frequent, quantiles
from mlops_assets.sketches.distribution import Distribution, Ordered
from tests.benchmarks.measuring import (
    PEERS,
    Seconds,
    Worker,
    answer_questions,
    in_words,
    say,
    table,
)
from tests.benchmarks.sketches_peers import APACHE, WHYLOGS, repeated

ROWS = (100_000, 1_000_000, 10_000_000)
BLOCK = 1 << 20  # rows at a time, as a profile of one column is made
OURS = "ours"
QUANTILES = (
    (OURS, "KLL"),
    (WHYLOGS, "KLL"),
    (APACHE, "KLL"),
    (APACHE, "classic quantiles"),
    (APACHE, "REQ"),
    (APACHE, "t-digest"),
)
OTHERS = ((OURS, ""), (WHYLOGS, ""), (APACHE, ""))

Ask = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Inputs:
    """Files of values, by their number."""

    numbers: dict[int, str]
    ascending: dict[int, str]
    items: dict[int, str]


def run() -> None:
    """Print a table for each of the three sketches."""
    with tempfile.TemporaryDirectory() as folder, sides() as ask:
        made = written(Path(folder))
        header = [
            *(f"{rows:.0e}".replace("+0", "") for rows in ROWS),
            "50 merged",
            "bytes",
            "error",
            "equal bytes",
            "whylogs reads and merges",
        ]
        for title, kind, sketches, files, error in (
            ("Distribution (error: worst rank)", "", QUANTILES, made.numbers, rank_error),
            ("Distinct values (error: of the estimate)", "distinct", OTHERS, made.ascending, off),
            (
                "Frequent items (error: rows counted too many, of items listed)",
                "items",
                OTHERS,
                made.items,
                overcounted,
            ),
        ):
            lines = [
                line(ask, side, kind or shape, files, error)
                for side, shape in sketches
                if side != APACHE or PEERS.exists()
            ]
            table(f"{title}: updates with so many values", ["", *header], lines)
    say(
        "  ascending values for distinct ones, counted ones for frequent items: as a profile has them"
    )
    say("  classic quantiles, REQ and t-digest have no place in whylogs' format")
    if not PEERS.exists():
        say("  Apache DataSketches is not installed: `make bench` does it")


def line(
    ask: Ask,
    side: str,
    kind: str,
    files: dict[int, str],
    error: Callable[[Ask, str, str, bytes, str], str],
) -> list[object]:
    """Return one sketch's line of a table."""
    updates = [
        ask(side, what="update", kind=kind, file=file, repetitions=3) for file in files.values()
    ]
    middle = files[ROWS[1]]
    merged = ask(side, what="merge", kind=kind, file=middle, repetitions=3)
    sketch = updates[1].get("sketch")
    if sketch is None:
        return [f"{side} {kind}", *(one.get("failed", "") for one in updates)]
    # with a sketch of today's homes, whose items and levels are ours
    other = ask(OURS, what="update", kind=kind, file=files[ROWS[0]], repetitions=1)
    read = {"reads": False}
    if "sketch" in other:
        read = ask(WHYLOGS, what="read", kind=kind, sketches=[sketch, other["sketch"]])
    return [
        f"{side} {kind}",
        *(median(one) for one in (*updates, merged)),
        f"{len(b64decode(sketch)):,}",
        error(ask, side, kind, b64decode(sketch), middle),
        "yes" if updates[1]["same"] else "no",
        "yes" if read["reads"] else "no",
    ]


def median(found: dict[str, Any]) -> str:
    """Return how long the work took, or how it failed."""
    return (
        in_words(Seconds(tuple(found["seconds"])).median) if "seconds" in found else found["failed"]
    )


def rank_error(ask: Ask, side: str, kind: str, sketch: bytes, file: str) -> str:
    """Return by how much the worst of a thousand ranks is off, as a share of all rows."""
    ordered = np.sort(np.load(file))
    asked = ordered[:: len(ordered) // 1000]
    exact = np.searchsorted(ordered, asked, "right") / len(ordered)
    if side == OURS:
        points = quantiles.kll_points(sketch)
        cumulative = np.concatenate([[0.0], points.cumulative])
        shares = cumulative[np.searchsorted(points.values, asked, "right")]
    else:
        place = file.replace(".npy", " asked.npy")
        np.save(place, asked)
        coded = b64encode(sketch).decode()
        shares = np.array(ask(side, what="rank", kind=kind, sketch=coded, file=place)["shares"])
    return f"{np.max(np.abs(shares - exact)):.5f}"


def off(ask: Ask, side: str, kind: str, sketch: bytes, file: str) -> str:
    """Return by what share the number of distinct values is off."""
    return f"{abs(quantiles.hll_estimate(sketch) / len(np.load(file)) - 1):.4f}"


def overcounted(ask: Ask, side: str, kind: str, sketch: bytes, file: str) -> str:
    """Return by how many rows the worst item is counted too high, and how many are listed."""
    items, counts = np.unique(np.load(file), return_counts=True)
    exact = dict(zip(map(str, items.tolist()), counts.tolist(), strict=True))
    found = frequent.counts_of(sketch)
    return f"{max(count - exact[item] for item, count in found.items()):,} of {len(found)}"


@contextmanager
def sides() -> Iterator[Ask]:
    """Start every side that is installed; yield how one of them is asked."""
    with ExitStack() as stack:
        peers = "tests.benchmarks.sketches_peers"
        workers = {
            OURS: Worker("tests.benchmarks.sketches"),
            WHYLOGS: Worker(peers, WHYLOGS),
        }
        if PEERS.exists():
            workers[APACHE] = Worker(peers, APACHE, python=PEERS)
        for worker in workers.values():
            stack.callback(worker.close)
        yield lambda side, **question: workers[side].ask(**question)


def written(folder: Path) -> Inputs:
    """Write the values that all sides sketch."""
    random = np.random.default_rng(1)
    inputs = Inputs({}, {}, {})
    for rows in ROWS:
        values = {
            "numbers": random.normal(size=rows),
            "ascending": np.sort(random.normal(size=rows)),
            "items": random.zipf(1.3, rows) % 60_000,
        }
        for name, made in values.items():
            file = folder / f"{name} {rows}.npy"
            np.save(file, made)
            getattr(inputs, name)[rows] = str(file)
    return inputs


def update(kind: str, file: str) -> Callable[[], bytes]:
    """Return the work of making a sketch of a file's values, as a profile makes it."""
    values = np.load(file)
    if kind == "items":
        counted = pl.Series("item", values).value_counts(name="count")

        def items() -> bytes:
            counts = frequent.ItemCounts()
            counts.add(counted, len(values))
            return counts.sketch()

        return items

    blocks = [values[start : start + BLOCK] for start in range(0, len(values), BLOCK)]

    def distinct() -> bytes:
        sketch = quantiles.Distinct()
        for block in blocks:
            sketch.numbers(block)
        return sketch.sketch()

    def numbers() -> bytes:
        sketch = Distribution()
        for block in blocks:
            sketch.add(Ordered.of(np.sort(block)))
        made = sketch.components()["distribution/kll"]
        assert isinstance(made, bytes)
        return made

    return distinct if kind == "distinct" else numbers


def merge(kind: str, file: str) -> Callable[[], bytes]:
    """Return the work of reading 50 sketches of a fiftieth of the rows each, and joining them."""
    parts = []
    for number, rows in enumerate(np.array_split(np.load(file), 50)):
        part = Path(file).with_name(f"ours of {Path(file).stem}, {number}.npy")
        np.save(part, rows)
        parts.append(update(kind, str(part))())
    if kind == "distinct":
        return lambda: quantiles.hll_union(parts)
    if kind == "items":
        return lambda: frequent.union(parts)

    def distributions() -> bytes:
        moments = {"distribution/mean": 0.0, "distribution/m2": 0.0}
        made = distribution.merged([{"distribution/kll": part, **moments} for part in parts])
        assert isinstance(made["distribution/kll"], bytes)
        return made["distribution/kll"]

    return distributions


def main() -> None:
    def answer(what: str, kind: str, file: str, repetitions: int) -> dict[str, Any]:
        if kind not in {"KLL", "distinct", "items"}:
            return {"failed": "none of ours"}
        return repeated({"update": update, "merge": merge}[what](kind, file), repetitions)

    answer_questions({"pid": os.getpid()}, answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
