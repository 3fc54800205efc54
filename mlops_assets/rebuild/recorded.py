"""What is on record of a registered version, wherever it is written: ledger, registry, MLflow run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.declaration import Declaration
from mlops_assets.errors import RebuildError, RegistryError, UnknownNameError
from mlops_assets.home import Home
from mlops_assets.monitoring.known import known_models
from mlops_assets.registry.ledger import Entry, Ledger
from mlops_assets.registry.record import Code, TrainingRecord
from mlops_assets.registry.server import MlflowServer

if TYPE_CHECKING:
    from mlops_assets.registry.models import Registry
    from mlops_assets.registry.run import TrackedRun
    from mlops_assets.registry.tracking import Tracking


@dataclass(frozen=True)
class RecordedVersion:
    """A registered version as it was written down when it was made."""

    model: str
    version: int
    entry: Entry  # of its promotion
    run_id: str
    training: TrainingRecord
    problems: tuple[str, ...]  # where what is written in one place is denied by another
    missing: tuple[str, ...]  # what was not recorded yet when it was trained

    @property
    def fingerprint(self) -> str | None:
        """What the ledger says that the version follows from."""
        return self.entry.fingerprint


def read_recorded(
    home: Home, declared: Callable[[str], Declaration], model: str, version: str
) -> RecordedVersion:
    """Find a version in ledger and registry, and read what is known of its training.

    Args:
        home: that holds it.
        declared: gives the declaration of a model as it is now, for what was not recorded.
        model: whose version it is.
        version: such as `3` or `v3`.

    Raises:
        UnknownNameError: no such model or version, or one too old to know its declaration.
        RegistryError: the ledger, or MLflow, can't be read.
        RebuildError: what is recorded is too little to train again.

    """
    entry = promotion(home, model, version)
    number = entry.version
    run_id = entry.mlflow_run_id
    if number is None or run_id is None:
        raise RebuildError(f"{model}: ledger entry {entry.number} names no MLflow run to rebuild")
    server = MlflowServer.of_home(home)
    tracking = server.tracking(model)
    problems = registered(server.registry(), entry, model, number)
    with tempfile.TemporaryDirectory() as folder:
        run = tracking.get(run_id)
        training, damage = read_training(tracking, run, Path(folder))
    missing: tuple[str, ...] = ()
    if training is None:
        training = as_far_as_known(declared(model), entry, run)
        missing = tuple(unknown(training))
    return RecordedVersion(model, number, entry, run_id, training, (*problems, *damage), missing)


def promotion(home: Home, model: str, version: str) -> Entry:
    """Return the entry by which a version, such as `3` or `v3`, was promoted.

    Raises:
        UnknownNameError: no such model or version.

    """
    ledger = Ledger(home.ledger)
    promoted = {
        str(entry.version): entry
        for entry in reversed(ledger.entries(model))  # the first promotion is the one that trained
        if entry.event == "promoted"
    }
    if not promoted:
        with_versions = [
            one
            for one in known_models(home)
            if any(entry.event == "promoted" for entry in ledger.entries(one))
        ]
        raise UnknownNameError.among("model with registered versions here", model, with_versions)
    number = version.removeprefix("v")
    if number not in promoted:
        raise UnknownNameError.among(f"version of {model}", version, promoted)
    return promoted[number]


def registered(registry: Registry, entry: Entry, model: str, number: int) -> list[str]:
    """Return where the model registry denies what the ledger says of a version."""
    if number not in registry.versions(model):
        return [f"version {number} is no longer in MLflow's model registry"]
    version = registry.version(model, number)
    problems = []
    if version.run_id != entry.mlflow_run_id:
        problems.append(
            f"the registry has version {number} from run {version.run_id}, the ledger from "
            f"{entry.mlflow_run_id}"
        )
    if version.fingerprint != entry.fingerprint:
        problems.append(f"the fingerprint of version {number} is another in registry and ledger")
    return problems


def read_training(
    tracking: Tracking, run: TrackedRun, folder: Path
) -> tuple[TrainingRecord | None, list[str]]:
    """Return the record of a run's training, if it can be read, and what is wrong with it."""
    from mlops_assets.registry.run import RECORD

    try:
        found = tracking.record(run.id, folder)
    except RegistryError as error:
        return None, [str(error)]
    if found is None:
        return None, []
    record, checksum = found
    if checksum != run.tags[RECORD]:
        return record, ["the record of the training was changed since it was written"]
    return record, []


def as_far_as_known(declaration: Declaration, entry: Entry, run: TrackedRun) -> TrainingRecord:
    """Return what ledger, tags and parameters say of a training that left no record of its own.

    The declaration is today's: its paths and keys have to do.

    Raises:
        RebuildError: the run lacks what no other place knows.

    """
    model = declaration.name
    params = dict(run.params)
    try:
        rounds, seed = int(params.pop("rounds")), int(params.pop("seed"))
        data_commit, training_set = run.tags["mlops.data_commit"], run.tags["mlops.training_set"]
    except (KeyError, ValueError) as error:
        raise RebuildError(
            f"MLflow run {run.id} has no record of its training, nor {error}; "
            f"version {entry.version} of {model} can't be rebuilt"
        ) from error
    if entry.data_commit is None or not entry.training_windows:
        raise RebuildError(
            f"ledger entry {entry.number} of {model} doesn't say what version {entry.version} "
            "learnt from; it can't be rebuilt"
        )
    params.pop("windows", None)
    parameters = {name: parsed(text) for name, text in params.items()}
    learnt = {"parameters": parameters, "rounds": rounds, "seed": seed}
    declared = declaration.model_copy(
        update={"training": declaration.training.model_copy(update=learnt)}
    )
    return TrainingRecord(
        declaration=declared.model_dump(mode="json"),
        code=Code(expressions=entry.features_code or None, features=dict.fromkeys(entry.features)),
        windows=entry.training_windows,
        parameters=parameters,
        rounds=rounds,
        seed=seed,
        training_set=training_set,
        commit=entry.data_commit,
        data_commit=data_commit,
    )


def parsed(text: str) -> Any:
    """Return the number, truth value or text that MLflow keeps as text."""
    try:
        return (
            {"True": True, "False": False}[text] if text in ("True", "False") else json.loads(text)
        )
    except ValueError:
        return text


def unknown(training: TrainingRecord) -> list[str]:
    """Return what a record doesn't hold, in words."""
    held = {
        "the declaration": False,
        "code version": training.code.version,
        "target expression": training.code.target,
        "model's checksum": training.model,
        "library versions": training.libraries,
        "machine": training.machine,
        "project's git commit": training.revision,
    }
    return [what for what, known in held.items() if not known]


def declaration_of(training: TrainingRecord) -> Declaration:
    """Return the declaration as it was recorded.

    Raises:
        RebuildError: this version of mlops_assets can't read it.

    """
    from pydantic import ValidationError

    try:
        return Declaration.model_validate(training.declaration)
    except ValidationError as error:
        first = error.errors()[0]
        raise RebuildError(
            f"the recorded declaration can't be read by this version of mlops_assets "
            f"({'.'.join(map(str, first['loc']))}: {first['msg']}); install the one that "
            f"trained it: {training.libraries.get('mlops_assets', 'not recorded')}"
        ) from error
