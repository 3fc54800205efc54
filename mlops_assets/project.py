"""The project around the command: its definitions and the models that it declares."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.checking.findings import Origin
from mlops_assets.declaration import Declaration, raised
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
        """The module with the definitions (`MLOPS_MODULE`, else what pyproject.toml says).

        Raises:
            DeclarationError: pyproject.toml can't be read.

        """
        if named := os.environ.get("MLOPS_MODULE"):
            return named
        settings = self.root / "pyproject.toml"
        if settings.is_file():
            try:
                read = tomllib.loads(settings.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
                raise DeclarationError(f"{settings} can't be read: {error}") from error
            table = read.get("tool", {}).get("dg", {})
            root_module = table.get("project", {}).get("root_module")
            if root_module:
                return f"{root_module}.definitions"
        return "mlops_assets.definitions"

    def make_importable(self) -> None:
        """Let Python find the project's own modules, also where it was never installed."""
        for folder in (str(self.root), str(self.root / "src")):
            if folder not in sys.path:
                sys.path.insert(0, folder)

    @property
    def definitions(self) -> dg.Definitions:
        """The definitions; where the module as a whole can't be loaded, each model by itself.

        Raises:
            DeclarationError: the module can't be found, or gives no definitions.

        """
        return self._loaded[0]

    @property
    def whole(self) -> bool:
        """Whether the project's own module loads; if not, Dagster opens none of its models."""
        return self._loaded[1]

    @cached_property
    def _loaded(self) -> tuple[dg.Definitions, bool]:
        import dagster as dg

        self.make_importable()
        try:
            module = importlib.import_module(self.module)
        except ModuleNotFoundError as error:
            raise DeclarationError(
                f"no module `{self.module}` ({error}); run it in the project's folder, or name "
                "the module in MLOPS_MODULE"
            ) from error
        except Exception as error:
            raise DeclarationError(f"{self.module} can't be imported: {raised(error)}") from error
        found = getattr(module, "defs", None)
        # what is broken is said by the commands, once, where it matters
        logging.getLogger("mlops_assets.components").setLevel(logging.CRITICAL)
        whole = True
        try:
            loaded = found() if callable(found) else found
        except Exception as error:  # noqa: BLE001 whatever the project's modules raise
            loaded, whole = self._apart(error), False
        if not isinstance(loaded, dg.Definitions):
            raise DeclarationError(f"{self.module} has no `defs` that gives dagster Definitions")
        return loaded, whole

    def _apart(self, error: BaseException) -> dg.Definitions:
        """Load each folder of `defs/` by itself, since the project's own module loads none."""
        from mlops_assets.components import load_models

        root = error
        while root.__cause__ is not None:
            root = root.__cause__
        failed = DeclarationError(
            f"the definitions in {self.module} can't be loaded: {raised(root)}"
        )
        try:
            loaded = load_models(self.root)
        except Exception:  # noqa: BLE001 it's no folder that fails: said is what failed first
            raise failed from error
        if not _broken(loaded):
            raise failed from error
        return loaded

    @cached_property
    def repository(self) -> dg.RepositoryDefinition:
        """The definitions, resolved: jobs and sensors by name.

        Raises:
            DeclarationError: two of them have one name.

        """
        from dagster_shared.error import DagsterError

        try:
            return self.definitions.get_repository_def()
        except DagsterError as error:
            raise DeclarationError(
                f"the definitions in {self.module} don't fit together: {raised(error)}"
            ) from error

    @cached_property
    def declarations(self) -> dict[str, Declaration]:
        """Every declared model that can be kept, by its name, as the definitions carry it."""
        _ = self.repository  # of two definitions with one name neither is loaded
        found = {}
        for name, carried in self.definitions.metadata.items():
            if name.startswith("mlops/declaration/"):
                declaration = Declaration.model_validate(carried.value)
                found[declaration.name] = declaration
        return found

    @cached_property
    def broken(self) -> dict[str, DeclarationError]:
        """Every declared model that can't be kept, by its name: a line for each fault."""
        return {
            model: DeclarationError("\n".join(dict.fromkeys(lines)))
            for model, lines in _broken(self.definitions).items()
        }

    def broken_lines(self) -> list[str]:
        """Return a line for each model that is not loaded, with the first of its faults.

        And one more where Dagster can't load the others either.
        """
        said = []
        for model, error in self.broken.items():
            first, *others = str(error).splitlines()
            more = f" (and {len(others)} more: mlops check {model})" if others else ""
            said.append(f"{model} is not loaded: {first}{more}")
        if not self.whole:
            said.append(
                f"{self.module} loads no model in Dagster because of that; with "
                "`mlops_assets.components.load_models` in it the others would be"
            )
        return said

    def origin(self, model: str) -> Origin | None:
        """Return where a model's declaration is written, if in a YAML file."""
        carried: Any = self.definitions.metadata.get(f"mlops/origin/{model}")
        if carried is None:
            return None
        return Origin(self.root / carried.value["file"], carried.value["document"])

    def declaration(self, model: str) -> Declaration:
        """Return one declared model.

        Raises:
            UnknownNameError: nothing of that name is declared.
            DeclarationError: it is declared, and its declaration can't be kept.

        """
        if model in self.broken:
            raise self.broken[model]
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
        from mlops_assets.records.store import Store

        declaration = self.declaration(model)
        check_windows(declaration, Store(self.home.store))
        return declaration


def _broken(definitions: dg.Definitions) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for spec in definitions.resolve_all_asset_specs():
        carried: Any = spec.metadata.get("mlops/broken")
        if carried is not None:
            found.setdefault(carried.value["model"], []).extend(carried.value["said"])
    return found
