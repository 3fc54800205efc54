"""Where state lives: one folder, `.mlops/` by default, or what `MLOPS_HOME` names.

Each part can be pointed at a real server instead, by the environment variable beside it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from mlops_assets.errors import HomeError

# `?` and `%` mean something in a URL, and control characters are not for anybody's eyes
_UNPLAIN = re.compile(r"[?%\x00-\x1f\x7f\ud800-\udfff]").search

INSTANCE_SETTINGS = """\
# Written by mlops_assets once; yours to change.
concurrency:
  pools: {granularity: op, default_limit: 1}
  runs:
    max_concurrent_runs: 4
    tag_concurrency_limits: # one run at a time for each model
      - key: mlops/model
        value: {applyLimitPerUniqueValue: true}
        limit: 1
run_coordinator: # tags each run with its model, those started by hand and backfills too
  module: mlops_assets.sensors.coordinator
  class: ModelRunCoordinator
  # while the code server is loaded again a run waits, some two minutes, where it would fail at once
  config: {max_user_code_failure_retries: 8, user_code_failure_retry_delay: 15}
sensors: {use_threads: true, num_workers: 4}
run_monitoring:
  enabled: true
  max_runtime_seconds: 7200
  free_slots_after_run_end_seconds: 60
run_retries: {enabled: true, max_retries: 1, retry_on_asset_or_op_failure: false}
nux: {enabled: false}
telemetry: {enabled: false}
"""
#: SHA-256 of settings as earlier versions wrote them: unchanged, they are written anew.
EARLIER_SETTINGS = {
    "16b92f54195313d10396f209f671253a50c034fd6034e9ec5944d8a857f3ca30",
    "a9f3b5b8a094e710eb2f7871c1e10165acc985aaaf13b21e458291e2e10ac386",
}


def is_earlier(settings: bytes) -> bool:
    """Say whether an instance's settings are those that an earlier version wrote, unchanged."""
    return hashlib.sha256(settings).hexdigest() in EARLIER_SETTINGS


def project_root(start: Path | None = None) -> Path:
    """Return the folder that holds workspace.yaml or pyproject.toml, from `start` upwards.

    Without either, `start` (the current folder by default) itself.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "workspace.yaml").is_file() or (folder / "pyproject.toml").is_file():
            return folder
    return here


@dataclass(frozen=True)
class Home:
    """The folder of all state, and the address of each part."""

    root: Path

    @classmethod
    def find(cls) -> Home:
        """Return the home that the environment names, or `.mlops` in the project's folder."""
        return cls(_named("MLOPS_HOME") or project_root() / ".mlops")

    @property
    def dagster(self) -> Path:
        """The folder of the Dagster instance (`DAGSTER_HOME`)."""
        return _named("DAGSTER_HOME") or self.root / "dagster"

    @property
    def repository(self) -> str:
        """The address of the data repository (`MLOPS_REPOSITORY`): a folder or `lakefs://name`."""
        return os.environ.get("MLOPS_REPOSITORY") or str(self.root / "repository")

    @property
    def cache(self) -> Path:
        """The folder of what is only there to be quick, and may be removed at any time."""
        return self.root / "cache"

    @property
    def store(self) -> Path:
        """The folder of profiles, verdicts and decisions (`MLOPS_STORE`)."""
        return _named("MLOPS_STORE") or self.root / "store"

    @property
    def ledger(self) -> Path:
        """The folder of the record of promotions (`MLOPS_LEDGER`)."""
        return _named("MLOPS_LEDGER") or self.root / "ledger"

    @property
    def mlflow(self) -> str:
        """MLflow's tracking address (`MLFLOW_TRACKING_URI`)."""
        named = os.environ.get("MLFLOW_TRACKING_URI")
        return named or f"sqlite:///{plain(self.root / 'mlflow') / 'mlflow.db'}"

    @property
    def mlflow_artifacts(self) -> str | None:
        """Where a new MLflow experiment keeps its files; None leaves it to the server."""
        if os.environ.get("MLFLOW_TRACKING_URI"):
            return None
        return "file://" + quote(str(self.root / "mlflow" / "artifacts"))

    @property
    def is_new(self) -> bool:
        """Whether nothing was ever kept in it."""
        kept = (self.root / part for part in ("dagster", "repository", "store", "ledger"))
        return not any(part.exists() for part in kept)

    def prepare(self) -> Home:
        """Make the folders and the Dagster instance's settings, where they are not there yet.

        Raises:
            HomeError: the place is not a folder or can't be written.

        """
        try:
            for folder in (self.root, self.root / "mlflow", self.dagster):
                folder.mkdir(parents=True, exist_ok=True)
            settings = self.dagster / "dagster.yaml"
            if not settings.exists() or is_earlier(settings.read_bytes()):
                # complete or absent: a killed first start must leave no half settings
                draft = settings.with_name(f".dagster.yaml.{os.getpid()}")
                draft.write_text(INSTANCE_SETTINGS)
                draft.replace(settings)
            ignore = self.root / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
        except OSError as error:
            raise HomeError(
                f"the home {self.root} can't be used: {error.strerror}; "
                "name another folder in MLOPS_HOME"
            ) from error
        return self

    @contextmanager
    def held(self, by: str) -> Iterator[None]:
        """Hold the home for one replay or one `mlops dev`; freed by the system on death.

        Raises:
            HomeError: another process holds it; says which.

        """
        self.prepare()
        note = self.root / "in_use_by"
        # a moment's patience: who only looks whether the home is held, holds it for an instant
        locks = [
            FileLock(self.root / "in_use.lock", timeout=1),
            # DAGSTER_HOME may name an instance that another home uses too
            FileLock(self.dagster / "in_use.lock", timeout=1),
        ]
        with ExitStack() as held:
            try:
                for lock in locks:
                    held.enter_context(lock)
            except Timeout as error:
                holder = note.read_text().strip() if note.exists() else "another process"
                raise HomeError(
                    f"{self.root} is in use by {holder}; stop it first, or set MLOPS_HOME "
                    "to another folder (and unset DAGSTER_HOME)"
                ) from error
            note.write_text(f"`{by}` (process {os.getpid()})\n")
            try:
                yield
            finally:
                note.unlink(missing_ok=True)

    def holder(self) -> str | None:
        """Say who holds the home now, or None."""
        if not (self.root / "in_use.lock").exists():
            return None
        lock = FileLock(self.root / "in_use.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            note = self.root / "in_use_by"
            return note.read_text().strip() if note.exists() else "another process"
        lock.release()
        return None

    def environment(self) -> dict[str, str]:
        """Return the variables a shell needs for Dagster's own commands to find this state."""
        return {"MLOPS_HOME": str(self.root), "DAGSTER_HOME": str(plain(self.dagster))}


def plain(folder: Path) -> Path:
    """Return a path to a folder that databases take as it is: its own, or that of a link to it.

    Dagster and MLflow put paths into URLs as they are. There `?` begins another part and `%41` is an
    `A`: their databases would stand elsewhere, outside the home. The link is the only thing
    that is ever made outside it; where it is gone the next command makes it again.

    Raises:
        HomeError: the link can't be made.
    """
    text = str(folder)
    if not _UNPLAIN(text):
        return folder
    links = Path(tempfile.gettempdir(), f"mlops-{os.getuid()}")
    link = links / hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    try:
        links.mkdir(mode=0o700, exist_ok=True)
        if links.is_symlink() or links.stat().st_uid != os.getuid():
            raise PermissionError(errno.EPERM, "it is another user's", str(links))
        if not link.is_symlink():
            draft = link.with_name(f".{link.name}.{os.getpid()}")
            draft.unlink(missing_ok=True)
            draft.symlink_to(folder)
            draft.replace(link)
        if link.readlink() != folder or _UNPLAIN(str(link)):
            raise FileExistsError(errno.EEXIST, "it leads elsewhere", str(link))
    except OSError as error:
        raise HomeError(
            f"no database can stand in {text!r}, and no link to it can be made at {link}: "
            f"{error.strerror}; set TMPDIR to a folder of yours, or name another home in MLOPS_HOME"
        ) from error
    return link


def _named(variable: str) -> Path | None:
    """Return the folder that an environment variable names, if it does.

    Raises:
        HomeError: it names nothing that could be a folder.
    """
    text = os.environ.get(variable)
    if not text:
        return None
    try:
        return Path(text).expanduser().resolve()
    except (OSError, RuntimeError) as error:  # a loop of links, no such user, a name too long
        why = getattr(error, "strerror", None) or error
        raise HomeError(f"{variable} is {text!r}, which can't be a folder: {why}") from error
