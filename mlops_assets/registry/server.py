"""MLflow at one address: the runs of each model, registered versions and aliases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from mlops_assets.home import Home
from mlops_assets.registry.connection import SQLITE, connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from mlops_assets.registry.models import Registry
    from mlops_assets.registry.tracking import Tracking


@dataclass(frozen=True)
class MlflowServer:
    """A tracking server, or a database; MLflow is imported when it is first asked."""

    uri: str
    artifacts: str | None  # where a new experiment keeps its files; None leaves it to the server
    in_home: bool = False  # a database that is moved with its home: its files are looked for anew

    @classmethod
    def of_home(cls, home: Home) -> MlflowServer:
        """Return the home's own, or the one that the environment names instead."""
        return cls(home.mlflow, home.mlflow_artifacts, in_home=True)

    @classmethod
    def at(cls, uri: str) -> MlflowServer:
        """Return the one at an address; a database keeps the files of its runs beside it."""
        if not uri.startswith(SQLITE):
            return cls(uri, None)
        folder = Path(uri.removeprefix(SQLITE)).absolute().parent / "artifacts"
        return cls(uri, f"file://{quote(str(folder))}")

    @property
    def exists(self) -> bool:
        """Whether there is anything to ask: a server, or a database that is there already."""
        return not self.uri.startswith(SQLITE) or Path(self.uri.removeprefix(SQLITE)).exists()

    def client(self) -> MlflowClient:
        """Return a client; a database that is not there is made.

        Raises:
            RegistryError: it can't be opened.

        """
        return connect(self.uri, self.artifacts if self.in_home else None)

    def tracking(self, model: str) -> Tracking:
        """Return the runs of one model's experiment."""
        from mlops_assets.registry.tracking import Tracking

        return Tracking(self.client(), model, self.artifacts)

    def registry(self) -> Registry:
        """Return the versions and aliases."""
        from mlops_assets.registry.models import Registry

        return Registry(self.client())
