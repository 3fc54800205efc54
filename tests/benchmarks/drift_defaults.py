"""The peers of `calibration_peers`: how each compares a window with a reference by its defaults.

A process of its own for each; Evidently's environment has no Polars.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.benchmarks.measuring import answer_questions


def whylogs() -> tuple[str, Callable[[Any, Any], dict[str, Any]]]:
    """Return its version, and how it compares two frames of pandas."""
    np.unicode_ = np.str_  # type: ignore[attr-defined]  # noqa: NPY201  # whylogs asks for it
    for name in ("IPython", "IPython.core", "IPython.core.display"):
        sys.modules[name] = types.ModuleType(name)  # to show HTML, which nobody does here
    sys.modules["IPython.core.display"].HTML = str  # type: ignore[attr-defined]  # a stand-in for what Evidently imports
    import whylogs as stock
    from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores

    def compare(before: Any, now: Any) -> dict[str, Any]:
        views = [stock.log(frame).view() for frame in (now, before)]
        scores = calculate_drift_scores(*views, with_thresholds=True)
        drifted = [s for s in scores.values() if s and s["drift_category"] == "DRIFT"]
        return {"flagged": len(drifted), "whole": None}

    return stock.__version__, compare


def evidently() -> tuple[str, Callable[[Any, Any], dict[str, Any]]]:
    """Return its version, and how it compares two frames of pandas."""
    from evidently import Dataset, Report
    from evidently import __version__ as version
    from evidently.presets import DataDriftPreset

    def compare(before: Any, now: Any) -> dict[str, Any]:
        frames = [Dataset.from_pandas(frame) for frame in (now, before)]
        metrics = Report([DataDriftPreset()]).run(*frames).dict()["metrics"]
        count = next(m["value"] for m in metrics if "DriftedColumnsCount" in str(m))
        return {"flagged": int(count["count"]), "whole": bool(count["share"] >= 0.5)}

    return str(version), compare


def main(peer: str) -> None:
    import pandas as pd

    version, compare = {"whylogs": whylogs, "Evidently": evidently}[peer]()

    def answer(reference: str, window: str) -> dict[str, Any]:
        return compare(pd.read_parquet(reference), pd.read_parquet(window))

    answer_questions({"version": version, "pid": os.getpid()}, answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
