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

PAGE = Path(__file__).parents[2] / "docs/declaration.md"
HEAD = """\
# The declaration

The fields of a model's `defs.yaml`, below `attributes`. References such as `.schema:Customers` name a module beside the file and a name in it; `package.module:NAME` works too. `dg check yaml` names what is wrong, with its line. In Python, the same is `ModelComponent(Declaration(...))` in a function decorated by `@dg.component_instance`.
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
    text = re.sub(r"mlops_assets\.\w+\.", "", text)  # a section, not where its class stands
    return (
        text.replace("typing.", "")
        .replace("NoneType", "None")
        .replace(" | ", " or ")
        .replace("|", "\\|")
    )


def table(model: type[BaseModel]) -> str:
    rows = ["| field | type | default | bounds | meaning |", "|---|---|---|---|---|"]
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            continue
        default = field.get_default(call_default_factory=True)
        value = "required" if default is PydanticUndefined else f"`{default!r}`"
        rows.append(
            f"| `{name}` | {shown(kind)} | {value} | {bounds(field)} | {field.description} |"
        )
    return "\n".join(rows)


def page() -> str:
    parts = [HEAD, table(Declaration)]
    for name, field in Declaration.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            parts.append(f"\n## `{name}`\n{field.description}\n\n{table(kind)}")
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
