"""A home that was moved, copied or restored: MLflow's database, which names places whole, follows.

MLflow keeps the absolute place of every run's and version's files. Left as they are, a copy of a home
would read and write the files of the original.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlops_assets.errors import RegistryError

_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_ENDING = "/mlflow/artifacts"  # of the place that a home gives its experiments
_PATIENCE = 30.0  # seconds to wait for others who write to the database

_log = logging.getLogger(__name__)


def follow(database: Path, artifacts: str) -> None:
    """Let a home's MLflow database name the home's own files; again, it changes nothing.

    Args:
        database: MLflow's SQLite file.
        artifacts: the `file://` URL of the home's folder for MLflow's files.

    Raises:
        RegistryError: the home came here without those files, or the database can't be written.
    """
    if not artifacts.startswith("file://") or not artifacts.endswith(_ENDING):
        return
    here = _folder(artifacts)
    try:
        with closing(sqlite3.connect(database, timeout=_PATIENCE, isolation_level=None)) as opened:
            left = _left(opened, artifacts)
            if not left:
                return
            for place in left:
                if _folder(place).is_dir() and not here.is_dir():
                    raise RegistryError(
                        f"this home was moved or copied from {_folder(place).parents[1]} without "
                        f"MLflow's files: copy {_folder(place)} to {here} too"
                    )
            _rewrite(opened, artifacts)
    except sqlite3.Error as error:
        raise RegistryError(
            f"this home was moved or copied here, and {database} can't be told so: {error}"
        ) from error
    for place in left:
        _log.info("MLflow's files, which were at %s, are at %s now", _folder(place), here)


def _left(opened: sqlite3.Connection, artifacts: str) -> list[str]:
    """Return the places of other homes that experiments keep their files at."""
    if not _has(opened, "experiments"):
        return []
    found = opened.execute("select distinct artifact_location from experiments").fetchall()
    return [
        place
        for (place,) in found
        if place != artifacts and str(place).startswith("file://") and str(place).endswith(_ENDING)
    ]


def _rewrite(opened: sqlite3.Connection, artifacts: str) -> None:
    opened.execute("begin immediate")
    try:
        for place in _left(opened, artifacts):  # again: another process may have been quicker
            for table, column in _PLACES:
                if _has(opened, table):
                    opened.execute(
                        f"update {table} set {column} = ? || substr({column}, ?) "  # noqa: S608  # names of ours
                        f"where {column} = ? or substr({column}, 1, ?) = ?",
                        [artifacts, len(place) + 1, place, len(place) + 1, f"{place}/"],
                    )
        opened.execute("commit")
    except BaseException:
        opened.execute("rollback")
        raise


def _has(opened: sqlite3.Connection, table: str) -> bool:
    asked = "select 1 from sqlite_master where type = 'table' and name = ?"
    return opened.execute(asked, [table]).fetchone() is not None


def _folder(url: str) -> Path:
    return Path(url2pathname(urlsplit(url).path))
