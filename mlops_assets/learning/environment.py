"""What a model's bytes depend on beside data, code and parameters: libraries and machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("lightgbm", "polars", "numpy", "mlops-assets")
# of another version of these the same inputs may give another model; what this package makes of
# them has a version of its own (`training.LEARNING_VERSION`)
LEARNERS = ("lightgbm", "numpy", "polars")
NOT_INSTALLED = "not installed"  # run from a folder of sources, which has no version


def libraries() -> dict[str, str]:
    """Return name -> version of Python and of the libraries that make a model."""
    return {
        "python": platform.python_version(),
        **{name.replace("-", "_"): _version(name) for name in LIBRARIES},
    }


def learners(libraries: Mapping[str, str]) -> dict[str, str]:
    """Return those of some libraries that decide what is learnt."""
    return {name: libraries[name] for name in LEARNERS if name in libraries}


def machine() -> dict[str, str]:
    """Return what of this machine can show in the last bits of a sum.

    `processor` and `libc` choose between variants of `exp` and `log`; `cpus` is how many cores
    training uses, which must not matter.
    """
    libc, release = platform.libc_ver()
    return {
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "processor": _processor(),
        "libc": f"{libc} {release}".strip() or "unknown",
        "cpus": str(_cpus()),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return NOT_INSTALLED


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # another system than Linux
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or "unknown"


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))  # a container may have less than the machine
    return os.cpu_count() or 1
