"""What is printed can be typed as it stands."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mlops_assets.cli.output import called


def test_a_command_is_named_as_it_can_be_called_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an environment in the project's folder, as the README makes it
    command = tmp_path / ".venv/bin/mlops"
    command.parent.mkdir(parents=True)
    command.touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [".venv/bin/mlops", "replay"])
    monkeypatch.setenv("PATH", "/usr/bin")
    # then its path is named, from another folder the whole, and in an active one just the name
    assert called() == ".venv/bin/mlops"
    monkeypatch.setattr(sys, "argv", [str(command), "replay"])
    assert called() == ".venv/bin/mlops"
    monkeypatch.chdir("/")
    assert called() == str(command).removeprefix("/")
    monkeypatch.chdir("/usr")
    assert called() == str(command)
    monkeypatch.setenv("PATH", str(command.parent))
    assert called() == "mlops"
    # and started as a module it has no path of its own
    monkeypatch.setattr(sys, "argv", ["-c"])
    assert called() == "mlops"
