"""Every error that a user can meet: what was wrong, where, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Self


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint such as ``; did you mean `dep_time`?``, or what there is, or nothing."""
    options = sorted(known)
    close = difflib.get_close_matches(name, options, n=1)
    if close:
        return f"; did you mean `{close[0]}`?"
    if options and len(options) <= 12:
        return f"; there is {', '.join(f'`{option}`' for option in options)}"
    return ""


class MlopsError(Exception):
    """Whatever the project raises on purpose; the command line prints it without a traceback."""


class UnknownNameError(MlopsError):
    """A name that nothing answers to."""

    @classmethod
    def among(cls, what: str, name: str, known: Iterable[str]) -> Self:
        """Say which names there are, the closest first."""
        return cls(f"no {what} `{name}`{did_you_mean(name, known)}")


class DeclarationError(MlopsError):
    """A declaration that can't be kept."""


class FieldError(MlopsError, ValueError):
    """A field that contradicts another one; `field` is its path within the section that says so."""

    def __init__(self, message: str, *field: str) -> None:
        super().__init__(message)
        self.field = field


class ClockError(MlopsError):
    """`MLOPS_NOW`, which sets the clock for tests, names no moment."""


class HomeError(MlopsError):
    """The home can't be used: not a folder, not writable, or held by another process."""


class BackupError(MlopsError):
    """A home can't be backed up, or a backup not be restored."""


class VersionsError(MlopsError):
    """The repository could not do what was asked."""


class InvalidNameError(VersionsError):
    """A branch, tag, repository or path name that the contract refuses."""


class RefNotFoundError(VersionsError):
    """No branch, tag or commit of that name."""


class ObjectNotFoundError(VersionsError, FileNotFoundError):
    """No object at that path in that commit."""

    __str__ = Exception.__str__  # OSError's own form is an errno tuple


class RefExistsError(VersionsError):
    """A branch or tag of that name is there already, at another commit."""


class ConflictError(VersionsError):
    """Both sides changed the same path, or a branch moved under a compare-and-set."""

    def __init__(self, message: str, paths: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.paths = tuple(paths)


class NothingToCommitError(VersionsError):
    """A commit, merge or revert that would change nothing."""


class RepositoryBusyError(VersionsError):
    """The lock, or the server, did not yield in time; trying again later is right."""


class RepositoryCorruptError(VersionsError):
    """An object or commit is missing, or does not match its checksum."""


class RepositoryUnreachableError(VersionsError):
    """The server does not answer; what was asked may be asked again."""


class AccessRefusedError(VersionsError):
    """The server knows the credentials not, or not for this."""


class HookRefusedError(VersionsError):
    """A hook of the repository, which its owners put there, said no to a commit or a merge."""


class BatchRefusedError(MlopsError):
    """A batch or its labels broke the declared schema or quality."""

    def __init__(self, message: str, problems: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class SourceError(MlopsError):
    """A folder, or a DVC project, from which nothing can be imported."""


class FeatureError(MlopsError):
    """The declared expressions don't fit the batch."""


class TrainingError(MlopsError):
    """A model can't be trained or applied on what was given."""


class NotYetError(TrainingError):
    """It is too early: nobody need mend anything, and what is missing comes with other labels.

    `code` is that of the decision which holds a training back for it.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class RebuildError(MlopsError):
    """A registered version can't be trained again."""


class RevisionError(MlopsError):
    """The project's git repository can't give the code that was asked for."""


class RegistryError(MlopsError):
    """MLflow or the ledger could not do what was asked."""


class LedgerConflictError(RegistryError):
    """Somebody else appended first; read again and decide again."""


class ProfileError(MlopsError):
    """A profile can't be made, read or compared."""


class StoreError(MlopsError):
    """The store of profiles and decisions could not do what was asked."""


class StoreBusyError(StoreError):
    """Another process held the store for too long."""
