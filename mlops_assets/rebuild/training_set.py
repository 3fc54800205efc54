"""The training set of a registered version, made again from batches and labels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from mlops_assets.batches.objects import sink
from mlops_assets.batches.reading import scan
from mlops_assets.declaration import Declaration
from mlops_assets.errors import MlopsError, RebuildError, VersionsError
from mlops_assets.learning.training_set import rows_in
from mlops_assets.monitoring.rows import joined
from mlops_assets.rebuild.recorded import RecordedVersion
from mlops_assets.registry.ledger import pinned_branch
from mlops_assets.versions import Repository
from mlops_assets.words import counted

CHUNK = 1 << 20
SHOWN = 5


@dataclass(frozen=True)
class RecoveredTrainingSet:
    """What a rebuild trains on."""

    file: Path
    origin: str  # "rebuilt" or "recorded"
    checksum: str | None  # of what was rebuilt; None if it could not be
    same: bool  # whether what was rebuilt holds the recorded rows
    differences: tuple[str, ...]

    def rows(self, windows: tuple[str, ...]) -> pl.DataFrame:
        """Read the rows of some windows."""
        return rows_in(scan(self.file), windows)


def recover_training_set(
    repository: Repository,
    declaration: Declaration,
    recorded: RecordedVersion,
    folder: Path,
    *,
    can_compute: bool,
    tell: Callable[[str], None],
) -> RecoveredTrainingSet:
    """Make the training set again, and compare it with the recorded one.

    Trained on is what was rebuilt, if it holds the recorded rows or these are gone; else the
    recorded rows, so that what else differs shows.

    Raises:
        RebuildError: neither batches and labels nor the recorded rows can be had.

    """
    training = recorded.training
    tell(
        f"making the training set again at {training.data_commit[:12]}, from "
        f"{training.windows[0]} to {training.windows[-1]}"
    )
    rebuilt = folder / "rebuilt.parquet"
    checksum, reason = None, "the declared code can't be loaded"
    if can_compute:
        try:
            frame = joined(
                repository, declaration, training.data_commit, training.windows, anew=True
            )
            sink(frame, rebuilt)
            checksum = checksum_of_file(rebuilt)
        except (MlopsError, PolarsError, OSError) as error:
            reason = str(error).splitlines()[0]
    if checksum == training.training_set:
        return RecoveredTrainingSet(rebuilt, "rebuilt", checksum, same=True, differences=())
    kept = folder / "recorded.parquet"
    try:
        fetch(repository, recorded, declaration.path("training_set"), kept)
    except (VersionsError, OSError) as error:
        if checksum is None:
            raise RebuildError(gone(repository, recorded, reason, str(error))) from error
        return RecoveredTrainingSet(
            rebuilt,
            "rebuilt",
            checksum,
            same=False,
            differences=(
                "the training set is another than recorded, and where can't be said, since the "
                f"recorded one is gone ({error})",
            ),
        )
    if checksum is None:
        problem = f"the training set can't be made again: {reason}"
        return RecoveredTrainingSet(kept, "recorded", None, same=False, differences=(problem,))
    apart = differing(scan(kept), scan(rebuilt))
    if not apart:  # another version of Polars writes the same rows as other bytes
        return RecoveredTrainingSet(rebuilt, "rebuilt", checksum, same=True, differences=())
    problem = f"the training set made again differs: {'; '.join(apart)}"
    return RecoveredTrainingSet(kept, "recorded", checksum, same=False, differences=(problem,))


def fetch(repository: Repository, recorded: RecordedVersion, path: str, target: Path) -> None:
    """Copy the recorded training set to a local file, piece by piece.

    Raises:
        VersionsError: it is gone, or not what was recorded.

    """
    training = recorded.training
    with repository.open(training.commit, path) as source, target.open("wb") as copy:
        while piece := source.read(CHUNK):
            copy.write(piece)
    if checksum_of_file(target) != training.training_set:
        raise VersionsError(f"`{path}` at {training.commit[:12]} is not what was recorded")


def gone(repository: Repository, recorded: RecordedVersion, reason: str, also: str) -> str:
    """Say that the data can't be had, and why."""
    name = f"{recorded.model} version {recorded.version}"
    branch = pinned_branch(recorded.model, recorded.version)
    if any(known == branch for known, _ in repository.branches(branch)):
        return (
            f"{name} can't be rebuilt: {reason}, and its training set can't be read: {also}; "
            "`mlops verify` names what is broken"
        )
    return (
        f"{name} can't be rebuilt: its data was released (no branch {branch}) and is gone: {reason}"
    )


def differing(then: pl.LazyFrame, now: pl.LazyFrame) -> list[str]:
    """Say in which columns, types and rows two training sets differ; nothing if they don't."""
    before, after = then.collect_schema(), now.collect_schema()
    found = [f"column `{name}` is gone" for name in before if name not in after]
    found += [f"column `{name}` is new" for name in after if name not in before]
    found += [
        f"column `{name}` was {before[name]}, now {after[name]}"
        for name in before
        if name in after and before[name] != after[name]
    ]
    heights = [
        int(frame.select(pl.len()).collect(engine="streaming").item()) for frame in (then, now)
    ]
    if heights[0] != heights[1]:
        return [*found, f"it had {heights[0]:,} rows, now {heights[1]:,}"]
    shared = [name for name in before if before[name] == after.get(name)]
    both = pl.concat(
        [then.select(shared), now.select(pl.col(shared).name.suffix("\0now"))], how="horizontal"
    )
    counts = both.select(
        pl.col(name).ne_missing(pl.col(f"{name}\0now")).sum().alias(name) for name in shared
    ).collect(engine="streaming")
    rows = {name: count for name, count in counts.row(0, named=True).items() if count}
    told = [f"`{name}` in {counted(count, 'row')}" for name, count in list(rows.items())[:SHOWN]]
    if len(rows) > SHOWN:
        told.append(f"{len(rows) - SHOWN} more columns")
    return [*found, *([f"{', '.join(told)} of {heights[0]:,}"] if told else [])]


def checksum_of_file(file: Path) -> str:
    """Return the sha256 as hex."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
