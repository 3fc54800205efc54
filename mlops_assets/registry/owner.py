"""Which process a run belongs to, and whether it still lives."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

HOST, PID, PROCESS_START = "mlops.host", "mlops.pid", "mlops.process_start"
_CLOCK_SECONDS = 5  # that the moment of booting may be off by, after the clock was set


def owner_tags() -> dict[str, str]:
    """Return the tags that name this process."""
    pid = os.getpid()
    return {HOST: socket.gethostname(), PID: str(pid), PROCESS_START: _process_start(pid)}


def owner_is_alive(tags: Mapping[str, str]) -> bool:
    """Tell whether the process that the tags name still lives; on another host, assume so."""
    if tags.get(HOST) != socket.gethostname():
        return True
    try:
        pid = int(tags.get(PID, ""))
    except ValueError:
        return False
    if not _is_there(pid):
        return False
    start = tags.get(PROCESS_START)
    return not start or start == _process_start(pid)  # else the number is another's by now


def was_running(pid: int, moment: float) -> bool:
    """Tell whether the process of that number on this machine is the one that had it at a moment.

    The moment is in seconds since the epoch. A number is given to another process in time.
    """
    if not _is_there(pid):
        return False
    start = _process_start(pid)
    if not start:
        return True  # no /proc: the number is all there is
    if not start.isdecimal():
        return False
    booted = next(
        int(line.split()[1])
        for line in Path("/proc/stat").read_text().splitlines()
        if line.startswith("btime ")
    )
    began = booted + int(start) / os.sysconf("SC_CLK_TCK")
    return began <= moment + _CLOCK_SECONDS


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True  # as another user's
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _process_start(pid: int) -> str:
    """Return when the process began, in ticks since boot; nothing where there is no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()  # the name before it may hold blanks
    return "zombie" if fields[0] == "Z" else fields[19]  # dead, only not yet collected
