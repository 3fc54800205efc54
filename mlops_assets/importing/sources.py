"""Where history comes from: a folder, or a DVC project at a git revision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mlops_assets.batches.reading import ending
from mlops_assets.errors import SourceError
from mlops_assets.importing.dvc import Broken, DvcProject
from mlops_assets.words import counted


@dataclass(frozen=True)
class Source:
    """A file to import: the name that a person knows it by, and where it lies.

    An `immutable` one never changes: a repository may link it instead of copying it.
    """

    name: str
    file: Path
    immutable: bool = False
    place: str | None = None  # the path whose folders say something of it, if it is another


def in_folder(folder: Path) -> tuple[list[Source], int]:
    """Return the files below a folder, or that file, by path; and count those of other kinds.

    What begins with `.` or `_` belongs to the programs that wrote the data.

    Raises:
        SourceError: there is no such folder, or no file in it that could be imported.
    """
    if folder.is_file():
        return [Source(folder.name, folder)], 0
    if not folder.is_dir():
        raise SourceError(f"no folder {folder}")
    there = [
        (file.relative_to(folder).as_posix(), file)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not any(p[0] in "._" for p in file.relative_to(folder).parts)
    ]
    sources = [Source(name, file) for name, file in there if ending(file)]
    if not sources:
        raise SourceError(f"{folder} holds no .parquet or .csv file")
    return sources, len(there) - len(sources)


def in_project(
    project: DvcProject, below: Sequence[str], staging: Path
) -> tuple[Iterator[Source | Broken], int, int]:
    """Return the files of a DVC project as they are asked for, how many, and how many of other kinds.

    Their contents lie in DVC's cache without their names: symbolic links in `staging` have them.

    Raises:
        SourceError: nothing that could be imported is tracked there.
    """
    tracked = project.tracked(below)
    chosen = [one for one in tracked if isinstance(one, Broken) or ending(PurePosixPath(one.path))]
    if not chosen:
        raise SourceError(
            f"of {counted(len(tracked), 'file')} that DVC tracks there none is .parquet or .csv"
        )

    def opened() -> Iterator[Source | Broken]:
        for number, one in enumerate(chosen):
            found = one if isinstance(one, Broken) else project.file_of(one)
            if isinstance(found, Broken):
                yield found
                continue
            named = staging / "sources" / str(number) / PurePosixPath(one.path).name
            named.parent.mkdir(parents=True)
            named.symlink_to(found)
            yield Source(one.path, named, immutable=True, place=one.path)

    return opened(), len(chosen), len(tracked) - len(chosen)
