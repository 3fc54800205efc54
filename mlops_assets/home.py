"""Where state lives: one folder, `.mlops/` by default, or what `MLOPS_HOME` names.

Each part can be pointed at a real server instead, by the environment variable beside it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from mlops_assets.errors import HomeError

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
sensors: {use_threads: true, num_workers: 4}
run_monitoring:
  enabled: true
  max_runtime_seconds: 7200
  free_slots_after_run_end_seconds: 60
run_retries: {enabled: true, max_retries: 1, retry_on_asset_or_op_failure: false}
nux: {enabled: false}
telemetry: {enabled: false}
"""


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
        named = os.environ.get("MLOPS_HOME")
        return cls(Path(named).expanduser().resolve() if named else project_root() / ".mlops")

    @property
    def dagster(self) -> Path:
        """The folder of the Dagster instance (`DAGSTER_HOME`)."""
        named = os.environ.get("DAGSTER_HOME")
        return Path(named).expanduser().resolve() if named else self.root / "dagster"

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
        named = os.environ.get("MLOPS_STORE")
        return Path(named).expanduser().resolve() if named else self.root / "store"

    @property
    def ledger(self) -> Path:
        """The folder of the record of promotions."""
        return self.root / "ledger"

    @property
    def mlflow(self) -> str:
        """MLflow's tracking address (`MLFLOW_TRACKING_URI`)."""
        named = os.environ.get("MLFLOW_TRACKING_URI")
        return named or f"sqlite:///{self.root / 'mlflow' / 'mlflow.db'}"

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
            if not settings.exists():
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
        return {"MLOPS_HOME": str(self.root), "DAGSTER_HOME": str(self.dagster)}
