"""What the machine refuses is a line that says where and what to do; a fault of ours stays a traceback."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import typer
import yaml
from sqlalchemy import create_engine, text
from typer.testing import CliRunner

from mlops_assets import cli
from mlops_assets.cli import app as commands
from mlops_assets.cli.failures import foreseen
from mlops_assets.errors import RegistryError


def wrapped(error: Exception) -> Exception:
    """Return it as others pass it on."""
    outer = RuntimeError("could not store the event")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EROFS, "Read-only file system; let it be written to"),
        (errno.ENOSPC, "No space left on device; make room there"),
        (errno.EACCES, "Permission denied; see whose it is"),
        (errno.ELOOP, "a link there leads back to itself"),
        (errno.EMFILE, "ulimit -n"),
    ],
)
def test_what_the_system_refuses_is_a_line(number: int, said: str) -> None:
    error = OSError(number, os.strerror(number), "/home/x\nerror: all is well")
    for one in (error, wrapped(error)):
        line = foreseen(one)
        assert line is not None
        assert said in line
        assert line.startswith(r"/home/x\nerror: all is well: ")
        assert "\n" not in line


def test_a_database_that_cant_be_written_or_is_full_is_a_line(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        connection.execute(text("create table t (x text)"))
    # full: SQLite's own limit says what a full disk does
    with engine.connect() as connection:
        connection.execute(text("pragma max_page_count = 2"))
        with pytest.raises(Exception, match="full") as full:
            connection.execute(text("insert into t values (zeroblob(1000000))"))
    # read-only: as SQLite says it, wherever a folder may not be written
    read_only = create_engine(f"sqlite:///file:{file}?mode=ro&uri=true")
    with read_only.connect() as connection, pytest.raises(Exception, match="readonly") as refused:
        connection.execute(text("insert into t values ('x')"))
    with pytest.raises(sqlite3.OperationalError) as missing:
        sqlite3.connect(tmp_path / "no" / "such.db")
    for caught, said in ((full, "make room"), (refused, "let it be written"), (missing, "folder")):
        assert caught.value is not None
        line = foreseen(wrapped(caught.value))
        assert line is not None
        assert line.startswith("a database of the home can't be used: ")
        assert said in line


def test_too_little_memory_is_a_line() -> None:
    for error in (MemoryError(), wrapped(duckdb.OutOfMemoryException("out of memory"))):
        assert "more memory" in str(foreseen(error)) or "memory for it" in str(foreseen(error))


@pytest.mark.parametrize(
    ("kilobytes", "code", "said"),
    [
        (1_000_000, 1, "error: this process may address 1.0 GB of memory (`ulimit -v`); "),
        (4_000_000, 0, ""),
    ],
)
def test_a_limit_under_which_libraries_abort_is_a_line(
    kilobytes: int, code: int, said: str
) -> None:
    program = Path(sys.executable).parent / "mlops"
    done = subprocess.run(
        ["sh", "-c", f"ulimit -v {kilobytes}; exec {program} --version"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (code, code)
    assert done.stderr.startswith(said)


def test_yaml_of_another_kind_is_a_line() -> None:
    with pytest.raises(yaml.YAMLError) as caught:
        yaml.safe_load("a: !!python/object:os.system {}")
    line = foreseen(caught.value)
    assert line is not None
    assert "python/object:os.system" in line
    assert "line 1" in line
    assert "\n" not in line


def test_a_fault_of_ours_stays_one() -> None:
    for error in (KeyError("x"), ValueError("x"), OSError("x"), sqlite3.IntegrityError("x")):
        assert foreseen(error) is None


def run(monkeypatch: pytest.MonkeyPatch, error: Exception) -> int:
    """Run the command line with a command that meets an error; return its exit code."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        raise error

    monkeypatch.setattr(commands, "app", app)
    monkeypatch.setattr(sys, "argv", ["mlops"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(str(ended.value.code))


def test_the_command_prints_the_line_and_exits_with_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = wrapped(OSError(errno.ENOSPC, "No space left on device", "/home/store"))
    for error in (full, RegistryError("no such version")):
        assert run(monkeypatch, error) == 1
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert said.count("\n") == 1
    with pytest.raises(KeyError):
        run(monkeypatch, KeyError("x"))


@pytest.mark.parametrize("command", [["gc"], ["store", "compact"]])
@pytest.mark.parametrize("grace", ["nan", "inf", "-inf", "1e300", "-1"])
def test_hours_that_are_no_number_are_a_wrong_call(command: list[str], grace: str) -> None:
    called = CliRunner().invoke(commands.app, [*command, "--grace", grace, "--dry-run"])
    assert called.exit_code == 2
    assert "--grace" in called.output
