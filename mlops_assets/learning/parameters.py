"""LightGBM's parameters by all of their names, known without importing LightGBM."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from mlops_assets.errors import TrainingError, did_you_mean

Scalar = str | int | float | bool

# What `train` answers for itself; a declaration that sets one of these would be overruled.
_RESERVED = (
    "objective",
    "num_iterations",
    "seed",
    "num_threads",
    "deterministic",
    "force_row_wise",
    "force_col_wise",
    "categorical_feature",
    "early_stopping_round",
    "num_class",
    "task",
    "data",
    "valid",
    "input_model",
    "output_model",
    "device_type",
)
_ENOUGH = 1 << 20  # bytes of the answer; LightGBM 4 gives 6,221


def problems(parameters: Mapping[str, Scalar]) -> dict[str, str]:
    """Return parameter -> one sentence, of those that LightGBM has not or that `train` sets.

    LightGBM passes over a misspelt parameter with no more than a warning.
    """
    if not parameters:
        return {}
    table = _aliases()
    reserved = {alias for name in _RESERVED for alias in (name, *table.get(name, ()))}
    reserved |= {
        alias for name in table if name.endswith("_seed") for alias in (name, *table[name])
    }
    known = set(_names(table)) - reserved
    found = {}
    for name in parameters:
        if name in reserved:
            found[name] = (
                f"parameter `{name}` is set by the training itself; take it out of the declaration"
            )
        elif name not in known:
            # its own name rather than one of the others
            hint = did_you_mean(name, known & set(table)) or did_you_mean(name, known)
            found[name] = f"LightGBM has no parameter `{name}`{hint}"
    return found


def check_parameters(parameters: Mapping[str, Scalar]) -> None:
    """Refuse parameters that would be passed over.

    Raises:
        TrainingError: LightGBM has none of that name, or the training sets it.

    """
    for problem in problems(parameters).values():
        raise TrainingError(problem)


@cache
def _aliases() -> Mapping[str, Sequence[str]]:
    """Ask LightGBM's own library: parameter -> its other names.

    Its Python package would import pandas and SciPy with it, seconds in which a code location
    does not open.
    """
    # OpenMP reads it once, when the first library that uses it is loaded: see `load_lightgbm`
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    library = ctypes.CDLL(str(_library()))
    answer, length = ctypes.create_string_buffer(_ENOUGH), ctypes.c_int64(0)
    failed = library.LGBM_DumpParamAliases(
        ctypes.c_int64(_ENOUGH), ctypes.byref(length), ctypes.byref(answer)
    )
    if failed or length.value > _ENOUGH:
        raise TrainingError("LightGBM does not say which parameters it has; install it again")
    table: dict[str, list[str]] = json.loads(answer.value)
    return table


def _library() -> Path:
    spec = importlib.util.find_spec("lightgbm")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(folder).rglob("lib_lightgbm.*")):
            if file.suffix in (".so", ".dylib", ".dll"):
                return file
    raise TrainingError("LightGBM is not installed as it was published: it has no library")


def _names(table: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for name, aliases in table.items():
        yield name
        yield from aliases
