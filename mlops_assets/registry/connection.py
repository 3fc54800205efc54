"""The way to MLflow: loading it quietly, and its errors in words for a person."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from filelock import FileLock

from mlops_assets.errors import RegistryError
from mlops_assets.registry.relocation import follow

if TYPE_CHECKING:
    from mlflow import MlflowClient

SQLITE = "sqlite:///"
FINGERPRINT = "mlops.fingerprint"  # the tag by which runs and versions are found again


def quieten() -> None:
    """Keep MLflow from the network, from stdout and from stderr; call before its first import.

    Without the first variable the import starts a client that fetches its configuration from
    the network and keeps an installation id in the user's home. Without the second, ending a
    run on a server prints two lines to stdout, where `--json` writes. Who set one keeps it.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # a new database is no news
    # a server that is gone is said after half a minute; MLflow's own seven tries take four
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "4")


@lru_cache(maxsize=8)
def connect(uri: str, artifacts: str | None = None) -> MlflowClient:
    """Return a client of the tracking server and registry at a URI, one for each process.

    Takes `sqlite:///path` (the file is made, some 4 s) or `http(s)://`; credentials come from
    MLflow's own environment variables. Neither the active run nor a global URI is touched.

    Args:
        uri: where the database or server is.
        artifacts: with a database, the `file://` URL of the folder for the files of its home, which
            may have been moved or copied here.

    Raises:
        RegistryError: the store can't be opened.
    """
    quieten()
    from mlflow import MlflowClient

    try:
        with asking(f"open MLflow at {uri}"):
            if uri.startswith(SQLITE):
                database = Path(uri.removeprefix(SQLITE))
                if not database.exists():
                    _create(database)
                elif artifacts is not None:
                    follow(database, artifacts)
            return MlflowClient(tracking_uri=uri, registry_uri=uri)
    except RegistryError as error:
        login = urlsplit(uri).netloc.rpartition("@")[0]  # may hold a password; MLflow repeats it
        raise RegistryError(str(error).replace(f"{login}@", "") if login else str(error)) from None


def _create(database: Path) -> None:
    """Make MLflow's SQLite file complete or not at all: a half-made one can't be opened again."""
    from mlflow import MlflowClient

    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(database.with_name(f".{database.name}.lock")):
        if database.exists():
            return
        for left in database.parent.glob(f".{database.name}.draft-*"):
            left.unlink(missing_ok=True)  # of one that was killed; we hold the lock
        draft = database.with_name(f".{database.name}.draft-{os.getpid()}")
        MlflowClient(f"{SQLITE}{draft}", f"{SQLITE}{draft}").search_experiments()
        draft.replace(database)


def quoted(value: str) -> str:
    """Return the value as MLflow's search language writes it.

    Raises:
        RegistryError: it holds a quote, for which that language has no escape.
    """
    if "'" in value or '"' in value:
        raise RegistryError(f"MLflow can't be searched for {value!r}; use no quotes in it")
    return f"'{value}'"


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turn MLflow's errors into ours.

    Raises:
        RegistryError: MLflow refused, or could not be reached.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        raise RegistryError(f"could not {what}: {error}") from error
