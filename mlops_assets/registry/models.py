"""Registered versions and the champion alias."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.errors import RegistryError
from mlops_assets.registry.connection import FINGERPRINT, asking, quoted
from mlops_assets.registry.ledger import check_model_name
from mlops_assets.registry.packaging import MODEL_PATH

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"


@dataclass(frozen=True, slots=True)
class Version:
    """A registered version: which run made it, from which fingerprint."""

    model: str
    number: int
    run_id: str
    fingerprint: str | None
    source: str
    tags: Mapping[str, str]


class Registry:
    """MLflow's model registry. The ledger decides; the alias follows it for other readers."""

    def __init__(self, client: MlflowClient) -> None:
        self.client = client

    def register(
        self,
        model: str,
        source_run_id: str,
        fingerprint: str,
        tags: Mapping[str, str] | None = None,
        description: str = "",
    ) -> int:
        """Return the version of this fingerprint; make it from the run's model if there is none.

        One fingerprint has one version, whoever else registers it at the same moment and
        whoever was killed half way: MLflow knows no unique tags, but it numbers versions one
        after the other, so of two the lower stands and whoever made the higher deletes it.

        Raises:
            RegistryError: the run holds no packaged model, or MLflow refused.
        """
        check_model_name(model)
        if (there := self._of(model, fingerprint)) is not None:
            return there
        with asking(f"register {model} from run {source_run_id}"):
            self._create_model(model)
            uri = self.client.get_run(source_run_id).info.artifact_uri
            held = {file.path for file in self.client.list_artifacts(source_run_id, MODEL_PATH)}
            if f"{MODEL_PATH}/MLmodel" not in held:
                raise RegistryError(
                    f"run {source_run_id} holds no model; log it with `log_model` before registering"
                )
            made = self.client.create_model_version(
                model,
                source=f"{uri}/{MODEL_PATH}",
                run_id=source_run_id,
                tags={**(tags or {}), FINGERPRINT: fingerprint},
                description=description or None,
            )
            standing = self._of(model, fingerprint)
            if standing is None or standing == int(made.version):
                return int(made.version)
            self.client.delete_model_version(model, str(made.version))
            return standing

    def set_champion(self, model: str, version: int | None) -> None:
        """Move the alias `champion`; None takes it away. Doing it twice changes nothing.

        Raises:
            RegistryError: no such version, or MLflow refused.
        """
        if version is None:
            if self.champion(model) is not None:
                with asking(f"take the champion of {model} away"):
                    self.client.delete_registered_model_alias(model, CHAMPION)
            return
        self.version(model, version)  # MLflow lets an alias point nowhere
        with asking(f"make version {version} the champion of {model}"):
            self.client.set_registered_model_alias(model, CHAMPION, str(version))

    def champion(self, model: str) -> int | None:
        """Return the version that the alias `champion` names; None if there is none.

        Raises:
            RegistryError: MLflow could not be asked.
        """
        from mlflow.exceptions import MlflowException

        check_model_name(model)
        with asking(f"find the champion of {model}"):
            try:
                aliases: Mapping[str, Any] = self.client.get_registered_model(model).aliases
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return None
                raise
        return int(aliases[CHAMPION]) if CHAMPION in aliases else None

    def versions(self, model: str) -> list[int]:
        """Return the numbers of a model's versions, sorted; none if it is not registered.

        Raises:
            RegistryError: MLflow could not be asked.
        """
        check_model_name(model)
        found: list[int] = []
        token: str | None = None
        with asking(f"list the versions of {model}"):
            while True:
                page = self.client.search_model_versions(
                    f"name = {quoted(model)}", page_token=token
                )
                found.extend(int(each.version) for each in page)
                token = page.token
                if not token:
                    return sorted(found)

    def version(self, model: str, number: int) -> Version:
        """Return one version.

        Raises:
            RegistryError: there is none of that number, or MLflow could not be asked.
        """
        check_model_name(model)
        with asking(f"find version {number} of {model}"):
            found = self.client.get_model_version(model, str(number))
        tags = dict(found.tags)
        return Version(
            model=model,
            number=int(found.version),
            run_id=str(found.run_id),
            fingerprint=tags.get(FINGERPRINT),
            source=str(found.source),
            tags=tags,
        )

    def _of(self, model: str, fingerprint: str) -> int | None:
        with asking(f"search the versions of {model}"):
            found = self.client.search_model_versions(
                f"name = {quoted(model)} and tags.`{FINGERPRINT}` = {quoted(fingerprint)}"
            )
        return min((int(each.version) for each in found), default=None)

    def _create_model(self, model: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
