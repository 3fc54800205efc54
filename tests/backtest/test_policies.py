from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets.backtest.policies import declared, read_policy
from mlops_assets.declaration import Declaration
from mlops_assets.errors import DeclarationError
from tests.conftest import Played


@pytest.fixture
def base(played: Played) -> Declaration:
    return played.player.declaration


def written(folder: Path, text: str) -> Path:
    file = folder / "often.yaml"
    file.write_text(text)
    return file


def test_what_a_policy_leaves_out_is_as_declared(tmp_path: Path, base: Declaration) -> None:
    file = written(tmp_path, "retraining: {triggers: [schedule], every_windows: 3}")

    policy = read_policy(file, base)

    assert policy.name == "often"
    retraining = policy.declaration.retraining
    assert (retraining.triggers, retraining.every_windows) == (["schedule"], 3)
    assert retraining.cooldown_windows == base.retraining.cooldown_windows
    assert policy.declaration.drift == base.drift
    assert policy.hash != declared(base).hash


def test_the_name_is_no_part_of_what_a_policy_is(tmp_path: Path, base: Declaration) -> None:
    named = read_policy(
        written(tmp_path, "name: quite often\nretraining: {cooldown_windows: 3}"), base
    )
    other = read_policy(written(tmp_path, "retraining: {cooldown_windows: 3}"), base)

    assert named.name == "quite often"
    assert named.hash == other.hash


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("retraning: {}", "no section `retraning`; did you mean `retraining`"),
        ("training: {rounds: 3}", "no section `training`"),
        ("retraining: {triggers: [schedule]}", "the trigger `schedule` needs `every_windows`"),
        ("retraining: {triggers: [wind]}", r"retraining\.triggers\.0"),
        ("retraining: {cooldown_windows: 1}", "cooldown_windows 1 must be above"),
        (
            "retraining: {kpi: pkg.money:KPI, cost: 9}",
            r"retraining\.kpi: policies are compared in one",
        ),
        ("retraining: [schedule]", "`retraining` is no mapping"),
        ("- drift", "is no mapping"),
        ("retraining: {", "is no YAML"),
    ],
)
def test_a_mistake_is_named_with_its_place(
    tmp_path: Path, base: Declaration, text: str, said: str
) -> None:
    with pytest.raises(DeclarationError, match=said) as caught:
        read_policy(written(tmp_path, text), base)
    assert "often.yaml" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path, base: Declaration) -> None:
    with pytest.raises(DeclarationError, match=r"nowhere\.yaml can't be read"):
        read_policy(tmp_path / "nowhere.yaml", base)
