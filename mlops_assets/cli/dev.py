"""`mlops dev`: Dagster's UI and daemon on the home's state, one at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from mlops_assets.cli.output import shown, stderr
from mlops_assets.project import Project


def serve(host: str, port: int) -> int:
    """Run `dagster dev` until it is told to stop; return its exit code.

    Two of them on one home would both start and both launch runs, so the home is held.

    Raises:
        HomeError: another process holds the home.

    """
    project = Project.find()
    with project.home.held("mlops dev"):
        from mlops_assets.replay.recovery import recover

        for line in project.broken_lines():
            stderr.print(f"[yellow]{shown(line)}[/yellow]")
        recover(project, lambda message: stderr.print(message, markup=False))
        command = [
            str(Path(sys.executable).with_name("dagster")),
            "dev",
            "-h",
            host,
            "-p",
            str(port),
        ]
        workspace = project.root / "workspace.yaml"
        command += ["-w", str(workspace)] if workspace.is_file() else ["-m", project.module]
        environment = {**os.environ, **project.home.environment()}
        stderr.print(
            f"Dagster's UI on http://{host}:{port}, state in {project.home.root}", markup=False
        )
        child = subprocess.Popen(  # noqa: S603  # our own interpreter's dagster
            command,
            env=environment,
            cwd=project.root,
            preexec_fn=_as_a_child,  # noqa: PLW1509  # no threads run here yet
        )

        def stop(_number: int, _frame: FrameType | None) -> None:
            child.send_signal(signal.SIGTERM)

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        return child.wait()


def _as_a_child() -> None:
    # a shell's background job ignores these two, and dagster would inherit that and never stop
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        import ctypes

        # if we are killed outright the lock is free: the daemon must not outlive it
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
