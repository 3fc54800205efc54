"""Timing and printing that every benchmark does alike."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PEERS = (
    ROOT / ".venv-peers/bin/python"
)  # what we compare with and don't need: `make bench` makes it
SHOWN = ("dagster", "mlflow", "lightgbm", "polars", "duckdb", "pygit2", "whylogs", "numpy")


@dataclass(frozen=True)
class Seconds:
    """The durations of several repetitions."""

    all: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.all)

    def __str__(self) -> str:
        if len(self.all) == 1:
            return in_words(self.median)
        return f"{in_words(self.median)} [{in_words(min(self.all))}..{in_words(max(self.all))}]"


def in_words(seconds: float) -> str:
    """Return a duration in the unit that it is read in."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def ratio(one: Seconds, other: Seconds) -> str:
    """Return by how much the one is slower, by medians."""
    return f"{one.median / other.median:.2f}"


def measured(work: Callable[[int], object], repetitions: int, *, warm: bool = True) -> Seconds:
    """Time `work(number)` that often; first once unmeasured (as number -1) if it is to be warm."""
    if warm:
        work(-1)
    found = []
    for number in range(repetitions):
        begun = time.perf_counter()
        work(number)
        found.append(time.perf_counter() - begun)
    return Seconds(tuple(found))


def peak_memory() -> int:
    """Return the most memory that this process ever held, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1 << 20 if sys.platform == "darwin" else 1 << 10)


def tried(work: Callable[[], object], repetitions: int) -> dict[str, Any]:
    """Return how long work took, how many MB larger it made this process, or how it failed.

    With several repetitions the first one warms up and is not timed. On other systems than Linux
    the memory is None.
    """
    status = Path("/proc/self/status")

    def megabytes(name: str) -> int:
        return next(int(line.split()[1]) for line in status.open() if line.startswith(name)) >> 10

    grown, seconds = None, []
    if status.exists():
        Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is held
        before = megabytes("VmRSS:")
    for number in range(repetitions + (repetitions > 1)):
        begun = time.perf_counter()
        try:
            work()
        except Exception as error:  # noqa: BLE001 - that a peer can't do it is a result
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            return {"failed": type(error).__name__}
        seconds.append(time.perf_counter() - begun)
        if status.exists() and number == 0:
            grown = megabytes("VmHWM:") - before
    return {"seconds": seconds[-repetitions:], "grown": grown}


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print aligned columns, the first to the left; what has no value is given as ""."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    say(f"\n{title}")
    for row in cells:
        first, *others = (
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        say("   ".join([f"  {first}", *others]).rstrip())


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


def machine() -> None:
    """Print on what all this was measured."""
    load = os.getloadavg()[0]
    say(
        f"{os.cpu_count()} cores ({platform.machine()}), load {load:.1f} at the start, "
        f"{platform.system()}, Python {platform.python_version()}"
    )
    say(", ".join(f"{name} {version(name)}" for name in SHOWN))
    say("median [min..max] of the repetitions; other work on these cores is in the numbers")


class Worker:
    """A Python module in a process of its own that answers one JSON line with one JSON line.

    So each variant has its own imports and its own peak of memory, and the variants can be asked
    by turns: what else the machine does hits all of them alike.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        settings: dict[str, str] | None = None,
        python: Path | None = None,
    ) -> None:
        self.module = module
        begun = time.perf_counter()
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("MLOPS", "DAGSTER", "MLFLOW"))
        }
        self.process = subprocess.Popen(
            [python or sys.executable, "-W", "ignore", "-m", module, *arguments],
            cwd=ROOT,
            env={**kept, **(settings or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ready = self.receive()
        self.start = time.perf_counter() - begun  # from nothing to the first answer

    def ask(self, **question: Any) -> dict[str, Any]:
        """Ask, and wait for the answer."""
        self.send(**question)
        return self.receive()

    def send(self, **question: Any) -> None:
        """Ask, and do something else before the answer is received."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()

    def close(self) -> None:
        """End the process: it ends when nothing more can be asked."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)

    def receive(self) -> dict[str, Any]:
        """Wait for an answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.module} ended with {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def answer_questions(ready: dict[str, Any], answer: Callable[..., dict[str, Any]]) -> None:
    """Be a `Worker`: say that all is imported, then answer until nothing more is asked."""
    talk = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not stand between the answers
    sys.stdout = sys.stderr
    for said in chain([ready], (answer(**json.loads(line)) for line in sys.stdin)):
        talk.write(json.dumps(said) + "\n")
        talk.flush()
