"""History brought in: many files, each of one window or of many, land as windows.

First every file is opened and, where it has rows of several windows, split; only then windows land,
oldest first. Each lands as a single file does, on a branch of its own and checked, so that `mlops
replay` and the daemon go on with it window by window, main stays good, and an import that was
interrupted begins again without doing anything twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import polars as pl
from polars.exceptions import PolarsError

from mlops_assets.batches.checks import SHOWN, Report
from mlops_assets.batches.held import Held, held
from mlops_assets.batches.landing import (
    KINDS,
    MAIN,
    Delivery,
    Kind,
    Landing,
    audit,
    beside,
    delivered,
    landings,
    open_as,
    put,
    refuse,
    succeed,
    told_kind,
)
from mlops_assets.batches.reading import rows_by_window, scan, stem, write_parquet
from mlops_assets.declaration import Declaration
from mlops_assets.errors import BatchRefusedError
from mlops_assets.importing.dvc import Broken
from mlops_assets.importing.sources import Source
from mlops_assets.words import counted

if TYPE_CHECKING:
    from mlops_assets.versions import Repository

Result = Literal["imported", "unchanged", "refused"]
RESULTS: tuple[Result, ...] = ("imported", "unchanged", "refused")
_DRAFT_ROWS = 16_384  # of each window at a time in memory, while a file is split
_SEALED = 0o444  # of a file that never changes again: a repository may link it


@dataclass(frozen=True)
class Outcome:
    """What became of a window, or of a file (or some of its rows) of which no window can be told."""

    result: Result
    files: tuple[str, ...]
    kind: Kind | None = None
    window: str | None = None
    rows: int | None = None
    problems: tuple[str, ...] = ()
    landing: Landing | None = None
    report: Report | None = None  # of a window that was refused now, not earlier
    notes: tuple[str, ...] = ()  # what was converted when it was read


@dataclass(frozen=True)
class Piece:
    """A Parquet file with rows of one window, and the files that they come from."""

    kind: Kind
    window: str
    file: Path
    names: tuple[str, ...]
    immutable: bool
    notes: tuple[str, ...] = ()


@dataclass
class Plan:
    """What is to land, by window and the labels before their batch; and what can't."""

    pieces: list[Piece] = field(default_factory=list)
    refused: list[Outcome] = field(default_factory=list)


def plan(
    declaration: Declaration,
    sources: Iterable[Source | Broken],
    staging: Path,
    *,
    kind: Kind | None = None,
    tell: Callable[[str], None],
) -> Plan:
    """Open each file, and write those with rows of several windows apart into `staging`.

    A file that can't be read, or of which no window can be told, is refused; the others go on.
    """
    made = Plan()
    for number, source in enumerate(sources):
        if isinstance(source, Broken):
            made.refused.append(Outcome("refused", (source.path,), problems=(source.problem,)))
            continue
        tell(source.name)
        try:
            _open(declaration, source, staging / "pieces" / str(number), kind, made)
        except BatchRefusedError as error:
            made.refused.append(Outcome("refused", (source.name,), problems=(str(error),)))
        except PolarsError as error:  # read so far, damaged further on
            problem = f"it can't be read: {str(error).splitlines()[0]}"
            made.refused.append(Outcome("refused", (source.name,), problems=(problem,)))
    together: dict[tuple[str, Kind], list[Piece]] = {}
    for piece in made.pieces:
        together.setdefault((piece.window, piece.kind), []).append(piece)
    made.pieces = []
    # the labels first: should this be killed in between, nothing is decided without them
    for window, one in sorted(together, key=lambda key: (key[0], -KINDS.index(key[1]))):
        pieces = together[window, one]
        if len(pieces) == 1:
            made.pieces += pieces
        else:
            _join(pieces, staging / "joined" / f"{one}-{window}.parquet", made)
    return made


def bring(
    repository: Repository,
    declaration: Declaration,
    pieces: Iterable[Piece],
    metadata: Mapping[str, str],
    *,
    dry_run: bool = False,
    replaces: bool = False,
) -> Iterator[Outcome]:
    """Land each piece, checked; yield what became of it. A rehearsal checks, and lands nothing.

    What main or a landing branch holds already is left as it is. Only what `replaces` may lack
    rows that landed before.
    """
    main = held(repository, declaration.name, MAIN)
    for piece in pieces:
        try:
            with delivered(
                repository,
                declaration,
                piece.file,
                kind=piece.kind,
                window=piece.window,
                replace=replaces,
            ) as delivery:
                yield _bring(
                    repository, declaration, piece, delivery, metadata, main, dry_run=dry_run
                )
        except BatchRefusedError as error:
            yield Outcome("refused", piece.names, piece.kind, piece.window, problems=(str(error),))


def _bring(
    repository: Repository,
    declaration: Declaration,
    piece: Piece,
    delivery: Delivery,
    metadata: Mapping[str, str],
    main: Held,
    *,
    dry_run: bool,
) -> Outcome:
    kind, window, version = piece.kind, piece.window, delivery.version
    known = {one.version: one for one in landings(repository, declaration.name, kind, window)}
    if main.there[kind].get(window) == version:
        return Outcome("unchanged", piece.names, kind, window)
    others = beside(
        repository, declaration, kind, window, version=version, replaces=delivery.replaces
    )
    report = audit(declaration, kind, window, delivery.frame, others)
    before = known.get(version)
    landing = before
    if not dry_run:
        landing = put(
            repository,
            declaration,
            replace(delivery, notes=(*piece.notes, *delivery.notes)),
            metadata={**metadata, "mlops.source": _shown(piece.names)},
            again=report.passed,
            immutable=piece.immutable and delivery.content == piece.file,
        )
        if landing is not None and not report.passed:
            landing = refuse(repository, declaration, landing, report)
        elif landing is not None:
            succeed(repository, declaration, landing)
    same = before is not None and before.refused != report.passed
    # main may have come to hold exactly this since
    idle = same or (landing is None and not dry_run)
    return Outcome(
        "refused" if not report.passed else "unchanged" if idle else "imported",
        piece.names,
        kind,
        window,
        report.rows,
        report.problems,
        landing,
        None if same or report.passed else report,
        (*piece.notes, *delivery.notes),
    )


def _open(
    declaration: Declaration, source: Source, staging: Path, kind: Kind | None, into: Plan
) -> None:
    windows, time = declaration.windows, declaration.batches.time
    # the names of its columns say the kind, only then are their types known
    kind = kind or told_kind(declaration, source.file)
    opened = open_as(declaration, kind, source.file, name=source.place)
    frame = opened.frame
    names = (source.name,)
    if windows.declares(stem(source.file)):
        window: str | None = stem(source.file)
    else:
        if time in opened.problems:
            raise BatchRefusedError(f"`{time}`: {opened.problems[time]}")
        counted = rows_by_window(source.file, frame, windows, time)
        declared = [key for key in counted["window"].drop_nulls() if windows.declares(key)]
        stray = counted.filter(~pl.col("window").is_in(declared) | pl.col("window").is_null())
        if counted.is_empty() or not stray.is_empty():
            problem = _stray(declaration, stray)
            into.refused.append(Outcome("refused", names, kind, problems=(problem,)))
        if len(declared) > 1 or (declared and not stray.is_empty()):
            key_of = windows.expression(time, frame.collect_schema()[time])
            _split(frame, key_of, declared, staging)
            into.pieces += [
                Piece(
                    kind,
                    key,
                    _sealed(staging / f"{key}.parquet"),
                    names,
                    immutable=True,
                    notes=opened.notes,
                )
                for key in declared
            ]
            return
        window = declared[0] if declared else None
    if window is not None and opened.as_is:
        into.pieces.append(Piece(kind, window, source.file, names, source.immutable))
    elif window is not None:
        staging.mkdir(parents=True)
        write_parquet(frame, staging / "whole.parquet")
        whole = _sealed(staging / "whole.parquet")
        into.pieces.append(Piece(kind, window, whole, names, immutable=True, notes=opened.notes))


def _split(frame: pl.LazyFrame, window: pl.Expr, keys: Sequence[str], staging: Path) -> None:
    """Write the rows of each window to a file of its own, in their order, as a stream."""
    name = "mlops.window"
    drafts = staging / "drafts"
    keyed = frame.with_columns(window.alias(name)).filter(pl.col(name).is_in(keys))
    keyed.sink_parquet(
        pl.PartitionBy(
            drafts,
            key=name,
            include_key=False,
            approximate_bytes_per_file=None,
            file_path_provider=lambda made: f"{made.partition_keys[name][0]}.parquet",
        ),
        mkdir=True,
        maintain_order=True,
        row_group_size=_DRAFT_ROWS,
    )
    for key in keys:
        # once more, in row groups of one size: the same rows are the same bytes, however they came
        draft = drafts / f"{key}.parquet"
        write_parquet(scan(draft), staging / f"{key}.parquet")
        draft.unlink()


def _join(pieces: Sequence[Piece], target: Path, into: Plan) -> None:
    """Put the rows that several files have of one window together, in the order of the files."""
    kind, window = pieces[0].kind, pieces[0].window
    names = tuple(name for piece in pieces for name in piece.names)
    frames = [scan(piece.file) for piece in pieces]
    schemas = [frame.collect_schema() for frame in frames]
    for piece, schema in zip(pieces, schemas, strict=True):
        if other := set(schema.items()) ^ set(schemas[0].items()):
            columns = ", ".join(f"`{name}`" for name in sorted({name for name, _ in other})[:SHOWN])
            problem = f"{pieces[0].names[0]} and {piece.names[0]} differ in {columns}"
            into.refused.append(Outcome("refused", names, kind, window, problems=(problem,)))
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    ordered = [frame.select(schemas[0].names()) for frame in frames]
    write_parquet(pl.concat(ordered, how="vertical"), target)
    notes = tuple(dict.fromkeys(note for piece in pieces for note in piece.notes))
    into.pieces.append(Piece(kind, window, _sealed(target), names, immutable=True, notes=notes))


def _stray(declaration: Declaration, stray: pl.DataFrame) -> str:
    """Say of which rows no declared window can be told."""
    if stray.is_empty():
        return "it has no rows"
    said = []
    without = int(stray.filter(pl.col("window").is_null())["len"].sum())
    if without:
        said.append(f"{counted(without, 'row')} without `{declaration.batches.time}`")
    outside = stray.drop_nulls("window")
    if not outside.is_empty():
        windows = declaration.windows
        until = f" to before {windows.end}" if windows.end else ""
        said.append(
            f"{int(outside['len'].sum()):,} rows of {outside['window'].first()!s} to "
            f"{outside['window'].last()!s} are of no declared window: every {windows.every} from "
            f"{windows.start}{until}"
        )
    return "; ".join(said) + "; they are left out"


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _sealed(file: Path) -> Path:
    file.chmod(_SEALED)
    return file
