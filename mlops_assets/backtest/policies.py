"""A policy: the sections of a declaration that decide when to retrain, in a file of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlops_assets.declaration import Declaration
from mlops_assets.errors import DeclarationError, UnknownNameError

SECTIONS = ("drift", "retraining")
KEYS = ("name", "description", *SECTIONS)


@dataclass(frozen=True)
class Policy:
    """A declaration with its deciding sections replaced.

    Attributes:
        name: how tables call it.
        declaration: the model's, as it would be under this policy.

    """

    name: str
    declaration: Declaration

    @property
    def hash(self) -> str:
        """Twelve hex digits that change with anything that decides."""
        return self.declaration.digest(*SECTIONS, "gates", "training")


def declared(declaration: Declaration) -> Policy:
    """Return the policy that the declaration itself is."""
    return Policy("declared", declaration)


def read_policy(file: Path, base: Declaration) -> Policy:
    """Read a policy file: YAML with `drift` and `retraining` as in a declaration.

    What a section leaves out is as the model's declaration has it.

    Raises:
        DeclarationError: it can't be read, or holds what is no policy; names where.

    """
    import yaml

    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise DeclarationError(f"the policy {file} can't be read: {error}") from error
    except yaml.YAMLError as error:
        raise DeclarationError(f"the policy {file} is no YAML: {error}") from error
    if not isinstance(content, Mapping):
        raise DeclarationError(
            f"the policy {file} is no mapping; write sections such as "
            "`retraining: {triggers: [schedule], every_windows: 4}`"
        )
    for key in content:
        if key not in KEYS:
            raise DeclarationError(
                f"the policy {file}: {UnknownNameError.among('section', str(key), KEYS)}"
            )
    return replaced(str(content.get("name") or file.stem), base, content, str(file))


def replaced(
    name: str, base: Declaration, sections: Mapping[str, Any], where: str = "the policy"
) -> Policy:
    """Return the policy that the base becomes with fields of its sections replaced.

    Raises:
        DeclarationError: a field is unknown, or its value out of bounds.

    """
    fields = base.model_dump(mode="json")
    for section in SECTIONS:
        given = sections.get(section) or {}
        if not isinstance(given, Mapping):
            raise DeclarationError(f"{where}: `{section}` is no mapping of fields")
        fields[section] = {**fields[section], **given}
    if fields["retraining"]["kpi"] != base.retraining.kpi:
        raise DeclarationError(
            f"{where}: retraining.kpi: policies are compared in one unit, the model's own "
            f"({base.retraining.kpi or base.metric}); declare another one there"
        )
    try:
        return Policy(name, Declaration.model_validate(fields))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "as a whole"
        raise DeclarationError(f"{where}: {place}: {first['msg']}") from error
