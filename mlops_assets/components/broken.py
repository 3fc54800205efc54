"""A declaration that can't be kept, as one asset that says why."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from mlops_assets.checking.findings import Finding, Origin

BROKEN = "mlops/broken"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Broken:
    """A declaration that can't be kept: of which model, why, and where it stands."""

    name: str
    findings: Sequence[Finding]
    origin: Origin | None = None

    def lines(self, root: Path) -> list[str]:
        """Return one line for each fault: file and line, field, what is wrong."""
        return [finding.said(self.origin, root) for finding in self.findings]

    def definitions(self, root: Path) -> dg.Definitions:
        """Return one asset, which says in the graph why there are no others."""
        lines = self.lines(root)
        group = self.name if re.fullmatch(r"[A-Za-z0-9_]+", self.name) else "broken"
        place = self.origin.file.parent.name if self.origin else self.name
        number = f"_{self.origin.document}" if self.origin and self.origin.document else ""
        for line in lines:
            _log.error("model %s is not loaded: %s", self.name, line)
        return dg.Definitions(
            assets=[
                dg.AssetSpec(
                    key=[self.name, f"declaration_in_{place}{number}"],
                    group_name=group,
                    description="This model is not loaded, the others are:\n\n"
                    + "\n".join(f"- {line}" for line in lines),
                    kinds={"broken"},
                    metadata={BROKEN: dg.MetadataValue.json({"model": self.name, "said": lines})},
                )
            ]
        )
