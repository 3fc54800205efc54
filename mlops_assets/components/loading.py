"""Loading a project's models so that one that can't be read stops no other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
from dagster.components.core.component_tree import ComponentTree
from dagster.components.core.context import ComponentDeclLoadContext
from dagster.components.core.decl import (
    ComponentDecl,
    DefsFolderDecl,
    build_filesystem_component_decl_from_context,
)
from dagster.components.core.defs_module import (
    EXPLICITLY_IGNORED_GLOB_PATTERNS,
    ComponentPath,
    find_defs_or_component_yaml,
)
from pydantic import ValidationError

from mlops_assets.checking.findings import Finding, Origin, unreadable
from mlops_assets.components.broken import Broken
from mlops_assets.components.model import VALIDATING, declared_in, sensors, without_sensors
from mlops_assets.declaration import raised
from mlops_assets.errors import DeclarationError


def load_models(path_within_project: Path) -> dg.Definitions:
    """Load everything in the defs folder of the project around a path, for `definitions.py`.

    The same as Dagster's `load_from_defs_folder`, but for a folder that can't be read (a mistake
    in its YAML, a module that raises): it becomes one asset that says why, the others are loaded.

    Raises:
        DeclarationError: in `dg check defs`; what can't be read or kept, a line for each.

    """
    try:
        return dg.load_from_defs_folder(path_within_project=path_within_project)
    except Exception as error:
        if (declared := declaration_error(error)) is not None:
            raise DeclarationError(str(declared)) from None
        apart = Apart(ComponentTree.for_project(path_within_project))
        with without_sensors():
            parts = list(apart.definitions())
        if not apart.broken:
            raise
        root = apart.tree.project_root
        if os.environ.get(VALIDATING) == "1":
            lines = [line for broken in apart.broken for line in broken.lines(root)]
            raise DeclarationError("\n".join(dict.fromkeys(lines))) from None
    # whichever folder can't be loaded, it takes the sensors of the others away from nobody
    of_all = sensors([declaration for part in parts for declaration in declared_in(part)])
    said = (broken.definitions(root) for broken in apart.broken)
    return dg.Definitions.merge(*parts, of_all, *said)


def declaration_error(error: BaseException) -> DeclarationError | None:
    """Return the first of the project's own errors among the causes of one."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, DeclarationError):
        cause = cause.__cause__
    return cause


@dataclass
class Apart:
    """A tree of which each folder is read and loaded by itself."""

    tree: ComponentTree
    broken: list[Broken] = field(default_factory=list)

    def definitions(self) -> Iterator[dg.Definitions]:
        """Yield the definitions of each folder that can be loaded; note the others."""
        top = ComponentPath.from_path(self.tree.defs_module_path)
        context = self.tree.decl_load_context.for_component_loc(top)
        found = self._folder(context)
        self.tree.state_tracker.set_cache_data(top, component_decl=found)
        for leaf in leaves(found):
            try:
                yield self.tree.build_defs_at_path(leaf.loc)
            except Exception as error:  # noqa: BLE001 whatever a module raises, others go on
                self._note(leaf.context.path, error)

    def _folder(self, context: ComponentDeclLoadContext) -> DefsFolderDecl:
        children = {}
        for path in sorted(context.path.iterdir()):
            ignored = path.relative_to(context.path)
            if any(ignored.match(pattern) for pattern in EXPLICITLY_IGNORED_GLOB_PATTERNS):
                continue
            below = context.for_component_loc(ComponentPath.from_path(path))
            try:
                if path.is_dir() and find_defs_or_component_yaml(path) is None:
                    decl: ComponentDecl[Any] | None = self._folder(below)
                else:
                    decl = build_filesystem_component_decl_from_context(below)
            except Exception as error:  # noqa: BLE001 whatever a file holds, others are read
                self._note(path, error)
                continue
            if decl is not None:
                children[path] = decl
        return DefsFolderDecl(
            context=context,
            loc=ComponentPath.from_path(context.path),
            children=children,
            source_tree=None,
            component_file_model=None,
        )

    def _note(self, path: Path, error: BaseException) -> None:
        file = find_defs_or_component_yaml(path) if path.is_dir() else path
        if (declared := declaration_error(error)) is not None:
            lines = [Finding((), line) for line in str(declared).splitlines()]
            self.broken.append(Broken(name_of(path), lines))
            return
        while error.__cause__ is not None:
            error = error.__cause__
        findings = [Finding((), raised(error), file, 1 if file else None)]
        if isinstance(error, ValidationError):
            findings = of_file(error, file)
        if file is not None and file.suffix in (".yaml", ".yml"):
            found = unreadable(file)
            findings = [found] if found else findings
        self.broken.append(Broken(name_of(path), findings, Origin(file) if file else None))


def of_file(error: ValidationError, file: Path | None) -> list[Finding]:
    """Return what is wrong beside the attributes: Dagster puts file and line behind the field."""
    found = []
    for one in error.errors(include_url=False):
        name, _, where = str(one["loc"][0] if one["loc"] else "").partition(" at ")
        line = where.rpartition(":")[2]
        message = f"`{name}`: {one['msg']}" if name else one["msg"]
        found.append(Finding((), message, file, int(line) if line.isdigit() else 1))
    return found


def leaves(decl: ComponentDecl[Any]) -> Iterator[ComponentDecl[Any]]:
    """Yield what is loaded as a whole: a file, or a folder with a YAML file."""
    if isinstance(decl, DefsFolderDecl) and decl.source_tree is None:
        for child in decl.children.values():
            yield from leaves(child)
    else:
        yield decl


def name_of(path: Path) -> str:
    """Return the name that the YAML file of a folder declares, though it can't be read; or its own.

    Told from the text: what can't be parsed has no fields.
    """
    file = find_defs_or_component_yaml(path) if path.is_dir() else None
    if file is not None:
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            key, colon, value = line.strip().partition(":")
            if colon and key == "name" and value.strip().isidentifier():
                return value.strip()
    return path.stem
