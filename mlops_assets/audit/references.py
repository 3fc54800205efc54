"""What refers to what: every commit, object, run and blob that something recorded names, by whom.

Gathered first and looked up afterwards, each once, however many name it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from mlops_assets.records.kinds import KINDS, MergedProfile
from mlops_assets.records.record import fields_of
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Entry
from mlops_assets.registry.run import TrackedRun

DATA_COMMIT = "mlops.data_commit"  # the tag of a run and of a registered version
# what of a row names a blob of the store
BLOBS = {
    "verdicts": ["profile", "reference", "policy"],
    "segments": ["profile", "policy"],
    "staleness": ["champion_twin_blob"],
    "estimators": ["estimator"],
    "merged_profiles": ["profile"],
}
_SHOWN = 3  # of those that name the same thing
_NONE = frozenset({None, "", "none"})

T = TypeVar("T", bound=Hashable)


class Named(Generic[T]):
    """Things, and for each who names it."""

    def __init__(self) -> None:
        self._by: dict[T, list[str]] = {}

    def add(self, thing: T, by: str) -> None:
        """Note that somebody names a thing."""
        self._by.setdefault(thing, []).append(by)

    def by(self, thing: T) -> str:
        """Say who names it, the first few."""
        names = list(dict.fromkeys(self._by[thing]))
        more = len(names) - _SHOWN
        return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")

    def __iter__(self) -> Iterator[T]:
        return iter(self._by)

    def __len__(self) -> int:
        return len(self._by)


@dataclass(frozen=True)
class RecordedObject:
    """An object as something recorded it: at which commit, under which path, with which SHA-256."""

    commit: str
    path: str
    checksum: str


@dataclass(frozen=True)
class References:
    """Everything named, by kind; a run with the model in whose experiment it is."""

    commits: Named[str] = field(default_factory=Named)
    objects: Named[RecordedObject] = field(default_factory=Named)
    runs: Named[tuple[str, str]] = field(default_factory=Named)
    blobs: Named[str] = field(default_factory=Named)
    merged: set[str] = field(default_factory=set)  # blobs that the retention lets go of

    def of_ledger(self, model: str, entries: Iterable[Entry]) -> None:
        """Note what the entries of a ledger name."""
        for entry in entries:
            by = entry_name(model, entry)
            self._add(self.commits, entry.data_commit, by)
            self._add(self.blobs, entry.reference, by)
            self._add_run(model, entry.mlflow_run_id, by)

    def of_materializations(
        self, model: str, materialized: Iterable[tuple[str, Mapping[str, Any]]]
    ) -> None:
        """Note what materializations of a model's assets name.

        Args:
            model: whose they are.
            materialized: the asset and window in words, and the materialization's metadata.

        """
        for by, known in materialized:
            for name in ("commit", "data_commit"):
                self._add(self.commits, known.get(name), by)
            self._add_run(model, known.get("mlflow_run_id"), by)
            path = str(known.get("dagster/uri", "")).rpartition("@")[0]
            if path and known.get("checksum"):
                self.objects.add(RecordedObject(known["commit"], path, known["checksum"]), by)

    def of_store(self, store: Store, model: str) -> None:
        """Note what the rows of the store name."""
        for kind, form in KINDS.items():
            fields = fields_of(form)
            names = [f.name for f in fields if f.name == "commit_id" or f.name.endswith("_commit")]
            blobs = BLOBS.get(kind, [])
            at = "period" if kind == "merged_profiles" else "window"
            for name in names + blobs:
                found = store.query(
                    f'SELECT "{name}" AS named, min("{at}") AS first, count(*) AS rows '  # noqa: S608 - names come from KINDS
                    f'FROM "{kind}" WHERE model = ? GROUP BY 1 ORDER BY 2',
                    [model],
                )
                for named, first, rows in found.iter_rows():
                    more = f" and {rows - 1} more rows" if rows > 1 else ""
                    to = self.blobs if name in blobs else self.commits
                    self._add(to, named, f"the store's {kind} of {first}{more}")
        for month in store.latest(MergedProfile, model=model):
            self.merged.update(*month.windows.values())

    def of_run(self, run: TrackedRun) -> None:
        """Note what an MLflow run names."""
        self.of_tags(run.tags, f"MLflow run {run.id}")

    def of_tags(self, tags: Mapping[str, str], by: str) -> None:
        """Note what the tags of a run or a registered version name."""
        self._add(self.commits, tags.get(DATA_COMMIT), by)

    def _add_run(self, model: str, run_id: str | None, by: str) -> None:
        if run_id not in _NONE:
            self.runs.add((model, str(run_id)), by)

    @staticmethod
    def _add(to: Named[str], thing: str | None, by: str) -> None:
        if thing not in _NONE:
            to.add(str(thing), by)


def entry_name(model: str, entry: Entry) -> str:
    """Return how a person calls an entry of the ledger."""
    return f"ledger entry {entry.number} of {model}"
