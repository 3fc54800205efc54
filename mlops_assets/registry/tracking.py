"""MLflow runs: found or made by tag, always ended, and closed for those who were killed."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from urllib.request import url2pathname

from mlops_assets.errors import RegistryError
from mlops_assets.learning.training import FittedModel
from mlops_assets.registry.connection import FINGERPRINT, asking, quoted
from mlops_assets.registry.owner import HOST, owner_tags
from mlops_assets.registry.packaging import MODEL_PATH
from mlops_assets.registry.record import RECORD_FILE, TrainingRecord, checksum_of, checksums
from mlops_assets.registry.run import RECORD, TrackedRun

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

STAGE = "mlops.stage"


class Tracking:
    """The runs of one experiment, through an explicit client: no global state of MLflow."""

    def __init__(
        self, client: MlflowClient, experiment: str, artifact_root: str | None = None
    ) -> None:
        self.client = client
        self.experiment = experiment
        self.artifact_root = artifact_root

    @cached_property
    def experiment_id(self) -> str:
        """The experiment's id; it is made on demand, once, whoever else makes it too."""
        from mlflow.exceptions import MlflowException

        with asking(f"open experiment {self.experiment}"):
            found = self.client.get_experiment_by_name(self.experiment)
            if found is None:
                try:
                    return str(self.client.create_experiment(self.experiment, self.artifact_root))
                except MlflowException as error:
                    if error.error_code != "RESOURCE_ALREADY_EXISTS":
                        raise
                found = self.client.get_experiment_by_name(self.experiment)
            if found is None or found.lifecycle_stage != "active":
                raise RegistryError(
                    f"experiment {self.experiment} was deleted in MLflow;"
                    " restore it with `mlflow experiments restore`, or configure another name"
                )
            return str(found.experiment_id)

    def find(self, fingerprint: str, stage: str) -> TrackedRun | None:
        """Return the newest FINISHED run of this fingerprint and stage.

        Raises:
            RegistryError: MLflow could not be asked.
        """
        query = (
            f"tags.`{FINGERPRINT}` = {quoted(fingerprint)} and tags.`{STAGE}` = {quoted(stage)}"
            " and attributes.status = 'FINISHED'"
        )
        with asking(f"search the runs of {self.experiment}"):
            runs = self.client.search_runs(
                [self.experiment_id], query, max_results=1, order_by=["attributes.end_time DESC"]
            )
        return self._tracked(runs[0]) if runs else None

    def get(self, run_id: str) -> TrackedRun:
        """Return a run by its id.

        Raises:
            RegistryError: there is none, or MLflow could not be asked.
        """
        with asking(f"find run {run_id}"):
            return self._tracked(self.client.get_run(run_id))

    def runs(self) -> Iterator[TrackedRun]:
        """Yield every run of the experiment that was not deleted; none if there is no experiment.

        Raises:
            RegistryError: MLflow could not be asked.
        """
        with asking(f"list the runs of {self.experiment}"):
            experiment = self.client.get_experiment_by_name(self.experiment)
            token: str | None = None
            while experiment is not None:
                page = self.client.search_runs([experiment.experiment_id], page_token=token)
                yield from map(self._tracked, page)
                token = page.token
                if not token:
                    return

    def has_model(self, run_id: str) -> bool:
        """Say whether a run's packaged model is among its artifacts.

        Raises:
            RegistryError: there is no such run, or MLflow could not be asked.
        """
        with asking(f"list the artifacts of run {run_id}"):
            held = self.client.list_artifacts(run_id, MODEL_PATH)
            return any(file.path == f"{MODEL_PATH}/MLmodel" for file in held)

    @contextmanager
    def run(
        self,
        fingerprint: str,
        stage: str,
        name: str,
        tags: Mapping[str, str] | None = None,
    ) -> Iterator[TrackedRun]:
        """Find the finished run of this fingerprint and stage, or make one and end it.

        A new run ends FINISHED, or FAILED if the body raises; one that was found (`finished`
        is then true) stays as it is. Two copies of a step at the same moment make a run each:
        neither can end the other's, and both hold the same.

        Args:
            fingerprint: what the run's content follows from.
            stage: such as "model" or "refit".
            name: for people, in MLflow's list.
            tags: further ones, such as `dagster_run_id`.

        Raises:
            RegistryError: MLflow could not be asked or written to.
        """
        if (found := self.find(fingerprint, stage)) is not None:
            yield found
            return
        owned = {**(tags or {}), **owner_tags(), FINGERPRINT: fingerprint, STAGE: stage}
        with asking(f"start a run in {self.experiment}"):
            made = self.client.create_run(self.experiment_id, tags=owned, run_name=name)
        run_id = str(made.info.run_id)
        try:
            yield self._tracked(made)
        except BaseException as error:
            try:
                self.client.set_terminated(run_id, "FAILED")
            except Exception as second:  # noqa: BLE001  # the first error is the one to see
                error.add_note(f"and MLflow run {run_id} could not be marked FAILED: {second}")
            raise
        with asking(f"finish run {run_id}"):
            self.client.set_terminated(run_id, "FINISHED")

    def close_abandoned(self, is_alive: Callable[[Mapping[str, str]], bool]) -> list[str]:
        """Mark as KILLED what is RUNNING though its process is gone, and return those ids.

        Args:
            is_alive: told a run's tags, whether somebody still works on it; `owner.owner_is_alive`
                knows the processes of this machine. Runs that are not ours are left alone.

        Raises:
            RegistryError: MLflow could not be asked or written to.
        """
        closed: list[str] = []
        with asking(f"close abandoned runs of {self.experiment}"):
            token: str | None = None
            running: list[Run] = []
            while True:  # read all pages first: closing a run moves those behind it
                page = self.client.search_runs(
                    [self.experiment_id], "attributes.status = 'RUNNING'", page_token=token
                )
                running.extend(page)
                token = page.token
                if not token:
                    break
            for run in running:
                if HOST in run.data.tags and not is_alive(run.data.tags):
                    self.client.set_terminated(run.info.run_id, "KILLED")
                    closed.append(str(run.info.run_id))
        return closed

    def record(self, run_id: str, destination: Path) -> tuple[TrainingRecord, str] | None:
        """Return the record of a run's training and its checksum; None if it never had one.

        Args:
            run_id: of the run.
            destination: a folder for what has to be fetched.

        Raises:
            RegistryError: there is no such run, or its record is gone or damaged.
        """
        if RECORD not in self.get(run_id).tags:
            return None
        text = self.download(run_id, RECORD_FILE, destination).read_bytes()
        return TrainingRecord.from_json(text), checksum_of(text)

    def model(self, run_id: str, destination: Path) -> Path:
        """Return a local folder with a run's model, to be read only; its files are as recorded.

        What is not as it was written must not be loaded: LightGBM's parser can take the whole
        process with it.

        Raises:
            RegistryError: there is no such run or model, it can't be fetched, or its files are
                other than those that the training recorded.
        """
        folder = self.download(run_id, MODEL_PATH, destination)
        found = self.record(run_id, destination)
        if found is not None and found[0].files:
            there = checksums(folder)
            altered = [
                name for name, checksum in found[0].files.items() if there.get(name) != checksum
            ]
            if altered:
                raise RegistryError(
                    f"the model of run {run_id} was changed since it was trained: "
                    f"{', '.join(altered)} in {folder}; bring it back from a copy, or let go of it "
                    "and retrain"
                )
        return folder

    def download(self, run_id: str, artifact_path: str, destination: Path) -> Path:
        """Return a local path of a run's artifact, a file or a folder, to be read only.

        Artifacts on this machine are not copied. Others appear whole under
        `<destination>/<run_id>/` and are not fetched twice: a finished run does not change.

        Raises:
            RegistryError: there is no such run or artifact, or it can't be fetched.
        """
        parts = PurePosixPath(artifact_path).parts
        if not parts or ".." in parts or parts[0] == "/":
            raise RegistryError(f"{artifact_path!r} is no path inside a run's artifacts")
        with asking(f"fetch {artifact_path} of run {run_id}"):
            root = _local(str(self.client.get_run(run_id).info.artifact_uri))
            if root is not None:
                if not root.joinpath(*parts).exists():
                    raise RegistryError(f"run {run_id} has no artifact {artifact_path} in {root}")
                return root.joinpath(*parts)
            target = destination.joinpath(run_id, *parts)
            if target.exists():
                return target
            staging = destination / f".{uuid.uuid4().hex}"
            staging.mkdir(parents=True)
            try:
                fetched = self.client.download_artifacts(run_id, artifact_path, str(staging))
                target.parent.mkdir(parents=True, exist_ok=True)
                _move(Path(fetched), target)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
            return target

    def _tracked(self, run: Run) -> TrackedRun:
        data = run.data
        return TrackedRun(
            client=self.client,
            id=str(run.info.run_id),
            status=str(run.info.status),
            tags=dict(data.tags),
            params=dict(data.params),
            metrics=dict(data.metrics),
        )


def _local(artifact_uri: str) -> Path | None:
    parsed = urlparse(artifact_uri)
    if parsed.scheme == "file":
        return Path(url2pathname(parsed.path))
    return None if parsed.scheme else Path(artifact_uri)


def _move(fetched: Path, target: Path) -> None:
    try:
        fetched.rename(target)
    except OSError:
        if not target.exists():  # else the other copy of this step was faster
            raise


def load_model(tracking: Tracking, run_id: str) -> FittedModel:
    """Load the model that an MLflow run logged.

    Raises:
        RegistryError: there is none, or it is not what was logged.
    """
    with tempfile.TemporaryDirectory() as folder:
        return FittedModel.load(tracking.model(run_id, Path(folder)))
