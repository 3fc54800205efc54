"""What the ledger says, held against the store's outcomes, MLflow and the pinned branches."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from mlops_assets.audit.references import RecordedObject, References, entry_name
from mlops_assets.declaration import object_path
from mlops_assets.errors import RegistryError
from mlops_assets.home import Home
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.registry.connection import FINGERPRINT
from mlops_assets.registry.ledger import Entry, Ledger, pinned_branch
from mlops_assets.registry.models import Registry
from mlops_assets.registry.run import TrackedRun
from mlops_assets.registry.server import MlflowServer
from mlops_assets.registry.tracking import Tracking
from mlops_assets.words import counted

TRAINING_SET = "mlops.training_set"  # the tag of a run with the checksum of what it learnt from


@dataclass(frozen=True)
class Problem:
    """Something that is broken: what, where it was looked for, and what to do about it."""

    what: str
    where: str
    do: str


def check_ledger(
    home: Home, store: Store, model: str, branches: Collection[str]
) -> tuple[list[Entry] | None, list[Problem]]:
    """Read a model's ledger; return its entries, None if unreadable, and what is wrong with them."""
    ledger = Ledger(home.ledger)
    where = str(home.ledger / model)
    try:
        entries = ledger.entries(model)
    except RegistryError as error:
        return None, [Problem(str(error), where, "bring the file back from a copy of the ledger")]
    found = [
        Problem(what, where, "bring the entry's file back from a copy of the ledger")
        for what in (*_broken_links(model, entries), *_altered(store, model, entries))
    ]
    retired = ledger.retired(model)
    for version in {e.version: None for e in entries if e.event == "promoted"}:
        if version is None or version in retired or pinned_branch(model, version) in branches:
            continue
        (entry, *_) = [e for e in entries if e.event == "promoted" and e.version == version]
        found.append(
            Problem(
                f"there is no branch {pinned_branch(model, version)}, so nothing keeps what "
                f"version {version} learnt from",
                home.repository,
                f"create the branch again at the commit {entry.data_commit}, or let the version "
                f"go: mlops retire {model} {version}",
            )
        )
    return entries, found


def _broken_links(model: str, entries: list[Entry]) -> Iterator[str]:
    champion: int | None = None
    for entry in entries:
        if entry.previous != champion:
            yield (
                f"{entry_name(model, entry)} was decided against version {entry.previous}, but by "
                f"the entries before it the champion was version {champion}"
            )
        if entry.moves_champion:
            champion = entry.version


def _altered(store: Store, model: str, entries: list[Entry]) -> Iterator[str]:
    """Compare with the outcomes, which were written beside the ledger when it was decided."""
    outcomes = {row.cause: row for row in store.latest(kinds.Outcome, model=model)}
    for cause in sorted(outcomes.keys() - {entry.cause for entry in entries}):
        yield f"the store has an outcome of {cause}, of which the ledger of {model} has no entry"
    for entry in entries:
        outcome = outcomes.get(entry.cause)
        if outcome is None:
            continue  # of a promotion that was killed there: the next tick writes it
        said = {
            "promoted": entry.event == "promoted",
            "version": entry.version,
            "window": entry.window,
            "reason": entry.reason,
        }
        for name, value in said.items():
            if (recorded := getattr(outcome, name)) != value:
                yield (
                    f"{entry_name(model, entry)} says {name} {value!r}, but the store's outcome of "
                    f"{entry.cause} says {recorded!r}"
                )


@dataclass
class RegistryCheck:
    """One model's entries, held against MLflow."""

    home: Home
    model: str
    entries: list[Entry] | None  # None: it can't be read
    branches: Collection[str]  # that keep what versions learnt from
    references: References
    problems: list[Problem] = field(default_factory=list)

    def run(self) -> list[Problem]:
        """Return what is wrong; note what runs and versions name."""
        server = MlflowServer.of_home(self.home)
        if server.exists:
            try:
                self._look_up(server)
            except RegistryError as error:
                self._add(str(error), "see that MLflow runs and answers, then verify again")
        elif self.references.runs:
            self._add(
                f"there is no MLflow database, and records name {counted(len(self.references.runs), 'run')}",
                "name MLflow's address in MLFLOW_TRACKING_URI, or bring the file back from a copy",
            )
        return self.problems

    def _look_up(self, server: MlflowServer) -> None:
        tracking, registry = server.tracking(self.model), server.registry()
        runs = {run.id: run for run in tracking.runs()}
        named = self.references.runs
        for model, run_id in named:
            if model == self.model and run_id not in runs:
                self._add(
                    f"there is no run {run_id}, which {named.by((model, run_id))} names",
                    "bring it back: `mlflow.MlflowClient().restore_run(run_id)` where it was only "
                    "deleted, else MLflow's database from a copy",
                )
        for run in runs.values():
            self.references.of_run(run)
        registered = registry.versions(self.model)
        for entry in self.entries or ():
            made_by = runs.get(entry.mlflow_run_id or "")
            if made_by is not None:
                self._check_run(tracking, entry, made_by)
            if entry.event == "promoted" and entry.version is not None:
                self._check_version(registry, registered, entry, entry.version)
        if self.entries is not None:
            self._check_alias(registry, self.entries)

    def _check_run(self, tracking: Tracking, entry: Entry, run: TrackedRun) -> None:
        by = entry_name(self.model, entry)
        if run.tags.get(FINGERPRINT) != entry.fingerprint:
            self._add(
                f"run {run.id} has the fingerprint {run.tags.get(FINGERPRINT)}, but {by} names "
                f"{entry.fingerprint}",
                "find out which of the two was changed since",
            )
        learnt_from = run.tags.get(TRAINING_SET)
        if learnt_from is not None and entry.data_commit is not None:
            path = object_path(self.model, "training_set")
            refs = [entry.data_commit]
            if entry.event == "promoted" and entry.version is not None:
                branch = pinned_branch(self.model, entry.version)
                refs += [branch] if branch in self.branches else []
            for ref in refs:
                recorded = RecordedObject(ref, path, learnt_from)
                self.references.objects.add(recorded, f"MLflow run {run.id} of {by}")
        if entry.event == "promoted" and not tracking.has_model(run.id):
            self._add(
                f"run {run.id} has lost the files of the model that {by} promoted",
                f"bring its artifacts back from a copy; `mlops rebuild {self.model} "
                f"{entry.version}` trains it again",
            )

    def _check_version(
        self, registry: Registry, registered: list[int], entry: Entry, number: int
    ) -> None:
        by = entry_name(self.model, entry)
        if number not in registered:
            self._add(
                f"version {number} is not registered, but {by} promoted it",
                "bring MLflow's database back from a copy",
            )
            return
        version = registry.version(self.model, number)
        self.references.of_tags(version.tags, f"version {number} of {self.model} in MLflow")
        for name, there, said in (
            ("fingerprint", version.fingerprint, entry.fingerprint),
            ("run", version.run_id, entry.mlflow_run_id),
        ):
            if there != said:
                self._add(
                    f"version {number} has the {name} {there}, but {by} names {said}",
                    "find out which of the two was changed since",
                )

    def _check_alias(self, registry: Registry, entries: list[Entry]) -> None:
        moves = [entry for entry in entries if entry.moves_champion]
        champion = moves[-1].version if moves else None
        alias = registry.champion(self.model)
        if alias != champion:
            self._add(
                f"the alias `champion` is at version {alias}, but by the ledger of {self.model} "
                f"the champion is version {champion}",
                "set the alias in MLflow: the ledger decides",
            )

    def _add(self, what: str, do: str) -> None:
        self.problems.append(Problem(what, f"MLflow at {self.home.mlflow}", do))
