"""Profiling and drift, ours beside stock whylogs, Evidently and NannyML on the same rows.

Each side is a process of its own. All read the same Parquet files, ours into Polars and the others
into pandas, the only frame they take; reading is not counted. See `profiles_peers` for what
Evidently and NannyML do: neither has a profile that could be kept and merged.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.measuring import (
    PEERS,
    ROOT,
    Seconds,
    Worker,
    answer_questions,
    ratio,
    say,
    table,
    tried,
)

WEEK, WIDE, LATER = "a week of flights", "500,000 x 30", "another 500,000 x 30"
ROWS = 1_000_000
PEER_NAMES = ("stock whylogs", "Evidently", "NannyML")
#: telemetry of the peers, which would call home
SILENT = {
    "WHYLOGS_NO_ANALYTICS": "True",
    "DO_NOT_TRACK": "1",
    "NML_DISABLE_USAGE_LOGGING": "1",
}


def run() -> None:
    """Print the types, the wide frame with memory, and drift between two wide frames."""
    with tempfile.TemporaryDirectory() as folder:
        files = {name: str(file) for name, file in write(Path(folder)).items()}
        types = [name for name in files if name not in {WIDE, LATER}]
        header = ["", "ours", *PEER_NAMES, *(f"{name}/ours" for name in PEER_NAMES)]
        with sides() as asked:
            lines = [[name, *seconds(asked("profile", files[name]))] for name in types]
        table(f"Profiles: {ROWS:,} rows of one type, and {WEEK}", header, lines)
        with sides() as asked:
            found = asked("profile", files[WIDE])
            lines = [["profile", *seconds(found)], ["  memory beyond the frame", *memory(found)]]
            found = asked("drift", files[WIDE], files[LATER])
            lines.append(["drift of two", *seconds(found)])
        worker = Worker("tests.benchmarks.profiles", "ours")
        found = {"ours": worker.ask(what="stream", files=[files[WIDE]], repetitions=3)}
        worker.close()
        lines += [["profile, from Parquet", *seconds(found)], ["  memory", *memory(found)]]
        table(f"Profiles: {WIDE} columns (20 float, 6 integer, 4 string)", header, lines)
    say(
        "  stock: np.unicode_ restored; counts and nulls are ours, checked; no drift without IPython"
    )
    say("  Evidently: data summary and drift presets; NannyML: missing and unseen values, mean, sd")
    say("  and median, and its univariate drift; both read the rows again for each comparison")


@contextmanager
def sides() -> Iterator[Callable[..., dict[str, Any]]]:
    """Start every side that is installed; yield how all are asked the same."""
    with ExitStack() as stack:
        workers = {
            "ours": Worker("tests.benchmarks.profiles", "ours"),
            PEER_NAMES[0]: Worker("tests.benchmarks.profiles", "stock", settings=SILENT),
        }
        for name in PEER_NAMES[1:] if PEERS.exists() else ():
            module = "tests.benchmarks.profiles_peers"
            workers[name] = Worker(module, name, settings=SILENT, python=PEERS)
        for worker in workers.values():
            stack.callback(worker.close)
        if not PEERS.exists():
            say("Evidently and NannyML are not installed: `make bench` does it")

        def asked(what: str, *files: str) -> dict[str, Any]:
            found = {
                name: worker.ask(what=what, files=files, repetitions=3 if name == "ours" else 1)
                for name, worker in workers.items()
            }
            ours, stock = found["ours"].get("counts"), found[PEER_NAMES[0]].get("counts")
            assert stock is None or ours == stock, f"counts differ: {ours}, stock's {stock}"
            return found

        yield asked


def seconds(found: dict[str, Any]) -> list[object]:
    """Return the times of all sides, then how many times ours they are."""
    taken = {
        name: Seconds(tuple(one["seconds"])) if "seconds" in one else one["failed"]
        for name, one in found.items()
    }
    others = [taken.get(name, "") for name in PEER_NAMES]
    ratios = [ratio(one, taken["ours"]) if isinstance(one, Seconds) else "" for one in others]
    return [taken["ours"], *others, *ratios]


def memory(found: dict[str, Any]) -> list[object]:
    """Return by how much each side grew."""
    grown = [found.get(name, {}).get("grown") for name in ("ours", *PEER_NAMES)]
    return [*("" if one is None else f"{one:,} MB" for one in grown), *("" for _ in PEER_NAMES)]


def write(folder: Path) -> dict[str, Path]:
    """Write the rows that all sides read, and return the files by what is in them."""
    random = np.random.default_rng(1)
    twenty = pl.Series(random.integers(0, 20, ROWS)).cast(pl.String)
    seconds = pl.Series(random.integers(10**9, 2 * 10**9, ROWS))
    made = {
        "float": pl.Series(random.normal(size=ROWS)),
        "integer, 100 values": pl.Series(random.integers(0, 100, ROWS)),
        "integer, unique": pl.Series(random.permutation(ROWS)),
        "boolean": pl.Series(random.random(ROWS) < 0.3),
        "string, 20 values": twenty,
        "string, unique": pl.Series([f"user {number}" for number in random.permutation(ROWS)]),
        "category, 20 values": twenty.cast(pl.Categorical),
        "datetime": (seconds * 10**6).cast(pl.Datetime("us")),
        "date": (seconds // 86_400).cast(pl.Int32).cast(pl.Date),
        "decimal": pl.Series(random.integers(0, 10**9, ROWS)).cast(pl.Decimal(12, 2)),
    }
    frames = {name: values.alias("a").to_frame() for name, values in made.items()}
    frames |= {WEEK: week(), WIDE: many_columns(1, 0.0), LATER: many_columns(2, 0.1)}
    files = {}
    for number, (name, frame) in enumerate(frames.items()):
        files[name] = folder / f"{number}.parquet"
        frame.write_parquet(files[name])
    return files


def many_columns(seed: int, shift: float) -> pl.DataFrame:
    """Return 500,000 rows of 20 float, 6 integer and 4 string columns."""
    random, rows = np.random.default_rng(seed), 500_000
    columns: dict[str, Any] = {f"f{n}": random.normal(n + shift, 1.0, rows) for n in range(20)}
    columns |= {f"i{n}": random.integers(0, 10 ** (n + 1), rows) for n in range(6)}
    columns |= {f"s{n}": random.integers(0, 20, rows).astype(str) for n in range(4)}
    return pl.DataFrame(columns)


def week() -> pl.DataFrame:
    """Return the features of one week of flights, nulls and all."""
    from mlops_assets.declaration import load
    from mlops_assets.features.expressions import compute
    from tests.benchmarks.retraining import flights

    file = ROOT / "data/flights/departures/2013-03-11.parquet"
    computed = compute(pl.scan_parquet(file), load(flights().features), key=["flight_id"])
    return computed.drop("flight_id").collect()


Work = tuple[Callable[[], Any], Callable[[Any], dict[str, list[int]]] | None]


def ours(what: str, files: list[str]) -> Work:
    """Return the work to be timed, and how the counts by column are read off its result."""
    from mlops_assets.drift.distances import distance, kept_categories
    from mlops_assets.sketches.profile import Profile, profile

    def counts(made: bytes) -> dict[str, list[int]]:
        columns = Profile.from_bytes(made).columns
        return {n: [c.rows, int(c.number("counts/null"))] for n, c in columns.items()}

    if what == "stream":
        return lambda: profile(pl.scan_parquet(files[0])).to_bytes(), counts
    frames = [pl.read_parquet(file) for file in files]
    if what == "profile":
        return lambda: profile(frames[0]).to_bytes(), counts
    before, after = (profile(frame).to_bytes() for frame in frames)

    def drift() -> list[float]:
        one, other = Profile.from_bytes(before), Profile.from_bytes(after)
        return [
            distance(column, other.columns[name], column.kind, kept_categories(column, 1e4))
            for name, column in one.columns.items()
        ]

    return drift, None


def stock(what: str, files: list[str]) -> Work:
    """Return the same of whylogs as it is published."""
    np.unicode_ = np.str_  # type: ignore[attr-defined]  # noqa: NPY201  # whylogs asks for it
    import whylogs

    if what == "drift":
        from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores

        views = [whylogs.log(pl.read_parquet(f).to_pandas()).profile().view() for f in files]
        return lambda: calculate_drift_scores(views[1], views[0]), None
    frame = pl.read_parquet(files[0]).to_pandas()

    def counts(made: bytes) -> dict[str, list[int]]:
        view = whylogs.DatasetProfileView.deserialize(made)
        found = {n: c.get_metric("counts") for n, c in view.get_columns().items()}
        return {n: [one.n.value, one.null.value] for n, one in found.items()}

    return lambda: whylogs.log(frame).profile().view().serialize(), counts


def main(side: str) -> None:
    def answer(what: str, files: list[str], repetitions: int) -> dict[str, Any]:
        made: list[Any] = []
        try:
            work, read = {"ours": ours, "stock": stock}[side](what, files)
        except ImportError as error:
            return {"failed": type(error).__name__}
        found = tried(lambda: made.append(work()), repetitions)
        return found | ({"counts": read(made[-1])} if made and read else {})

    answer_questions({"pid": os.getpid()}, answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
