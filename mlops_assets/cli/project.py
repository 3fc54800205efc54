"""The project around the command: its definitions and the models that it declares."""

from __future__ import annotations

import importlib
import os
import sys
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.declaration import Declaration
from mlops_assets.errors import DeclarationError, UnknownNameError
from mlops_assets.home import Home, project_root

if TYPE_CHECKING:
    import dagster as dg


@dataclass(frozen=True)
class Project:
    """A folder with a `[tool.dg.project]`, or this package itself, and the home of its state."""

    root: Path
    home: Home

    @classmethod
    def find(cls) -> Project:
        """Find it from the current folder upwards, and let Dagster know the home."""
        home = Home.find()
        os.environ.update(home.environment())
        return cls(project_root(), home)

    @property
    def module(self) -> str:
        """The module with the definitions (`MLOPS_MODULE`, else what pyproject.toml says)."""
        if named := os.environ.get("MLOPS_MODULE"):
            return named
        settings = self.root / "pyproject.toml"
        if settings.is_file():
            table = tomllib.loads(settings.read_text()).get("tool", {}).get("dg", {})
            root_module = table.get("project", {}).get("root_module")
            if root_module:
                return f"{root_module}.definitions"
        return "mlops_assets.definitions"

    def make_importable(self) -> None:
        """Let Python find the project's own modules, also where it was never installed."""
        for folder in (str(self.root), str(self.root / "src")):
            if folder not in sys.path:
                sys.path.insert(0, folder)

    @cached_property
    def definitions(self) -> dg.Definitions:
        """Load the definitions.

        Raises:
            DeclarationError: the module can't be found, or a declaration can't be kept.

        """
        import dagster as dg
        from dagster.components.core.component_tree import ComponentTreeException
        from dagster_shared.error import DagsterError

        self.make_importable()
        try:
            module = importlib.import_module(self.module)
        except ModuleNotFoundError as error:
            raise DeclarationError(
                f"no module `{self.module}` ({error}); run it in the project's folder, or name "
                "the module in MLOPS_MODULE"
            ) from error
        found = getattr(module, "defs", None)
        try:
            loaded = found() if callable(found) else found
        except (ComponentTreeException, DagsterError) as error:
            root: BaseException = error
            while root.__cause__ is not None:
                root = root.__cause__
            raise DeclarationError(
                f"the definitions in {self.module} can't be loaded: {str(root).strip()}\n"
                "`dg check yaml` names the line of a declaration that can't be read"
            ) from error
        if not isinstance(loaded, dg.Definitions):
            raise DeclarationError(f"{self.module} has no `defs` that gives dagster Definitions")
        return loaded

    @cached_property
    def repository(self) -> dg.RepositoryDefinition:
        """The definitions, resolved: jobs and sensors by name."""
        return self.definitions.get_repository_def()

    @cached_property
    def declarations(self) -> dict[str, Declaration]:
        """Every declared model by its name, as the jobs' metadata carries it."""
        found = {}
        for job in self.repository.get_all_jobs():
            carried: Any = job.metadata.get("mlops/declaration")
            if carried is not None:
                declaration = Declaration.model_validate(carried.value)
                found[declaration.name] = declaration
        return found

    def declaration(self, model: str) -> Declaration:
        """Return one declared model.

        Raises:
            UnknownNameError: nothing of that name is declared.

        """
        if model not in self.declarations:
            raise UnknownNameError.among("declared model", model, self.declarations)
        return self.declarations[model]

    def playable(self, model: str) -> Declaration:
        """Return one declared model, if what landed is still what its windows hold.

        Raises:
            UnknownNameError: nothing of that name is declared.
            DeclarationError: its windows were declared otherwise when they landed.

        """
        from mlops_assets.monitoring.meaning import check_windows
        from mlops_assets.profiles.store import Store

        declaration = self.declaration(model)
        check_windows(declaration, Store(self.home.store))
        return declaration
