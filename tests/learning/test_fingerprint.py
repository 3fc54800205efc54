from __future__ import annotations

import math
from typing import Any

import pytest

from mlops_assets.errors import TrainingError
from mlops_assets.learning.fingerprint import fingerprint

FACTS: dict[str, Any] = {
    "data_version": "abc",
    "code_version": "1",
    "parameters": {"num_leaves": 7, "learning_rate": 0.1},
    "rounds": 150,
    "seed": 1,
    "features": ["wind", "carrier"],
}


def test_it_is_the_same_on_every_machine_for_ever() -> None:
    assert fingerprint(**FACTS) == (
        "483e24bf9a84b105eabcd0341d5e4b785878e0aeff62ed55bb31fdd8d4256d68"
    )


def test_the_order_of_parameters_does_not_matter() -> None:
    turned = dict(reversed(FACTS["parameters"].items()))
    assert fingerprint(**{**FACTS, "parameters": turned}) == fingerprint(**FACTS)


@pytest.mark.parametrize(
    "change",
    [
        {"data_version": "abd"},
        {"code_version": "2"},
        {"parameters": {"num_leaves": 8, "learning_rate": 0.1}},
        {"rounds": 151},
        {"seed": 2},
        {"features": ["carrier", "wind"]},
        {"target": "late"},
    ],
)
def test_everything_that_decides_counts(change: dict[str, Any]) -> None:
    assert fingerprint(**{**FACTS, **change}) != fingerprint(**FACTS)


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}])
def test_what_has_no_json_form_is_refused(value: Any) -> None:
    with pytest.raises(TrainingError, match="can't fingerprint"):
        fingerprint(**{**FACTS, "parameters": {"x": value}})
