"""docs/declaration.md is the declaration's own fields: written from them, and never behind them.

`UPDATE_DOCS=1 pytest tests/docs` writes it anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from mlops_assets.declaration import Declaration
from mlops_assets.monitoring.effects import EFFECTS, EXPLAINED

PAGE = Path(__file__).parents[2] / "docs/declaration.md"
HEAD = """\
# The declaration

The fields of a model's `defs.yaml`, below `attributes`. References such as `.schema:Customers` name a module beside the file and a name in it; `package.module:NAME` works too. In Python, the same is `ModelComponent(Declaration(...))` in a function decorated by `@dg.component_instance`.

`mlops check` tries all that is declared, of every model: fields, types, names that the stages need for themselves (a feature `target`, `window`, `score` or `prediction_id`, a key `version`), that the key is of one type in batch and labels, that the time column tells a window, that the target is of the task, LightGBM's parameters (by training one round on made rows), features that look at other rows of their batch. `--data FILE` tries it on a file too. `dg check defs` finds the same; `dg check yaml` sees the shape of the fields alone, and of several models in a project only the last that it meets, since it keeps one document for each component type; of a file that is no YAML it may print a traceback, where `mlops check` names the line.

A model whose declaration can't be kept is shown in Dagster as one asset that says why, and every other model goes on; `definitions.py` calls `mlops_assets.components.load_models` for that, since Dagster's own `load_from_defs_folder` gives up on all models where one file is no YAML.
"""

CHANGING = """\
## Changing a declaration
The last column of each table says what changing the field does. Nothing that was recorded is ever deleted or rewritten; what is measured again stands beside it.
"""


def bounds(field: Any) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    found = [
        f"{sign} {getattr(rule, name):g}"
        for rule in field.metadata
        for name, sign in signs.items()
        if getattr(rule, name, None) is not None
    ]
    return ", ".join(found)


def shown(annotation: Any) -> str:
    text = (
        getattr(annotation, "__name__", str(annotation))
        if isinstance(annotation, type)
        else str(annotation)
    )
    text = re.sub(r"mlops_assets\.(\w+\.)+", "", text)  # a section, not where its class stands
    return (
        text.replace("typing.", "")
        .replace("NoneType", "None")
        .replace(" | ", " or ")
        .replace("|", "\\|")
    )


def table(model: type[BaseModel], section: str = "") -> str:
    rows = [
        "| field | type | default | bounds | meaning | changing it |",
        "|---|---|---|---|---|---|",
    ]
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            continue
        default = field.get_default(call_default_factory=True)
        value = "required" if default is PydanticUndefined else f"`{default!r}`"
        rows.append(
            f"| `{name}` | {shown(kind)} | {value} | {bounds(field)} | {field.description} | "
            f"{effects(f'{section}{name}')} |"
        )
    return "\n".join(rows)


def effects(path: str) -> str:
    """Return what changing a field does; a part of its own has one line for each of its fields."""
    found = {EFFECTS[one] for one in EFFECTS if one == path or one.startswith(f"{path}.")}
    return ", ".join(sorted(found))


def legend() -> str:
    head = ["| changing it | does to what was recorded |", "|---|---|"]
    rows = [f"| {effect} | {said} |" for effect, said in EXPLAINED.items()]
    return "\n".join([CHANGING, *head, *rows])


def page() -> str:
    parts = [HEAD, table(Declaration)]
    for name, field in Declaration.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            parts.append(f"\n## `{name}`\n{field.description}\n\n{table(kind, name + '.')}")
    parts.append(f"\n{legend()}")
    return "\n".join(parts) + "\n"


def test_the_page_says_what_the_declaration_is() -> None:
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page()


def test_every_field_says_what_it_is() -> None:
    for field in Declaration.model_fields.values():
        assert field.description
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            assert all(inner.description for inner in kind.model_fields.values())
