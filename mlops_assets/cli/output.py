"""What a person sees: results on stdout, progress and complaints on stderr."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment

from mlops_assets.home import Home
from mlops_assets.words import visible


class Terminal(Console):
    """A console that text from outside can't reach: of what is printed nothing steers it."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render with every control character as its escape, but for ends of lines."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            if control or text.isprintable() or text == "\n":
                yield segment
            else:
                yield Segment("\n".join(map(visible, text.split("\n"))), style)


stdout = Terminal(highlight=False, soft_wrap=True)
stderr = Terminal(stderr=True, highlight=False, soft_wrap=True)


def finite(hours: float) -> float:
    """Return a number of hours that is one; `nan` is above no least and below no most."""
    if not math.isfinite(hours):
        raise typer.BadParameter(f"{hours} is no number of hours")
    return hours


AsJson = Annotated[bool, typer.Option("--json", help="Print the documented JSON form.")]


def shown(text: object) -> str:
    """Return text from outside as one line of plain text inside of markup.

    What comes from a file, a person or another program is data: it sets no colour, moves no
    cursor and begins no line that could be taken for one of ours.
    """
    return escape(visible(text))


@contextmanager
def interruptible() -> Iterator[None]:
    """Let a person stop what goes on later from where it stopped, and say so."""
    try:
        yield
    except KeyboardInterrupt:
        stderr.print("\ninterrupted; the same command goes on where this one stopped", markup=False)
        raise typer.Exit(130) from None


def complain(message: str) -> None:
    """Print an error without a traceback."""
    stderr.print(f"[red]error:[/red] {escape(message)}")


def print_json(value: Any) -> None:
    """Print a documented JSON form, and nothing else, on stdout."""
    print(json.dumps(value, indent=2, default=str))  # noqa: T201  # rich would wrap it


def called() -> str:
    """Return how a person calls this command from here: `mlops`, or its path if that finds none."""
    here = Path(sys.argv[0]).absolute()
    found = shutil.which("mlops")
    if here.name != "mlops" or (found and Path(found).absolute() == here):
        return "mlops"
    return str(here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here)


def name_home(home: Home) -> None:
    """Say on stderr which home was worked on: it follows the current folder."""
    stderr.print(f"[dim]home: {shown(home.root)}{' (new and empty)' if home.is_new else ''}[/dim]")
