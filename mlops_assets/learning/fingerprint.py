"""What a model follows from, in one word: equal fingerprints mean the same training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from mlops_assets.errors import TrainingError
from mlops_assets.learning.environment import learners

Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]


def fingerprint(
    data_version: str,
    code_version: str,
    parameters: Mapping[str, Json],
    *,
    rounds: int,
    seed: int,
    features: Sequence[str],
    **further: Json,
) -> str:
    """Return the sha256, as 64 hex digits, of everything that decides what is trained.

    The order of features counts, since sampling of features follows it; the order of
    parameters does not. `further` takes what else decides, such as the target.

    Raises:
        TrainingError: a value is NaN, infinite, or has no JSON form.
    """
    facts = {
        **further,
        "data_version": data_version,
        "code_version": code_version,
        "parameters": dict(parameters),
        "rounds": rounds,
        "seed": seed,
        "features": list(features),
    }
    try:
        text = json.dumps(
            facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
        )
    except (TypeError, ValueError) as error:
        raise TrainingError(f"can't fingerprint: {error}; use plain numbers and text") from error
    return hashlib.sha256(text.encode()).hexdigest()


def of_libraries(learning: str, libraries: Mapping[str, str]) -> dict[str, Json]:
    """Return what a fingerprint says of the libraries; by learning version 1 that was nothing."""
    return {} if learning == "1" else {"libraries": learners(libraries)}
