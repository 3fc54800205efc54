"""The profile of a window: mergeable sketches of every column, in whylogs' own format."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import polars as pl

from mlops_assets.errors import ProfileError, did_you_mean
from mlops_assets.sketches import wire
from mlops_assets.sketches.column import Column, merged
from mlops_assets.sketches.trackers import Tracker, family_of

_BLOCK_VALUES = 1 << 24  # 128 MB of numbers
_BLOCK_ROWS = (1 << 14, 1 << 20)
_WORTH_A_THREAD = 10_000  # rows of a block
_MOST_SEGMENTS = 1000
_SPECIAL = set(',="\\')  # what a name of a segment is made of


@dataclass(frozen=True)
class Profile:
    """The columns' sketches of one window, or of many merged."""

    columns: Mapping[str, Column]

    @property
    def rows(self) -> int:
        """Rows profiled."""
        return max((column.rows for column in self.columns.values()), default=0)

    def to_bytes(self) -> bytes:
        """Return the profile as a whylogs file that stock whylogs reads and merges.

        Equal rows give equal bytes, in whatever order the rows stand.
        """
        return self._bytes

    @functools.cached_property
    def _bytes(self) -> bytes:
        return wire.write({name: column.components for name, column in self.columns.items()})

    @property
    def not_profiled(self) -> tuple[str, ...]:
        """Columns of which values were only counted: nested ones and Python objects."""
        return tuple(name for name, column in self.columns.items() if not column.profiled)

    @property
    def hash(self) -> str:
        """SHA-256 of the bytes, in hex."""
        return hashlib.sha256(self._bytes).hexdigest()

    @classmethod
    def from_bytes(cls, data: bytes) -> Profile:
        """Read a profile, ours or stock whylogs'; raises ProfileError for anything else."""
        return cls({name: Column(components) for name, components in wire.read(data).items()})

    @classmethod
    def merge(cls, profiles: Iterable[Profile]) -> Profile:
        """Return the profile of all rows of all profiles; raises ProfileError for none.

        Deterministic for one order of profiles. A column that one of them lacks counts as missing
        in its rows.
        """
        parts = list(profiles)
        if not parts:
            raise ProfileError("nothing to merge: give at least one profile")
        names = sorted({name for part in parts for name in part.columns})
        return cls(
            {
                name: merged([p.columns.get(name) or Column.absent(p.rows) for p in parts])
                for name in names
            }
        )


def profile(frame: pl.DataFrame | pl.LazyFrame) -> Profile:
    """Return the profile of all rows; a lazy frame is streamed, in bounded memory.

    Every dtype is profiled: numbers by moments, quantiles and cardinality; booleans the same, as 0
    and 1; texts, categories, booleans and integers by frequent items; dates and times as seconds;
    binary values by cardinality. Nested ones and Python objects are only counted, and named in
    ``not_profiled``.

    Rows are taken in blocks of 2^24 values in all columns together (2^20 rows at most, 2^14 at
    least). The same rows in the same order give the same bytes, lazy or in memory; those of a
    single block in any order. Raises what Polars raises for a lazy frame that can't be read.
    """
    schema = frame.collect_schema()
    trackers = _Trackers(schema)
    with _workers() as pool:
        for block in _blocks(frame, schema):
            trackers.track(block, pool)
        return trackers.profile(pool)


def profile_segments(frame: pl.DataFrame | pl.LazyFrame, by: Sequence[str]) -> dict[str, Profile]:
    """Return a profile of each combination of values of some columns, by its name, sorted.

    A name reads `carrier=AA,origin=EWR`; a null is `carrier=null`, and a text that could be taken
    for something else stands in double quotes, as JSON writes it. Merged, the segments are the
    profile of all rows; they hold the columns of ``by`` too. Frames are streamed as by `profile`.

    Raises:
        ProfileError: there is no such column; it holds floats, times or nested values; or there are
            over 1,000 segments.

    """
    schema = frame.collect_schema()
    _check_segments(schema, by)
    segments: dict[tuple[object, ...], _Trackers] = {}
    with _workers() as pool:
        for block in _blocks(frame, schema):
            for values, part in block.partition_by(by, as_dict=True, maintain_order=True).items():
                if values not in segments and len(segments) == _MOST_SEGMENTS:
                    raise ProfileError(
                        f"{', '.join(by)} make over {_MOST_SEGMENTS:,} segments; leave a column "
                        "out, or put its values into fewer groups first"
                    )
                segments.setdefault(values, _Trackers(schema)).track(part, pool)
        named = {_segment(by, values): trackers for values, trackers in segments.items()}
        return {name: named[name].profile(pool) for name in sorted(named)}


class _Trackers:
    """A tracker for each column of a frame."""

    def __init__(self, schema: pl.Schema) -> None:
        self._columns = {name: Tracker(dtype) for name, dtype in schema.items()}

    def track(self, block: pl.DataFrame, pool: ThreadPoolExecutor) -> None:
        # numpy and Polars let go of the interpreter while they sort and count
        mapped = pool.map if block.height > _WORTH_A_THREAD else map
        columns = block.get_columns()
        deque(mapped(Tracker.track, self._columns.values(), columns), maxlen=0)

    def profile(self, pool: ThreadPoolExecutor) -> Profile:
        made = pool.map(Tracker.components, self._columns.values())
        return Profile({n: Column(c) for n, c in zip(self._columns, made, strict=True)})


def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="profile")


def _blocks(frame: pl.DataFrame | pl.LazyFrame, schema: pl.Schema) -> Iterator[pl.DataFrame]:
    """Yield the rows in order, in blocks whose size depends on the number of columns alone."""
    size = min(max(_BLOCK_VALUES // max(len(schema), 1), _BLOCK_ROWS[0]), _BLOCK_ROWS[1])
    if isinstance(frame, pl.DataFrame):
        return frame.iter_slices(size)
    return frame.collect_batches(chunk_size=size, maintain_order=True, engine="streaming")


def _check_segments(schema: pl.Schema, by: Sequence[str]) -> None:
    if not by:
        raise ProfileError("segments need at least one column to be made by")
    for name in by:
        if name not in schema:
            raise ProfileError(f"there is no column `{name}`{did_you_mean(name, schema)}")
        dtype = schema[name]
        if family_of(dtype) not in {"text", "boolean", "integer"} and dtype != pl.Date:
            raise ProfileError(
                f"`{name}` holds {dtype}: segments are made by texts, categories, whole numbers, "
                "booleans or dates"
            )


def _segment(by: Sequence[str], values: Sequence[object]) -> str:
    return ",".join(f"{name}={spelled(value)}" for name, value in zip(by, values, strict=True))


def spelled(value: object) -> str:
    """Return a value as a name can hold it: quoted where it is empty, special or not printable."""
    if value is None:
        return "null"
    if not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else str(value)
    plain = value not in {"", "null"} and not set(value) & _SPECIAL
    return value if plain and value.isprintable() else json.dumps(value, ensure_ascii=False)
