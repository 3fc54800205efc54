"""Which parameters LightGBM has is known without importing it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlops_assets.errors import TrainingError
from mlops_assets.learning.parameters import _aliases, check_parameters, problems
from mlops_assets.learning.training import load_lightgbm


def test_the_names_are_those_that_lightgbm_says() -> None:
    told = load_lightgbm().basic._ConfigAliases._get_all_param_aliases()

    assert {name: {name, *others} for name, others in _aliases().items()} == {
        name: set(others) for name, others in told.items()
    }


def test_each_wrong_parameter_has_its_sentence() -> None:
    found = problems({"num_leafs": 7, "shrinkage_rate": 0.1, "n_estimators": 3, "bagging_seed": 1})

    assert found == {
        "num_leafs": "LightGBM has no parameter `num_leafs`; did you mean `num_leaves`?",
        "n_estimators": "parameter `n_estimators` is set by the training itself; take it out of "
        "the declaration",
        "bagging_seed": "parameter `bagging_seed` is set by the training itself; take it out of "
        "the declaration",
    }
    with pytest.raises(TrainingError, match="num_leafs"):
        check_parameters({"num_leafs": 7})


def test_asking_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from mlops_assets.learning.parameters import problems\n"
        "assert problems({'nothing': 1})\n"
        "print([name for name in ('lightgbm', 'pandas', 'scipy', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
