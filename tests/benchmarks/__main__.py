"""`python -m tests.benchmarks` runs all benchmarks, `python -m tests.benchmarks NAME` one."""

from __future__ import annotations

import importlib
import sys
import time

from tests.benchmarks.measuring import machine, say

NAMES = (
    "orchestration_tax",
    "packing",
    "portfolio",
    "profiles",
    "sketches",
    "store",
    "ticks",
    "versions",
)

if __name__ == "__main__":
    chosen = sys.argv[1:] or NAMES
    if unknown := set(chosen) - set(NAMES):
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    begun = time.perf_counter()
    machine()
    for name in chosen:
        importlib.import_module(f"tests.benchmarks.{name}").run()
    say(f"\nall in {time.perf_counter() - begun:.0f} s")
