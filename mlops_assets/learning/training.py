"""Fitting a model, and keeping it as text: the same rows and seed give the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import polars as pl

from mlops_assets.declaration.sections import Task
from mlops_assets.errors import FeatureError, NotYetError, TrainingError, did_you_mean
from mlops_assets.learning.encoding import Encoding, Width
from mlops_assets.learning.parameters import Scalar, check_parameters

# Raise it when this room would train another model from the same inputs, and keep the old way
# where it costs little: versions that were made by it are then rebuilt to the same bits.
LEARNING_VERSION = "2"
LEARNING_VERSIONS = ("1", LEARNING_VERSION)  # by which models can be trained

SCORE = "score"  # column of what a model says of a row
MODEL_FILE = "model.txt"
ENCODING_FILE = "encoding.json"


@dataclass(frozen=True)
class FittedModel:
    """A LightGBM booster as text, and the encoding of its features."""

    booster_text: str
    encoding: Encoding

    @property
    def features(self) -> tuple[str, ...]:
        """The columns that `predict` needs, in the model's order."""
        return self.encoding.names

    @property
    def checksum(self) -> str:
        """The sha256, as hex, of the two files that `save` writes."""
        digest = hashlib.sha256()
        for part in (self.booster_text, self.encoding.to_json()):
            data = part.encode()
            digest.update(len(data).to_bytes(8, "big"))  # no shifting bytes between the files
            digest.update(data)
        return digest.hexdigest()

    def predict(self, frame: pl.DataFrame, *, threads: int = 0) -> pl.Series:
        """Score each row: Float64 "score", the probability of the positive class, or the number.

        A row's score depends on no other row. `threads` 0 means all cores.

        Raises:
            FeatureError: a feature is missing or of another kind than in training.
        """
        if frame.is_empty():
            self.encoding.matrix(frame)  # the columns are asked for all the same
            return pl.Series("score", [], dtype=pl.Float64)
        scores = self._booster.predict(self.encoding.matrix(frame), num_threads=threads)
        return pl.Series("score", scores, dtype=pl.Float64)

    def importance(self) -> dict[str, float]:
        """Return each feature's share of the gain, summing to 1 (all 0 if nothing was split)."""
        gains = self._booster.feature_importance(importance_type="gain")
        total = float(gains.sum())
        shares = gains / total if total > 0 else gains * 0.0
        return dict(zip(self.features, map(float, shares), strict=True))

    def save(self, folder: Path) -> None:
        """Write `model.txt` (LightGBM's own text, no pickle) and `encoding.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MODEL_FILE).write_bytes(self.booster_text.encode())
        (folder / ENCODING_FILE).write_bytes(self.encoding.to_json().encode())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            TrainingError: a file is missing or is not what it should be.
        """
        try:
            text = (folder / MODEL_FILE).read_bytes().decode()
            encoding = Encoding.from_json((folder / ENCODING_FILE).read_bytes().decode())
        except (OSError, UnicodeDecodeError) as error:
            raise TrainingError(
                f"no model in {folder} ({error}); it needs {MODEL_FILE} and {ENCODING_FILE}"
            ) from error
        model = cls(text, encoding)
        if (count := model._booster.num_feature()) != len(encoding.features):
            raise TrainingError(
                f"the model in {folder} has {count} features, its encoding"
                f" {len(encoding.features)}; the files are of two models: fetch them again"
            )
        return model

    def to_bytes(self) -> bytes:
        """Return both files as one, compressed; the same model gives the same bytes."""
        parts = {MODEL_FILE: self.booster_text, ENCODING_FILE: self.encoding.to_json()}
        return zlib.compress(json.dumps(parts, sort_keys=True).encode(), level=6)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote.

        Raises:
            TrainingError: it is something else.
        """
        try:
            parts = json.loads(zlib.decompress(data))
            return cls(parts[MODEL_FILE], Encoding.from_json(parts[ENCODING_FILE]))
        except (zlib.error, ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"these bytes are no model ({error})") from error

    @cached_property
    def _booster(self) -> Any:
        lightgbm = load_lightgbm()
        try:
            return lightgbm.Booster(model_str=self.booster_text)
        except lightgbm.basic.LightGBMError as error:
            raise TrainingError(f"{MODEL_FILE} is not a LightGBM model ({error})") from error


def train(
    frame: pl.DataFrame,
    *,
    features: Sequence[str],
    target: str,
    parameters: Mapping[str, Scalar],
    rounds: int,
    seed: int,
    task: Task = "binary",
    threads: int = 0,
    width: Width = "float64",
) -> FittedModel:
    """Fit gradient-boosted trees to a binary target, or to a number by squared error.

    The order of rows matters (sums of floats, bagging) and is the caller's to fix, as
    `training_set.assemble` does. The number of threads does not matter.

    Args:
        frame: one row per example; rows whose target is null are left out.
        features: columns to learn from, in the model's order.
        target: Boolean, or a number that is 0 or 1; for regression any finite number, which
            LightGBM holds as float32.
        parameters: LightGBM's, by any of their names, but none that this function sets.
        rounds: trees to grow, at least 1.
        seed: every random choice follows from it, 0 to 2**31 - 1.
        task: decides the objective, and what the target may be.
        threads: 0 means all cores.
        width: of the features; float32 rounds them, as learning version 1 did.

    Raises:
        FeatureError: a column is missing or of a dtype that can't be learnt from.
        NotYetError: no labelled rows, one class or one number only.
        TrainingError: a target that is not binary, or not finite, an unknown or reserved parameter, or LightGBM refused.
    """
    if rounds < 1:
        raise TrainingError(f"rounds is {rounds}; a model needs at least 1")
    if not 0 <= seed < 2**31:
        raise TrainingError(f"seed is {seed}; LightGBM takes 0 to {2**31 - 1}")
    labels, labelled = _labelled(frame, target, task)
    if target in features:
        raise TrainingError(f"target `{target}` is among the features: the model would be told")
    lightgbm = load_lightgbm()
    check_parameters(parameters)
    encoding = Encoding.fit(labelled, features, width=width)
    settings = {
        **parameters,
        "objective": task,  # LightGBM's names are the same two
        "seed": seed,  # LightGBM derives the seeds of bagging, sampling and the rest from it
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": threads,
        "verbosity": -1,
    }
    try:
        rows = lightgbm.Dataset(
            encoding.matrix(labelled, encoding.narrowest(labelled)),
            label=labels.to_numpy(),
            feature_name=[f"f{i}" for i in range(len(features))],  # names may hold any character
            categorical_feature=list(encoding.categorical),
            params=settings,
        )
        booster = lightgbm.train(settings, rows, num_boost_round=rounds)
    except lightgbm.basic.LightGBMError as error:
        raise TrainingError(f"LightGBM refused: {error}; check the parameters") from error
    # the only trace of the machine in the text is the number of threads
    text = re.sub(
        r"^\[num_threads: .*\]$", "[num_threads: 0]", booster.model_to_string(), flags=re.MULTILINE
    )
    return FittedModel(text, encoding)


def width_of(learning: str) -> Width:
    """Return the width of the features by a version of this room."""
    return "float32" if learning == "1" else "float64"


def load_lightgbm() -> ModuleType:
    """Import LightGBM with its idle threads asleep, not spinning.

    On two busy cores one fit took 29 s without and .24 s with it (reference/decisions.md).
    OpenMP reads the variable once, when the first library that uses it is loaded.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import lightgbm

    return lightgbm  # type: ignore[no-any-return]  # LightGBM's imports are skipped


def _labelled(frame: pl.DataFrame, target: str, task: Task) -> tuple[pl.Series, pl.DataFrame]:
    if target not in frame.columns:
        raise FeatureError(f"no target column `{target}`{did_you_mean(target, frame.columns)}")
    labelled = frame.filter(pl.col(target).is_not_null())
    if labelled.is_empty():
        raise NotYetError(
            "no_labels", f"no row has a `{target}`: wait until a window's labels are mature"
        )
    labels = labelled.get_column(target)
    allowed = "Boolean, or 0 and 1" if task == "binary" else "a number"
    if not (labels.dtype.is_numeric() or (labels.dtype == pl.Boolean and task == "binary")):
        raise TrainingError(f"target `{target}` is {labels.dtype}; it must be {allowed}")
    declared, labels = labels, labels.cast(pl.Float32)
    if task == "binary":
        _check_classes(labels, target)
    else:
        _check_numbers(labels, target, declared)
    return labels, labelled


def _check_classes(labels: pl.Series, target: str) -> None:
    values = set(labels.unique().to_list())
    if not values <= {0.0, 1.0}:
        shown = ", ".join(f"{value:g}" for value in sorted(values)[:3])
        raise TrainingError(
            f"target `{target}` holds {shown}, ...; it must be 0 or 1, or the task regression"
        )
    if len(values) == 1:
        raise NotYetError(
            "one_class",
            f"all {len(labels)} rows have `{target}` = {values.pop():g}:"
            " nothing can be learnt from one class; train on more windows",
        )


def _check_numbers(labels: pl.Series, target: str, declared: pl.Series) -> None:
    if unusable := int((~labels.is_finite()).sum()):
        raise TrainingError(
            f"target `{target}` is NaN, infinite or beyond float32 in {unusable} of {len(labels)}"
            " rows; make it null where it is unknown"
        )
    if labels.min() == labels.max():
        low, high = declared.min(), declared.max()
        if low != high:
            raise TrainingError(
                f"target `{target}` goes from {low!r} to {high!r}, which are one"
                " number in LightGBM's float32; subtract a constant in the declared expression"
            )
        raise NotYetError(
            "one_class",
            f"all {len(labels)} rows have `{target}` = {labels[0]:g}:"
            " nothing can be learnt from one number; train on more windows",
        )
