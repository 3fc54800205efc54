"""A fault of a declaration: what is wrong, and in which line of which file."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mlops_assets.declaration import Declaration
from mlops_assets.errors import FieldError, did_you_mean

Field = tuple[str | int, ...]
ATTRIBUTES = "attributes"  # of a component's file: the declaration stands below it


@dataclass(frozen=True)
class Finding:
    """One fault: the field of the declaration, one sentence, and where it stands if elsewhere."""

    field: Field
    message: str
    file: Path | None = None
    line: int | None = None

    def said(self, origin: Origin | None = None, root: Path | None = None) -> str:
        """Return it on one line: file and line, field, what is wrong."""
        where = self.place(origin, root)
        # of what stands in a module the message says the name
        name = ".".join(map(str, self.field)) if self.file is None else ""
        return ": ".join(part for part in (where, name, " ".join(self.message.split())) if part)

    def place(self, origin: Origin | None = None, root: Path | None = None) -> str:
        """Return `file:line`, relative to a folder where it lies below it; empty if unknown."""
        file, line = self.file, self.line
        if file is None and origin is not None:
            file, line = origin.file, origin.line(self.field)
        if file is None:
            return ""
        if root is not None and file.is_relative_to(root):
            file = file.relative_to(root)
        return f"{file}:{line}" if line else str(file)


@dataclass(frozen=True)
class Origin:
    """The document of a YAML file that a declaration was read from."""

    file: Path
    document: int = 0

    def line(self, field: Sequence[str | int] = ()) -> int:
        """Return the line of a field, or of the nearest one above it; 1 if nothing is there."""
        node = self._root
        line = 1
        for name in (ATTRIBUTES, *field):
            below = _child(node, name)
            if below is None:
                break
            line, node = below
        return line

    def repeated(self) -> list[Finding]:
        """Return the fields that are said twice: YAML takes the last without a word."""
        return list(_repeated(self._root, ()))

    @cached_property
    def _root(self) -> Any:
        import yaml

        try:
            with self.file.open(encoding="utf-8") as stream:
                documents = yaml.compose_all(stream, Loader=yaml.SafeLoader)
                return next(islice(documents, self.document, None), None)
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            return None


def _repeated(node: Any, above: Field) -> Iterator[Finding]:
    seen: dict[Any, int] = {}
    for pair in node.value if isinstance(getattr(node, "value", None), list) else ():
        if not isinstance(pair, tuple):
            continue
        name, line = getattr(pair[0], "value", None), pair[0].start_mark.line + 1
        if name in seen:
            field = (*above, str(name))
            said = f"said in line {seen[name]} too, which does not count; leave one out"
            yield Finding(field[1:] if field[0] == ATTRIBUTES else field, said)
        seen[name] = line
        yield from _repeated(pair[1], (*above, str(name)))


def _child(node: Any, name: str | int) -> tuple[int, Any] | None:
    """Return the line and the node of an entry of a mapping, or of an item of a list."""
    held = getattr(node, "value", None)
    if not isinstance(held, list):
        return None
    if isinstance(name, int):
        if name >= len(held) or isinstance(held[name], tuple):
            return None
        return held[name].start_mark.line + 1, held[name]
    for pair in reversed(held):  # of two the last counts
        if isinstance(pair, tuple) and getattr(pair[0], "value", None) == name:
            return pair[0].start_mark.line + 1, pair[1]
    return None


def unreadable(file: Path) -> Finding | None:
    """Return what makes a YAML file unreadable, with its line; None if it can be read."""
    import yaml

    try:
        with file.open(encoding="utf-8") as stream:
            for _ in yaml.safe_load_all(stream):
                pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(part for part in (error.context, error.problem) if part)
        return Finding((), f"no YAML: {what}", file, mark.line + 1 if mark else None)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return Finding((), f"can't be read: {error}", file)
    return None


def of_fields(error: ValidationError) -> list[Finding]:
    """Return one finding for each field that breaks its bounds, its type or another field."""
    found = []
    for one in error.errors(include_url=False):
        field = tuple(one["loc"])
        raised = one.get("ctx", {}).get("error")
        if isinstance(raised, FieldError):
            field += raised.field
        message = one["msg"].removeprefix("Value error, ")
        if one["type"] == "extra_forbidden":
            message = f"no such field{did_you_mean(str(field[-1]), _fields(field[:-1]))}"
        elif one["type"] == "missing":
            message = f"`{field[-1]}` is missing"
        elif raised is None:
            message = f"{_short(one['input'])}: {message}"
        found.append(Finding(field, message))
    return found


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _fields(section: Sequence[str | int]) -> list[str]:
    model: Any = Declaration
    for name in section:
        inner = model.model_fields.get(name) if _is_section(model) else None
        model = inner.annotation if inner is not None else None
    return list(model.model_fields) if _is_section(model) else []


def _is_section(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, BaseModel)


def in_module(reference: str, entry: str | None = None) -> tuple[Path | None, int | None]:
    """Return file and line of `package.module:NAME`, or of an entry of the dictionary it names.

    The nearest line that is known: a dictionary may be built in a loop.
    """
    module, _, name = reference.partition(":")
    try:
        file = Path(str(importlib.import_module(module).__file__))
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (ImportError, OSError, SyntaxError, ValueError):
        return None, None
    line = None
    for statement in ast.walk(tree):
        if isinstance(statement, ast.ClassDef) and statement.name == name:
            line = line or statement.lineno
        if isinstance(statement, ast.Assign):
            targets: list[ast.expr] = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        else:
            continue
        if not any(isinstance(one, ast.Name) and one.id == name for one in targets):
            continue
        line = statement.lineno
        for key in statement.value.keys if isinstance(statement.value, ast.Dict) else []:
            if isinstance(key, ast.Constant) and key.value == entry:
                return file, key.lineno
    return file, line
