"""`mlops rebuild`: train a registered version again from what was recorded, and compare.

Nothing is written but a temporary folder: no run, no commit, no registered version.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.declaration import Declaration, place_of
from mlops_assets.errors import MlopsError, RebuildError, RevisionError
from mlops_assets.home import Home
from mlops_assets.learning.environment import libraries, machine
from mlops_assets.learning.fingerprint import fingerprint, of_libraries
from mlops_assets.learning.training import (
    LEARNING_VERSION,
    LEARNING_VERSIONS,
    FittedModel,
    train,
    width_of,
)
from mlops_assets.learning.training_set import TARGET
from mlops_assets.rebuild.other_commit import rebuild_at_commit
from mlops_assets.rebuild.recorded import RecordedVersion, declaration_of, read_recorded
from mlops_assets.rebuild.report import COMMIT, PRESENT, Fact, Reproduction
from mlops_assets.rebuild.training_set import RecoveredTrainingSet, recover_training_set
from mlops_assets.registry.record import Code, checksum_of, checksums, code_of
from mlops_assets.registry.server import MlflowServer
from mlops_assets.revision import Revision, revision_of
from mlops_assets.versions import existing_repository
from mlops_assets.words import counted


def train_again(
    home: Home,
    root: Path,
    declared: Callable[[str], Declaration],
    model: str,
    version: str,
    *,
    checkout: bool = True,
    tell: Callable[[str], None],
) -> Reproduction:
    """Train a registered version again and say whether it is the same, or what differs.

    Args:
        home: that holds its record.
        root: the project's folder, whose modules can be imported.
        declared: gives the declaration of a model as it is now, for what was not recorded.
        model: whose version it is.
        version: such as `3` or `v3`.
        checkout: whether code that is no longer the recorded one is checked out beside the
            project, where git allows it.
        tell: is told what is done.

    Raises:
        UnknownNameError: no such model or version.
        RebuildError: it can't be trained again.
        MlopsError: ledger, MLflow or repository can't be read.

    """
    begun = time.monotonic()
    recorded = read_recorded(home, declared, model, version)
    try:
        declaration = declaration_of(recorded.training)
        code, changes = compare_code(recorded, declaration)
    except RebuildError as error:  # the version of this project that trained it may read it
        if not checkout or recorded.training.revision is None:
            raise
        return at_commit(home, recorded, root, str(error), tell)
    place = place_of(declaration.features) if code else root
    notes = []
    if changes and checkout:
        try:
            return at_commit(home, recorded, place, changes[0], tell)
        except (RevisionError, RebuildError) as error:
            notes.append(f"The recorded code could not be used: {error}")
    with tempfile.TemporaryDirectory() as folder:
        rebuild = Rebuild(home, recorded, declaration, code, place, Path(folder), begun, tell)
        return rebuild.report(changes, notes)


def at_commit(
    home: Home, recorded: RecordedVersion, place: Path, why: str, tell: Callable[[str], None]
) -> Reproduction:
    """Rebuild in a checkout of the recorded commit."""
    tell(f"the code is another now ({why}); checking the recorded one out")
    return rebuild_at_commit(home, recorded, place)


def compare_code(
    recorded: RecordedVersion, declaration: Declaration
) -> tuple[Code | None, list[str]]:
    """Return the code as it is now, if it can be loaded, and how it differs from the recorded."""
    then = recorded.training.code
    try:
        now = code_of(declaration, learning_of(then))
    except Exception as error:  # noqa: BLE001  # importing a project's module may raise anything
        return None, [f"the declared code can't be loaded: {error}"]
    changes = []
    if then.learning is not None and then.learning != now.learning:
        changes.append(
            f"mlops_assets trained by learning version {then.learning}, now by {now.learning}"
        )
    if then.expressions is not None and then.expressions != now.expressions:
        changes.append(f"the feature expressions differ: {', '.join(renewed(then, now))}")
    elif list(then.features) != list(now.features):
        changes.append("the features stand in another order")
    if then.target is not None and then.target != now.target:
        changes.append("the target's expression differs")
    return now, changes


def learning_of(then: Code) -> str:
    """Return the version of learning to train by: the recorded one, where it is still known."""
    if then.learning is None:
        return LEARNING_VERSIONS[0]  # it was recorded before there was another
    return then.learning if then.learning in LEARNING_VERSIONS else LEARNING_VERSION


def renewed(then: Code, now: Code) -> Iterator[str]:
    """Say of each feature that is not the same what became of it."""
    for name, version in then.features.items():
        if name not in now.features:
            yield f"`{name}` is gone"
        elif version is None:
            yield f"`{name}` may be changed"  # an old run: only their sum is known
        elif version != now.features[name]:
            yield f"`{name}` is changed"
    yield from (f"`{name}` is new" for name in now.features if name not in then.features)


@dataclass(frozen=True)
class Rebuild:
    """One version, trained again in this process."""

    home: Home
    recorded: RecordedVersion
    declaration: Declaration
    code: Code | None  # as it is now
    place: Path  # of the code
    folder: Path
    begun: float
    tell: Callable[[str], None]

    def report(self, changes: list[str], notes: list[str]) -> Reproduction:
        """Recover the training set, train, and compare with what was registered."""
        training = self.recorded.training
        learnt_from = self.training_set()
        self.tell(
            f"training {training.rounds} rounds on {counted(len(training.windows), 'window')}"
        )
        rows = learnt_from.rows(training.windows)
        model = train(
            rows,
            features=list(training.code.features),
            target=TARGET,
            parameters=training.parameters,
            rounds=training.rounds,
            seed=training.seed,
            task=self.declaration.task,
            width=width_of(learning_of(training.code)),
        )
        kept, registered, damage = self.registered_model()
        expected = training.model or (kept.checksum if kept else None)
        if expected is None:
            raise RebuildError(f"nothing is left to compare with: {'; '.join(damage)}")
        differences = [*self.recorded.problems, *changes, *learnt_from.differences, *damage]
        mark = self.fingerprint(learnt_from)
        if mark.same is False and not differences:
            differences.append(
                "what was recorded is not what the ledger's fingerprint is of"
                if training.code.version
                else "the ledger's fingerprint is of other code or another declaration than the "
                "present, and which was not recorded"
            )
        apart = score_difference(kept, model, learnt_from, training.windows)
        surroundings = [*self.libraries(), *self.machine(), self.revision()]
        if model.checksum != expected:
            by = (
                ""
                if apart is None
                else f"; scores are up to {apart:.3g} apart on {counted(rows.height, 'row')}"
            )
            differences.append(f"the model trained again has other bytes{by}")
            differences += [
                f"{fact.what} was {fact.recorded}, now {fact.now}"
                for fact in surroundings
                if fact.same is False
            ]
        return Reproduction(
            model=self.recorded.model,
            version=self.recorded.version,
            identical=not differences,
            verdict=self.verdict(differences, same=model.checksum == expected),
            code=PRESENT,
            trained_on=learnt_from.origin,
            facts=(
                mark,
                *self.code_facts(),
                Fact("training set", training.training_set, learnt_from.checksum, learnt_from.same),
                *surroundings,
                registered,
                Fact.of("model", expected, model.checksum),
            ),
            differences=tuple(differences),
            missing=self.recorded.missing,
            notes=tuple(notes),
            max_score_difference=apart,
            rows=rows.height,
            seconds=round(time.monotonic() - self.begun, 2),
        )

    def training_set(self) -> RecoveredTrainingSet:
        """Recover the training set from the repository."""
        repository = existing_repository(self.home.repository, self.home.cache)
        if repository is None:
            raise RebuildError(
                f"no repository at {self.home.repository}; name it in MLOPS_REPOSITORY"
            )
        return recover_training_set(
            repository,
            self.declaration,
            self.recorded,
            self.folder,
            can_compute=self.code is not None,
            tell=self.tell,
        )

    def registered_model(self) -> tuple[FittedModel | None, Fact, list[str]]:
        """Return the registered model, how its files compare, and what is wrong with it.

        Files that are not what was recorded are not loaded: LightGBM can die of a damaged one.
        """
        from mlops_assets.registry.packaging import MODEL_PATH

        tracking = MlflowServer.of_home(self.home).tracking(self.recorded.model)
        files, run_id = self.recorded.training.files, self.recorded.run_id
        recorded = digest(files) if files else None
        try:
            folder = tracking.download(run_id, MODEL_PATH, self.folder)
            there = checksums(folder)
            now = digest({name: there[name] for name in files or there if name in there})
            fact = Fact.of("registered model", recorded, now)
            if fact.same is not False:
                return FittedModel.load(folder), fact, []
        except MlopsError as error:
            problem = f"the registered model can't be read: {error}"
            return None, Fact.of("registered model", recorded, None), [problem]
        altered = [name for name, checksum in files.items() if there.get(name) != checksum]
        problem = f"the registered model was changed since it was trained: {', '.join(altered)}"
        return None, fact, [f"{problem} of MLflow run {run_id}"]

    def fingerprint(self, learnt_from: RecoveredTrainingSet) -> Fact:
        """Compare the ledger's fingerprint with that of what this rebuild goes by.

        By the recorded version of the code, if there is one: the code's parts are compared each by
        itself, and how their versions are put together may change.
        """
        training = self.recorded.training
        learning = learning_of(training.code)
        now = fingerprint(
            training.training_set if learnt_from.same else learnt_from.checksum or "",
            training.code.version or str(self.code.version if self.code else ""),
            training.parameters,
            rounds=training.rounds,
            seed=training.seed,
            features=list(training.code.features),
            windows=list(training.windows),
            **of_libraries(learning, training.libraries),
        )
        return Fact.of("fingerprint", self.recorded.fingerprint, now)

    def code_facts(self) -> list[Fact]:
        """Compare the versions of the code."""
        then = self.recorded.training.code
        now = self.code or Code(features={})
        return [
            Fact.of("learning version", then.learning, now.learning),
            Fact.of("feature expressions", then.expressions, now.expressions),
            Fact.of("target expression", then.target, now.target),
        ]

    def libraries(self) -> list[Fact]:
        """Compare the versions of the libraries."""
        then = self.recorded.training.libraries
        return [Fact.of(name, then.get(name), version) for name, version in libraries().items()]

    def machine(self) -> list[Fact]:
        """Compare the machines."""
        then = self.recorded.training.machine
        return [Fact.of(name, then.get(name), value) for name, value in machine().items()]

    def revision(self) -> Fact:
        """Compare the project's commits."""
        training = self.recorded.training
        # a run of before there were records says nothing of where it was made
        then = said(training.revision) if training.machine else None
        return Fact.of(COMMIT, then, said(revision_of(self.place)))

    def verdict(self, differences: list[str], *, same: bool) -> str:
        """Say in one sentence what became of it."""
        name = f"{self.recorded.model} version {self.recorded.version}"
        if not differences:
            return f"{name} is reproduced: trained again, the model is the same bit for bit."
        if same:
            return (
                f"{name} is in doubt: trained again, the model is the same bit for bit, "
                f"but {differences[0]}."
            )
        return f"{name} is not reproduced: {differences[0]}."


def said(revision: Revision | None) -> str:
    """Name a revision."""
    if revision is None:
        return "not in git"
    return revision.commit + (" with uncommitted changes" if revision.dirty else "")


def digest(files: Mapping[str, str]) -> str:
    """Return one checksum of some files' checksums."""
    lines = (f"{checksum}  {name}\n" for name, checksum in sorted(files.items()))
    return checksum_of("".join(lines).encode())


def score_difference(
    kept: FittedModel | None,
    rebuilt: FittedModel,
    learnt_from: RecoveredTrainingSet,
    windows: tuple[str, ...],
) -> float | None:
    """Return the largest difference of two models' scores on the training rows.

    None if they are the same, or the registered one can't score these rows.
    """
    if kept is None or kept.checksum == rebuilt.checksum:
        return None
    rows = learnt_from.rows(windows)
    try:
        apart = (kept.predict(rows) - rebuilt.predict(rows)).abs().max()
    except MlopsError:
        return None
    return float(str(apart))
