"""The `mlops` command in processes of its own, forked from one that has loaded the libraries.

Loading Dagster, Polars and MLflow takes longer than what most commands do. The server is a fresh
interpreter, as a shell starts one: it knows nothing of the tests' process and runs nothing itself.
Of our code it loads the component, and what that imports: Dagster describes all installed ones each
time it loads a project, and is made to do it here, once. Each command is a process with a folder, an environment and
files of its own.

Run as a program this file is the server: it listens on the socket that is its one argument until
its stdin ends.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

LOADED = (
    "dagster",
    "dagster._core.definitions.module_loaders.load_defs_from_module",
    "dagster_mlflow",
    "dataframely",
    "duckdb",
    "lightgbm",
    "matplotlib.figure",
    "mlflow.tracking",
    "mlflow.store.tracking.sqlalchemy_store",
    "pandas",
    "polars",
    "pyarrow.parquet",
    "pygit2",
    "rich.progress",
    "sqlalchemy",
    "typer",
)
# as the code sets them before it loads what reads them
READ_WHILE_LOADING = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "OMP_WAIT_POLICY": "PASSIVE",
}


@dataclass
class Server:
    """A server of this process; ends with it."""

    address: str
    process: subprocess.Popen[bytes]


_servers: dict[int, Server] = {}  # process number -> its own


def run(
    command: Path, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command of Python's, `mlops` say, to its end; its output is captured as text."""
    with TemporaryDirectory() as scratch:
        out, err = Path(scratch) / "out", Path(scratch) / "err"
        asked = {
            "arguments": [str(command), *arguments],
            "folder": str(folder),
            "environment": dict(environment),
            "out": str(out),
            "err": str(err),
        }
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(300)
            line.connect(_server().address)
            line.sendall(json.dumps(asked).encode())
            line.shutdown(socket.SHUT_WR)
            code = int(line.recv(16) or b"-1")
        return subprocess.CompletedProcess(
            asked["arguments"], code, out.read_text(), err.read_text()
        )


def _server() -> Server:
    if os.getpid() not in _servers:
        scratch = TemporaryDirectory()
        address = f"{scratch.name}/socket"
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        process = subprocess.Popen(
            [sys.executable, __file__, address],
            stdin=subprocess.PIPE,
            cwd="/",
            env={**kept, **READ_WHILE_LOADING},
        )

        def stop() -> None:
            process.communicate()
            scratch.cleanup()

        atexit.register(stop)
        while not Path(address).exists():
            if process.poll() is not None:
                raise RuntimeError("the server of commands ended; its error is above")
            time.sleep(0.05)
        _servers[os.getpid()] = Server(address, process)
    return _servers[os.getpid()]


def serve(address: str) -> None:
    """Fork a process for each command that is asked for."""
    for name in LOADED:
        __import__(name)
    describe_components_once()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that ended
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{address} ")
        listening.listen()
        Path(f"{address} ").rename(address)  # now it can be connected to
        while True:
            ready, _, _ = select.select([listening, sys.stdin], [], [])
            if sys.stdin in ready:  # who asked is gone
                return
            line, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                _answer(line)
            line.close()


def describe_components_once() -> None:
    """Let Dagster describe the installed components now, and no more in this process or its forks.

    The description, JSON schemas and all, is what its UI shows; it takes longer than all else that
    is done to load a tiny project, and in one environment it is always the same.
    """
    import dagster as dg
    from dagster.components.core import load_defs

    described = load_defs.get_library_json_enriched_defs(None).metadata
    load_defs.get_library_json_enriched_defs = lambda tree: dg.Definitions(
        metadata=described, component_tree=tree
    )


def _answer(line: socket.socket) -> NoReturn:
    """Run one command in a process of its own, and say how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    asked = json.loads(b"".join(iter(lambda: line.recv(65536), b"")))
    child = os.fork()
    if child == 0:
        line.close()
        _become(asked)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(BrokenPipeError):
        line.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(asked: dict[str, Any]) -> NoReturn:
    """Be what a shell would have started."""
    for number, place, how in (
        (0, os.devnull, os.O_RDONLY),
        (1, asked["out"], os.O_WRONLY | os.O_CREAT),
        (2, asked["err"], os.O_WRONLY | os.O_CREAT),
    ):
        opened = os.open(place, how, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.argv = asked["arguments"]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    if os.environ.get("PYTHONWARNINGS") == "ignore":  # an interpreter reads it as it starts
        warnings.simplefilter("ignore")
    code: object = 0
    try:
        from mlops_assets.cli import main

        main()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 the interpreter's own end
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # what an interpreter does at its end
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if code is not None and not isinstance(code, int):
        os.write(2, f"{code}\n".encode())
        code = 1
    os._exit(code or 0)


if __name__ == "__main__":
    serve(sys.argv[1])
