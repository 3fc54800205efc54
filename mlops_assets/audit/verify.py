"""`mlops verify`: all that was recorded is looked up; what is not there, or not whole, is named.

It changes nothing. What can't be looked up at all is a problem too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops_assets.audit.promotions import Problem, RegistryCheck, check_ledger
from mlops_assets.audit.references import References
from mlops_assets.errors import (
    ObjectNotFoundError,
    RefNotFoundError,
    RepositoryCorruptError,
    StoreError,
    UnknownNameError,
)
from mlops_assets.home import Home
from mlops_assets.monitoring.known import known_models
from mlops_assets.records.store import Store
from mlops_assets.versions import Repository, existing_repository

MAIN = "main"
RESTORE = "bring it back from a copy of the repository"


@dataclass(frozen=True)
class Verification:
    """What was looked up, and what was wrong with it."""

    home: str
    models: tuple[str, ...]
    checked: dict[str, int]
    problems: tuple[Problem, ...]


def verify(
    home: Home,
    model: str | None,
    materialized: Callable[[str], Iterable[tuple[str, Mapping[str, Any]]]],
    tell: Callable[[str], None],
) -> Verification:
    """Look up all that was recorded of every model of a home, or of one.

    Args:
        home: whose records are read.
        model: one model only.
        materialized: gives of a model what Dagster's materializations say, see
            `References.of_materializations`.
        tell: is told what is looked at.

    Raises:
        UnknownNameError: nothing is known of such a model.

    """
    known = known_models(home)
    if model is not None and model not in known:
        raise UnknownNameError.among("model with any state here", model, known)
    models = [name for name in known if model in (None, name)]
    verifier = Verifier(home, existing_repository(home.repository, home.cache), materialized, tell)
    verifier.verify(models)
    return Verification(
        home=str(home.root),
        models=tuple(models),
        checked=verifier.checked,
        problems=tuple(dict.fromkeys(verifier.problems)),
    )


@dataclass
class Verifier:
    """One verification: what is named is gathered first, then looked up, each once."""

    home: Home
    repository: Repository | None
    materialized: Callable[[str], Iterable[tuple[str, Mapping[str, Any]]]]
    tell: Callable[[str], None]
    references: References = field(default_factory=References)
    problems: list[Problem] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)

    def verify(self, models: list[str]) -> None:
        """Look up everything of some models, the cheapest first."""
        home, references = self.home, self.references
        store = Store(home.store)
        heads = dict(self.repository.branches("pinned-")) if self.repository else {}
        pinned: list[str] = []
        count = 0
        for model in models:
            self.tell(f"{model}: reading what was recorded")
            entries, problems = check_ledger(home, store, model, heads)
            self.problems += problems
            references.of_ledger(model, entries or ())
            references.of_materializations(model, self.materialized(model))
            if store.root.exists():
                references.of_store(store, model)
            self.tell(f"{model}: asking MLflow")
            self.problems += RegistryCheck(home, model, entries, heads, references).run()
            pinned += [name for name in heads if name.startswith(f"pinned-{model}-v")]
            count += len(entries or ())
        self.tell("looking up profiles and commits")
        self.checked = {"ledger entries": count, "MLflow runs": len(references.runs)}
        self.check_blobs(store)
        if self.repository is not None:
            self.check_objects(self.repository, self.check_commits(self.repository))
            self.tell("reading every object")
            self.check_data(self.repository, pinned)
        elif len(references.commits):
            self.add(
                f"there is no repository, and {len(references.commits)} of its commits are named",
                home.repository,
                "name the repository that holds them in MLOPS_REPOSITORY, or bring it back from "
                "a copy",
            )

    def add(self, what: str, where: str, do: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(what, where, do))

    def check_blobs(self, store: Store) -> None:
        """Read every profile and reference that is named, but those that were merged away."""
        blobs = self.references.blobs
        for blob in blobs:
            if blob in self.references.merged and not store.has_blob(blob):
                continue
            try:
                store.blob(blob)
            except StoreError as error:
                self.add(
                    f"{error}; named by {blobs.by(blob)}",
                    str(store.root / "blobs"),
                    "bring it back from a copy of the store",
                )
        self.checked["profiles"] = len(blobs)

    def check_commits(self, repository: Repository) -> set[str]:
        """Look up every commit that is named; return those that are not there."""
        commits = self.references.commits
        lost = set()
        for commit in commits:
            try:
                repository.resolve(commit)
            except RefNotFoundError:
                lost.add(commit)
                self.add(
                    f"there is no commit {commit}, which {commits.by(commit)} names",
                    repository.url,
                    f"{RESTORE}; is it the repository in which it was recorded?",
                )
        self.checked["commits"] = len(commits)
        return lost

    def check_objects(self, repository: Repository, lost: set[str]) -> None:
        """Compare every recorded object with what stands at its path in its commit."""
        objects = self.references.objects
        for one in objects:
            if one.commit in lost:
                continue
            where = f"{repository.url}, commit {one.commit}"
            try:
                found = repository.stat(one.commit, one.path).checksum
            except ObjectNotFoundError:
                self.add(
                    f"there is no object `{one.path}`, which {objects.by(one)} names",
                    where,
                    RESTORE,
                )
            except RepositoryCorruptError as error:
                self.add(str(error), where, RESTORE)
            else:
                if found != one.checksum:
                    self.add(
                        f"`{one.path}` has the checksum {found}, but {objects.by(one)} recorded "
                        f"{one.checksum}",
                        where,
                        "find out which of the two was changed since; the other is the truth",
                    )
        self.checked["recorded objects"] = len(objects)

    def check_data(self, repository: Repository, pinned: list[str]) -> None:
        """Read every object of main, and of the branches that keep what versions learnt from."""
        refs = [MAIN, *pinned]
        for problem in repository.verify(*refs):
            self.add(
                problem,
                f"{repository.url}, on {', '.join(refs)}",
                "bring the file back from a copy; or put the same content again, by landing it or "
                "materializing its asset",
            )
        self.checked["branches read"] = len(refs)
