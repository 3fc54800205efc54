"""What comes from outside is shown as it is, and does nothing."""

from __future__ import annotations

import io

import pytest

from mlops_assets.cli.output import Terminal, shown
from mlops_assets.words import counted, visible

STEERING = "a\x1b[2K\rLanded\x07\x9b31m\u202egood\n\udc80"


def test_what_a_terminal_would_act_on_is_written_as_its_escape() -> None:
    said = r"a\x1b[2K\rLanded\x07\x9b31m\u202egood\n\udc80"
    assert visible(STEERING) == said
    assert visible("Zürich, 東京, naïve [x]") == "Zürich, 東京, naïve [x]"
    assert shown("[red]x[/red]") == r"\[red]x\[/red]"


@pytest.mark.parametrize("markup", [False, True])
def test_the_terminal_itself_lets_nothing_through(markup: bool) -> None:
    written = io.StringIO()
    terminal = Terminal(file=written, force_terminal=True, width=200, highlight=False)
    terminal.print(shown(STEERING) if markup else STEERING, style="red", markup=markup)
    said = written.getvalue()
    assert "Landed" in said
    assert "\x1b[31m" in said
    # but for our own colour nothing is left that steers
    rest = said.replace("\x1b[31m", "").replace("\x1b[0m", "")
    assert all(letter.isprintable() or letter == "\n" for letter in rest)


def test_numbers_have_their_noun() -> None:
    assert [counted(n, "window") for n in (0, 1, 1200)] == [
        "0 windows",
        "1 window",
        "1,200 windows",
    ]
    assert counted(2, "batch", "batches") == "2 batches"
