"""A DVC project, read without DVC: what it tracked at a git revision, and where its cache holds it.

The files are those that DVC 1 to 3 write: `*.dvc` and `dvc.lock` in git, contents in the cache under
their MD5, and for a folder a JSON list of its files. https://dvc.org/doc/user-guide/project-structure
"""

from __future__ import annotations

import configparser
import hashlib
import json
import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.errors import SourceError

if TYPE_CHECKING:
    import pygit2

_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
_CHUNK = 1 << 20  # bytes; DVC 2 looked at a text's line ends in pieces of this size


@dataclass(frozen=True)
class Tracked:
    """A file that DVC tracks: its path in the project, and what names its content in the cache."""

    path: str
    md5: str
    legacy: bool  # DVC 1 and 2: the MD5 of a text is that of its lines ended as on Unix


@dataclass(frozen=True)
class Broken:
    """Something that DVC tracks and that can't be had: its path in the project, and why."""

    path: str
    problem: str


@dataclass(frozen=True)
class DvcProject:
    """A DVC project at a git revision, and the cache on this machine."""

    root: Path  # the folder that holds .dvc
    start: str  # the folder in it that is meant, "" for all
    commit: str  # of git
    cache: Path

    @classmethod
    def at(cls, folder: Path, revision: str) -> DvcProject:
        """Find the project that a folder is in, and the commit.

        Raises:
            SourceError: it is no DVC project, is not under git, or has no such revision.
        """
        import pygit2

        here = folder.resolve()
        root = next((one for one in (here, *here.parents) if (one / ".dvc").is_dir()), None)
        if root is None:
            raise SourceError(
                f"{folder} is in no DVC project: there is no .dvc beside or above it; without "
                "--rev the files of a folder are imported as they are"
            )
        try:
            commit = _git(root).revparse_single(revision).peel(pygit2.Commit)
        except (KeyError, ValueError, pygit2.GitError) as error:
            raise SourceError(f"{root} has no git revision `{revision}`") from error
        start = "" if here == root else here.relative_to(root).as_posix()
        return cls(root, start, str(commit.id), _cache(root))

    def tracked(self, below: Sequence[str] = ()) -> list[Tracked | Broken]:
        """Return each file that DVC tracks below some paths of the folder, or all; sorted by path.

        Raises:
            SourceError: a path leads out of the project, or nothing is tracked there.
        """
        wanted = [self._inside(self.start, path) for path in below or ("",)]
        every = sorted(set(self._files()), key=lambda one: one.path)
        found = [
            one
            for one in every
            for path in wanted
            if path is not None
            and (_within(one.path, path) or (isinstance(one, Broken) and _within(path, one.path)))
        ]
        if not found:
            known = ", ".join(sorted({one.path.partition("/")[0] for one in every})) or "nothing"
            raise SourceError(
                f"DVC tracks nothing at {', '.join(below) or self.start or self.root} in "
                f"{self.commit[:12]}; at the top it tracks {known}"
            )
        return found

    def file_of(self, tracked: Tracked) -> Path | Broken:
        """Return where the cache holds a file, its MD5 checked, or why it can't be had."""
        file = self._cached(tracked.md5)
        if file is None:
            return Broken(tracked.path, self._missing(tracked.md5))
        try:
            if not _matches(file, tracked):
                return Broken(tracked.path, _damaged(file))
        except OSError as error:
            return Broken(tracked.path, f"{file} can't be read: {error.strerror}")
        return file

    def _files(self) -> Iterator[Tracked | Broken]:
        texts = dict(self._tracking())
        for path, text in texts.items():
            folder, name = posixpath.split(path)
            if name == "dvc.yaml":
                continue  # says what is to be done; dvc.lock beside it, what was
            try:
                if name == "dvc.lock":
                    outs = _locked(folder, text, texts.get(posixpath.join(folder, "dvc.yaml"), ""))
                else:
                    document = _parsed(text)
                    outs = _outs(folder, document, document.get("wdir"))
                for place, out in outs:
                    yield from self._of(place, out)
            except ValueError as error:
                yield Broken(path, f"it can't be read: {error}")

    def _of(self, folder: str, out: Mapping[str, Any]) -> Iterator[Tracked | Broken]:
        """Yield the files of an output; its path is relative to a folder of the project."""
        path = self._inside(folder, out["path"])
        if path is None:
            return  # outside the project, or on a server: no file of it
        legacy = "hash" not in out
        md5 = str(out.get("md5"))
        if isinstance(out.get("files"), list):  # of a remote that keeps versions by itself
            yield from _entries(path, out["files"], legacy=legacy)
        elif not _MD5.fullmatch(md5):
            yield Broken(path, f"it has no MD5 in {self.commit[:12]}: `dvc commit` it first")
        elif not md5.endswith(".dir"):
            yield Tracked(path, md5, legacy)
        elif (file := self._cached(md5)) is None:
            yield Broken(path, self._missing(md5))
        else:
            content = file.read_bytes()
            if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5[:32]:
                yield Broken(path, _damaged(file))
            else:
                yield from _entries(path, json.loads(content), legacy=legacy)

    def _tracking(self) -> Iterator[tuple[str, str]]:
        """Yield the path in the project, and the text, of DVC's files in the commit."""
        import pygit2

        git = _git(self.root)
        top = Path(git.workdir or git.path).resolve()
        within = self.root.relative_to(top).as_posix()
        tree = git[self.commit].peel(pygit2.Tree)
        if within != ".":
            if within not in tree:
                raise SourceError(f"{within} is not in git's {self.commit[:12]}")
            tree = tree[within].peel(pygit2.Tree)
        yield from _walk(tree, "")

    def _inside(self, folder: str, path: str) -> str | None:
        """Return a path in normal form, relative to the project; None if it leads elsewhere."""
        if "://" in path or posixpath.isabs(path) or "\\" in path or "\0" in path:
            return None
        normal = posixpath.normpath(posixpath.join(folder, path))
        if normal.split("/")[0] == "..":
            return None
        return "" if normal == "." else normal

    def _cached(self, md5: str) -> Path | None:
        # DVC 3, then 1 and 2; one that was upgraded has both
        places = (self.cache / "files" / "md5", self.cache)
        return next((f for p in places if (f := p / md5[:2] / md5[2:]).is_file()), None)

    def _missing(self, md5: str) -> str:
        return (
            f"DVC's cache {self.cache} has not its content {md5}: `dvc fetch` it (of another "
            "revision than the one checked out: `dvc fetch --all-commits`), then import again"
        )


def _git(root: Path) -> pygit2.Repository:
    import pygit2

    try:
        found = pygit2.discover_repository(str(root))
        if found is not None:
            return pygit2.Repository(found)
    except (KeyError, pygit2.GitError) as error:
        raise SourceError(f"the git repository of {root} can't be read: {error}") from error
    raise SourceError(f"{root} is not under git: a revision of it can't be had")


def _cache(root: Path) -> Path:
    """Return where the project's cache is, by the settings that DVC reads; the last one wins."""
    known = os.environ.get("DVC_GLOBAL_CONFIG_DIR")
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    folder = Path(known) if known else Path(base).expanduser() / "dvc"
    cache = root / ".dvc" / "cache"
    for file in (folder / "config", root / ".dvc" / "config", root / ".dvc" / "config.local"):
        settings = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            settings.read(file, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError) as error:
            raise SourceError(f"{file} can't be read: {str(error).splitlines()[0]}") from error
        named = settings.get("cache", "dir", fallback=None)
        if named is not None:
            # relative to the file that says it
            cache = file.parent / Path(named.strip("\"'")).expanduser()
    return cache.resolve()


def _walk(tree: pygit2.Tree, folder: str) -> Iterator[tuple[str, str]]:
    import pygit2

    for entry in tree:
        name = str(entry.name)
        path = posixpath.join(folder, name)
        if isinstance(entry, pygit2.Tree):
            # one with a .dvc of its own is another project
            if name != ".dvc" and not (".dvc" in entry and isinstance(entry[".dvc"], pygit2.Tree)):
                yield from _walk(entry, path)
        elif isinstance(entry, pygit2.Blob) and (
            name in {"dvc.lock", "dvc.yaml"} or (name.endswith(".dvc") and name != ".dvc")
        ):
            yield path, entry.data.decode(errors="replace")


def _parsed(text: str) -> Mapping[str, Any]:
    import yaml

    try:
        return _mapping(yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))  # noqa: S506  # both are safe ones
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _locked(folder: str, lock: str, declared: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the outputs of a dvc.lock; the dvc.yaml beside it says what they are relative to."""
    document = _parsed(lock)
    # DVC 1 had the stages at the top
    stages = _mapping(document.get("stages") if "schema" in document else document)
    known = _mapping(_parsed(declared).get("stages"))
    for stage, done in stages.items():
        one = _mapping(known.get(str(stage).partition("@")[0]))
        wdir = _mapping(one.get("do", one)).get("wdir")
        if isinstance(wdir, str) and "${" in wdir:
            raise ValueError(f"the wdir of its stage `{stage}` is a template; give it plainly")
        yield from _outs(folder, _mapping(done), wdir)


def _outs(
    folder: str, document: Mapping[str, Any], wdir: object
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each output of a stage with the folder that its path is relative to."""
    place = posixpath.join(folder, wdir) if isinstance(wdir, str) else folder
    outs = document.get("outs")
    for out in outs if isinstance(outs, list) else []:
        if isinstance(out, Mapping) and isinstance(out.get("path"), str):
            yield place, out


def _damaged(file: Path) -> str:
    return f"{file} does not match its MD5: remove it, then `dvc fetch` it again"


def _entries(folder: str, entries: object, *, legacy: bool) -> Iterator[Tracked | Broken]:
    for entry in entries if isinstance(entries, list) else []:
        relative, md5 = (str(_mapping(entry).get(name, "")) for name in ("relpath", "md5"))
        normal = posixpath.normpath(relative)
        path = posixpath.join(folder, normal)
        if normal != relative or normal.split("/")[0] in {"", ".", ".."} or "\0" in normal:
            yield Broken(folder, f"its list of files names {relative!r}, which is no file in it")
        elif not _MD5.fullmatch(md5) or md5.endswith(".dir"):
            yield Broken(path, "the list of its folder has no MD5 of it")
        else:
            yield Tracked(path, md5, legacy)


def _within(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")


def _matches(file: Path, tracked: Tracked) -> bool:
    plain, unix = (hashlib.md5(usedforsecurity=False) for _ in range(2))
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            plain.update(chunk)
            if tracked.legacy:
                unix.update(chunk.replace(b"\r\n", b"\n"))
    return tracked.md5 == plain.hexdigest() or (tracked.legacy and tracked.md5 == unix.hexdigest())
