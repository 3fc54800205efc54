"""Every `mlops ...` that a page, a docstring or a message names is there, with its options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from mlops_assets.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "data/README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
SOURCES = sorted((ROOT / "mlops_assets").glob("**/*.py"))
# `mlops X` in backticks or as a line of a shell; a message may go on in another string
SAID = re.compile(r"(?:`|\$\(|^|/)mlops ([^`\n;)]+)", re.MULTILINE)


def wanted(text: str) -> Iterator[list[str]]:
    """Yield the words after each `mlops`, up to where its line or its quotes end."""
    for found in SAID.findall(text):
        words = re.split(r"[\s,\[\]]+", found.replace("\\|", " "))
        yield [word for word in words if word]


def missing(words: list[str]) -> str | None:
    """Say what of a command line isn't there."""
    command: click.Command = typer.main.get_command(app)
    named = []
    for word in words:
        if not isinstance(command, click.Group):
            break
        if not re.fullmatch(r"[a-z][a-z-]*", word):
            return None if word.startswith("-") else f"no command in `{' '.join(words)}`"
        if word not in command.commands:
            return f"no command `mlops {' '.join([*named, word])}`"
        named.append(word)
        command = command.commands[word]
    options = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    for word in words[len(named) :]:
        option = re.match(r"--[a-z][a-z-]*", word)
        if option and option[0] not in options | {"--help"}:
            return f"`mlops {' '.join(named)}` has no {option[0]}"
    return None


@pytest.mark.parametrize("file", [*PAGES, *SOURCES], ids=lambda file: str(file.relative_to(ROOT)))
def test_what_is_named_is_there(file: Path) -> None:
    for words in wanted(file.read_text()):
        if re.fullmatch(r"[A-Z]+|\.\.\.|[`\"']", words[0]) or not words[0][0].islower():
            continue  # `mlops COMMAND`, or no command at all
        assert missing(words) is None, missing(words)


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ("`mlops rollback MODEL`", "no command `mlops rollback`"),
        ("`mlops store rebuilt`", "no command `mlops store rebuilt`"),
        ("`mlops land M F --lables`", "`mlops land` has no --lables"),
        ("$(mlops enw)", "no command `mlops enw`"),
        ("mlops replay flight_delay --untill 2013-03-25\n", "`mlops replay` has no --untill"),
        ("`mlops gc --grace 0`", None),
        ("`mlops import MODEL FOLDER [--rev REV [--path P]] [--labels \\| --batch]`", None),
    ],
)
def test_what_is_not_there_is_found(said: str, wrong: str | None) -> None:
    (words,) = wanted(said)
    assert missing(words) == wrong
