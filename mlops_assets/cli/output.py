"""What a person sees: results on stdout, progress and complaints on stderr."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.markup import escape

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


def complain(message: str) -> None:
    """Print an error without a traceback."""
    stderr.print(f"[red]error:[/red] {escape(message)}")


def print_json(value: Any) -> None:
    """Print a documented JSON form, and nothing else, on stdout."""
    print(json.dumps(value, indent=2, default=str))  # noqa: T201  # rich would wrap it
