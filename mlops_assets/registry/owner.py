"""Which process a run belongs to, and whether it still lives."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

HOST, PID, PROCESS_START = "mlops.host", "mlops.pid", "mlops.process_start"


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
        os.kill(pid, 0)
    except PermissionError:
        pass  # it lives, as another user's
    except (ProcessLookupError, ValueError):
        return False
    start = tags.get(PROCESS_START)
    return not start or start == _process_start(pid)  # else the number is another's by now


def _process_start(pid: int) -> str:
    """Return when the process began, in ticks since boot; nothing where there is no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()  # the name before it may hold blanks
    return "zombie" if fields[0] == "Z" else fields[19]  # dead, only not yet collected
