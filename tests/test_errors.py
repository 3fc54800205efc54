from __future__ import annotations

import inspect
import pickle

import pytest

from mlops_assets import errors
from mlops_assets.errors import (
    BatchRefusedError,
    ConflictError,
    MlopsError,
    ObjectNotFoundError,
    UnknownNameError,
    did_you_mean,
)


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("dep_tme", ["arr_time", "dep_time"], "; did you mean `dep_time`?"),
        ("xyz", ["b", "a"], "; there is `a`, `b`"),
        ("xyz", [f"column_{number}" for number in range(13)], ""),
        ("xyz", [], ""),
    ],
)
def test_the_hint_names_the_closest_or_the_few_there_are(
    name: str, known: list[str], hint: str
) -> None:
    assert did_you_mean(name, known) == hint


def test_an_unknown_name_says_which_there_are() -> None:
    error = UnknownNameError.among("model", "flights", iter(["flight_delay"]))

    assert str(error) == "no model `flights`; did you mean `flight_delay`?"


def test_the_command_line_catches_every_one_of_them() -> None:
    classes = [found for _, found in inspect.getmembers(errors, inspect.isclass)]
    raised = [found for found in classes if issubclass(found, Exception)]

    assert len(raised) > 15
    assert all(issubclass(found, MlopsError) for found in raised)


def test_a_missing_object_is_a_missing_file_and_says_so_in_words() -> None:
    error = ObjectNotFoundError("no `a` in main")

    assert isinstance(error, FileNotFoundError)
    assert str(error) == "no `a` in main"


def test_what_an_error_knows_survives_another_process() -> None:
    conflict = pickle.loads(pickle.dumps(ConflictError("both", iter(["a", "b"]))))
    refused = pickle.loads(pickle.dumps(BatchRefusedError("no", ["rows"])))

    assert (str(conflict), conflict.paths) == ("both", ("a", "b"))
    assert (str(refused), refused.problems) == ("no", ("rows",))
