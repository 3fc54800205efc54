"""What README and docs tell a person to type works."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from mlops_assets.declaration import Declaration
from tests import tiny

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "data/README.md", *sorted((ROOT / "docs").glob("**/*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    lines = [line for block in blocks(page, "bash") for line in block.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_what_make_is_asked_for_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = {words[1] for page in PAGES for words in commands(page) if words[0] == "make"}
    assert {"demo", "test", "dev"} <= asked
    assert asked <= targets


def test_the_readmes_ten_lines_are_a_declaration() -> None:
    (text,) = blocks(ROOT / "README.md", "yaml")
    assert len(text.splitlines()) <= 12
    declared = yaml.safe_load(text)
    assert Declaration.model_validate(declared["attributes"]).name == "churn"


@pytest.mark.slow
def test_the_readmes_commands_run_on_the_demo(tmp_path: Path) -> None:
    # given the demo, played in a home of its own
    environment = tiny.environment(tmp_path) | {"VIRTUAL_ENV": str(tiny.BIN.parent)}
    environment["PATH"] = f"{tiny.BIN}:{environment['PATH']}"

    def run(command: str) -> str:
        done = subprocess.run(
            ["bash", "-euc", command],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    run("mlops replay flight_delay")
    # when everything that ends by itself is typed, in order, in one shell
    lines = [
        line.replace(".venv/bin/", "")
        for block in blocks(ROOT / "README.md", "bash")
        for line in block.splitlines()
        if not re.match(r"make |dagster dev|source ", line)
    ]
    # then each exits with 0
    out = run("\n".join(lines))
    assert "champion: version" in out
    assert "promoted" in out
