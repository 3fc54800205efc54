"""Opening the code location asks nobody on the network anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# an audit hook hears what any module does, however it came by its functions, and may forbid it
BLOCKED = """
import atexit, sys
asked = []
ASKS = ("getaddrinfo", "gethostbyname", "gethostbyaddr", "getnameinfo", "connect", "sendto",
        "sendmsg")
def hear(event, args):
    if event.startswith("socket.") and event.removeprefix("socket.") in ASKS:
        asked.append(f"{event} {args[1:] or args}")
        raise OSError("there is no network here")
sys.addaudithook(hear)
atexit.register(lambda: print(*asked, sep="\\n"))  # after the threads that others wait for
"""
CODE_LOCATION = """
from mlops_assets.definitions import defs
defs().resolve_asset_graph()
"""
TELEMETRY = "import whylogs"  # looks up where its usage is to be reported, unless told not to
LOOK_UP = """
import contextlib, socket
with contextlib.suppress(OSError):
    socket.getaddrinfo("localhost", 80)
"""


def asked(code: str) -> list[str]:
    """Return what a fresh process asked the network for while it ran some code."""
    quiet = {"WHYLOGS_NO_ANALYTICS", "DAGSTER_HOME"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BLOCKED + code],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in quiet},
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in done.stdout.splitlines() if line]


def test_the_code_location_opens_without_a_look_up() -> None:
    assert asked(CODE_LOCATION) == []


@pytest.mark.parametrize("code", [TELEMETRY, LOOK_UP])
def test_a_look_up_would_be_heard(code: str) -> None:
    heard = asked(code)

    assert heard
    assert all(event.startswith("socket.") for event in heard)
