"""What a person sees: results on stdout, progress and complaints on stderr."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


AsJson = Annotated[bool, typer.Option("--json", help="Print the documented JSON form.")]


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
