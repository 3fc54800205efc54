"""The append-only record of promotions, refusals and retirements: a content per entry."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlops_assets.errors import LedgerConflictError, RegistryError
from mlops_assets.records.backend import Backend
from mlops_assets.records.folder import Folder

_MODEL_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ENTRY_FILE = re.compile(r"(\d{6,})\.json")

Event = Literal["promoted", "refused", "rolled_back", "retired"]
MOVES: frozenset[Event] = frozenset({"promoted", "rolled_back"})  # from one champion to another


class Gate(BaseModel):
    """What one gate found; a value that is not a finite number is kept as None."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    passed: bool
    value: float | None
    limit: float | None
    sentence: str


class Draft(BaseModel):
    """An entry to be; number, time and the version before are the ledger's to give."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: str = Field(min_length=1)  # the turn in which it was decided
    event: Event
    version: int | None  # that serves from the next window on; if refused, the one that asked;
    # if retired, the one that is let go
    cause: str = Field(min_length=1)  # the decision's key, unique in a model
    data_commit: str | None = None
    mlflow_run_id: str | None = None
    gates: tuple[Gate, ...] = ()
    reason: str
    trigger: str
    fingerprint: str | None = None
    reference: str | None = None  # the store's id of the reference profile
    training_windows: tuple[str, ...] = ()
    features: dict[str, str] = Field(default_factory=dict)  # feature -> numeric or categorical
    features_code: str = ""  # the version of the expressions that it learnt
    # the task, and the hash of the target, that it learnt or was to learn; older entries have none
    learnt: dict[str, str] = Field(default_factory=dict)


class Entry(Draft):
    """An entry as it stands in the ledger."""

    number: int = Field(ge=1)
    at: str  # wall clock, UTC, ISO 8601
    previous: int | None  # the champion's version when it was decided

    @property
    def moves_champion(self) -> bool:
        """Whether another version serves by it."""
        return self.event in MOVES


class Ledger:
    """The entries of every model, `<root>/<model>/000001.json` and so on.

    An entry is complete or absent, never changed, and numbered without gaps. Any number of
    processes may append at once: a number is added if it is absent, so of two that read the same
    state one wins. It reads the other's entry then. That makes a cause unique as well: whoever adds
    a number has read all entries before it, and none of them had the cause.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def append(self, model: str, entry: Draft, expected_previous: int | None) -> Entry:
        """Add an entry, if the champion is still the one that the decision was made against.

        Doing it twice, even at the same moment, adds one entry: a cause and event that are
        there already return what stands there. A cause is either promoted or refused.

        Raises:
            LedgerConflictError: the champion is another, somebody appended at the same moment,
                or the cause was decided the other way.
            RegistryError: the name is refused, the entry makes no sense, or the folder can't
                be written.
        """
        backend = self._backend(model)
        if entry.event == "promoted" and entry.version is None:
            raise RegistryError(f"{model}: a promotion needs the version that is promoted")
        entries = self.entries(model)
        if (there := _decided(model, entries, entry)) is not None:
            return there
        champion = champion_of(entries)
        previous = champion.version if champion else None
        if previous != expected_previous:
            raise LedgerConflictError(
                f"{model}: the champion is {_named(previous)}, not {_named(expected_previous)} as"
                " when this was decided; read the ledger again and decide again"
            )
        stamped = Entry.model_validate(
            {
                **entry.model_dump(include=set(Draft.model_fields)),
                "number": len(entries) + 1,
                "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "previous": previous,
            }
        )
        text = stamped.model_dump_json(indent=1) + "\n"
        try:
            added = backend.add_if_absent(f"{stamped.number:06d}.json", text.encode())
        except OSError as error:
            raise RegistryError(
                f"{model}: the ledger in {self.root} can't be written ({error}); make room, or"
                " let this user write there"
            ) from error
        if not added:
            # the other copy of this very step may have been the faster one
            if (there := _decided(model, self.entries(model), entry)) is not None:
                return there
            raise LedgerConflictError(
                f"{model}: entry {stamped.number} was appended by somebody else at the same"
                " moment; read the ledger again and decide again"
            )
        return Entry.model_validate_json(text)

    def entries(self, model: str) -> list[Entry]:
        """Return all entries, oldest first; none if the model has no ledger yet.

        Raises:
            RegistryError: the name is refused, an entry can't be read, or one is missing.
        """
        backend = self._backend(model)
        try:
            names = backend.names()
        except OSError as error:
            raise RegistryError(f"{model}: the ledger can't be read ({error})") from error
        numbers = sorted(int(found[1]) for name in names if (found := _ENTRY_FILE.fullmatch(name)))
        if numbers != list(range(1, len(numbers) + 1)):
            lost = min(set(range(1, numbers[-1] + 1)) - set(numbers))
            raise RegistryError(
                f"{model}: entry {lost} is missing from {self.root / model}; restore it from a backup"
            )
        return [self._read(model, backend, f"{number:06d}.json") for number in numbers]

    def models(self) -> list[str]:
        """Return the models that have entries or had them, by name."""
        if not self.root.is_dir():
            return []
        return sorted(
            folder.name
            for folder in self.root.iterdir()
            if folder.is_dir() and _MODEL_NAME.fullmatch(folder.name)
        )

    def champion(self, model: str) -> Entry | None:
        """Return the entry that made the present champion; None if there is no champion.

        Raises:
            RegistryError: as `entries`.
        """
        return champion_of(self.entries(model))

    def in_force(self, model: str, window: str) -> Entry | None:
        """Return the entry whose version serves a window; None if none did.

        What was promoted or rolled back in turn t serves from the next window on, so that
        no later entry changes what served an earlier window. Windows compare as their keys.

        Raises:
            RegistryError: as `entries`.
        """
        return champion_of(entry for entry in self.entries(model) if entry.window < window)

    def retired(self, model: str) -> dict[int, Entry]:
        """Return the versions that were retired and not promoted again, with the entry that did it.

        Raises:
            RegistryError: as `entries`.
        """
        found: dict[int, Entry] = {}
        for entry in self.entries(model):
            if entry.version is not None and entry.event == "retired":
                found[entry.version] = entry
            elif entry.version is not None and entry.moves_champion:
                found.pop(entry.version, None)
        return found

    def _backend(self, model: str) -> Backend:
        return Folder(self.root / check_model_name(model))

    def _read(self, model: str, backend: Backend, name: str) -> Entry:
        try:
            return Entry.model_validate_json(backend.read(name))
        except (OSError, ValidationError) as error:
            raise RegistryError(
                f"ledger entry {self.root / model / name} can't be read; restore it from a backup,"
                f" or use the version of mlops-assets that wrote it: {error}"
            ) from error


def pinned_branch(model: str, version: int) -> str:
    """Return the branch that keeps what a version learnt from, until the version is retired."""
    return f"pinned-{model}-v{version}"


def check_model_name(model: str) -> str:
    """Return the name if it can be a folder, a job and a registered model.

    Raises:
        RegistryError: it is not lower-case letters, digits and underscores, a letter first.
    """
    if not _MODEL_NAME.fullmatch(model):
        raise RegistryError(
            f"no model can be called {model!r}; use lower-case letters, digits and underscores,"
            " a letter first"
        )
    return model


def _decided(model: str, entries: Iterable[Entry], draft: Draft) -> Entry | None:
    for entry in entries:
        if entry.cause != draft.cause:
            continue
        if entry.event == draft.event:
            return entry
        if {entry.event, draft.event} == {"promoted", "refused"}:
            raise LedgerConflictError(
                f"{model}: `{draft.cause}` was {entry.event} in entry {entry.number} and can't be"
                f" {draft.event} as well; what was decided stands"
            )
    return None


def champion_of(entries: Iterable[Entry]) -> Entry | None:
    """Return the entry of one model's that made its champion; None if there is no champion."""
    changes = [entry for entry in entries if entry.moves_champion]
    newest = max(changes, key=lambda entry: entry.number, default=None)
    return newest if newest is not None and newest.version is not None else None


def _named(version: int | None) -> str:
    return "none" if version is None else f"version {version}"
