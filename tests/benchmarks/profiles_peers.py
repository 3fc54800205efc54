"""The peers of `profiles`: Evidently and NannyML, in an environment of their own.

Evidently sums rows up in a report (its data summary preset), NannyML in calculators (missing
values, mean, standard deviation and median of numbers, unseen values of texts). Neither can be
kept and merged: each comparison reads the rows again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pandas as pd

from tests.benchmarks.measuring import answer_questions, tried


def evidently(what: str, frames: list[pd.DataFrame]) -> Callable[[], Any]:
    """Return the work to be timed."""
    from evidently import Dataset, Report
    from evidently.presets import DataDriftPreset, DataSummaryPreset

    if what == "profile":
        return lambda: (
            Report([DataSummaryPreset()]).run(Dataset.from_pandas(frames[0]), None).dict()
        )
    report = Report([DataDriftPreset()])
    return lambda: report.run(*(Dataset.from_pandas(frame) for frame in reversed(frames))).dict()


def nannyml(what: str, frames: list[pd.DataFrame]) -> Callable[[], Any]:
    """Return the work to be timed; every chunk is the whole frame."""
    import nannyml as nml

    names, rows = list(frames[0].columns), len(frames[0])
    numbers = list(frames[0].select_dtypes("number").columns)
    texts = list(frames[0].select_dtypes(["object", "category", "bool"]).columns)

    def work() -> list[Any]:
        if what == "drift":
            drift = nml.UnivariateDriftCalculator(column_names=names, chunk_size=rows)
            return [drift.fit(frames[0]).calculate(frames[1]).to_df()]
        asked: list[Any] = [nml.MissingValuesCalculator(column_names=names, chunk_size=rows)]
        if numbers:
            kinds = ("Avg", "Std", "Median")
            makers = [getattr(nml, f"SummaryStats{kind}Calculator") for kind in kinds]
            asked += [make(column_names=numbers, chunk_size=rows) for make in makers]
        if texts:
            asked.append(nml.UnseenValuesCalculator(column_names=texts, chunk_size=rows))
        return [one.fit(frames[0]).calculate(frames[0]).to_df() for one in asked]

    return work


def read(file: str) -> pd.DataFrame:
    """Return the rows; Evidently's report fails on integers of 8 bits, so they get 64."""
    frame = pd.read_parquet(file)
    return frame.astype(dict.fromkeys(frame.select_dtypes("int8").columns, "int64"))


def main(peer: str) -> None:
    prepare = {"Evidently": evidently, "NannyML": nannyml}[peer]

    def answer(what: str, files: list[str], repetitions: int) -> dict[str, Any]:
        return tried(prepare(what, [read(file) for file in files]), repetitions)

    answer_questions({"peer": peer}, answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
