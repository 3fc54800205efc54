"""What a rebuild needs to know of a training, kept as one JSON file with its MLflow run."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlops_assets.declaration import Declaration, load
from mlops_assets.errors import RegistryError
from mlops_assets.features.expressions import code_version
from mlops_assets.learning.training import LEARNING_VERSION
from mlops_assets.learning.training_set import TARGET
from mlops_assets.revision import Revision

RECORD_FILE = "training.json"
# a newer version may know more: whoever reads passes over it
_VALUE = ConfigDict(frozen=True, extra="ignore")


class Code(BaseModel):
    """The versions of the code that a model follows from; None: not recorded."""

    model_config = _VALUE

    version: str | None = None  # of all of it, as the fingerprint has it
    learning: str | None = None  # of this package's way to train
    expressions: str | None = None  # of all features together
    features: dict[str, str | None]  # feature -> its expression's, in the model's order
    target: str | None = None


class TrainingRecord(BaseModel):
    """One training: from what, with what, where, and what came out. None: not recorded."""

    model_config = _VALUE

    declaration: dict[str, Any]
    code: Code
    windows: tuple[str, ...]
    parameters: dict[str, bool | int | float | str]
    rounds: int
    seed: int
    training_set: str  # its checksum
    commit: str  # that holds the training set
    data_commit: str  # that holds the batches and labels it was made of
    model: str | None = None  # its checksum
    files: dict[str, str] = Field(default_factory=dict)  # of the registered model -> sha256
    libraries: dict[str, str] = Field(default_factory=dict)
    machine: dict[str, str] = Field(default_factory=dict)
    revision: Revision | None = None  # of the project's code, if it is in git

    def to_json(self) -> str:
        """Return a stable text: the same record gives the same bytes."""
        return self.model_dump_json(indent=1) + "\n"

    @classmethod
    def from_json(cls, text: bytes) -> TrainingRecord:
        """Read what `to_json` wrote.

        Raises:
            RegistryError: the text is no such record.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or RECORD_FILE
            raise RegistryError(
                f"the record of a training is damaged ({where}: {first['msg']}); restore"
                f" {RECORD_FILE} of its MLflow run from a backup"
            ) from error


def checksum_of(data: bytes) -> str:
    """Return the sha256 as hex."""
    return hashlib.sha256(data).hexdigest()


def checksums(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file in a folder, by its path within it."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): checksum_of(file.read_bytes()) for file in files}


def trained_code(declaration: Declaration, learning: str | None = None) -> str:
    """Return the version of everything but data and libraries that a trained model depends on."""
    features = code_version(load(declaration.features))
    return f"{learning or LEARNING_VERSION}-{features}-{declaration.digest('task', 'training', 'labels')}"


def code_of(declaration: Declaration, learning: str | None = None) -> Code:
    """Return the versions of the code that trains now, part by part, by a version of learning.

    Raises:
        DeclarationError: the declared features or target are not there.

    """
    expressions = load(declaration.features)
    return Code(
        version=trained_code(declaration, learning),
        learning=learning or LEARNING_VERSION,
        expressions=code_version(expressions),
        features={name: code_version({name: one}) for name, one in expressions.items()},
        target=code_version({TARGET: load(declaration.labels.target)}),
    )
