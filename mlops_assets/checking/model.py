"""Everything that can be known of one declaration before it runs, and whether a file fits it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlops_assets.batches.landing import Kind
from mlops_assets.checking.declared import Declared
from mlops_assets.checking.findings import Finding, Origin
from mlops_assets.checking.sample import sample_problems
from mlops_assets.checking.trial import trial_problems
from mlops_assets.declaration import Declaration


@dataclass(frozen=True)
class Checked:
    """One model: each fault and each warning on one line, with file and line."""

    model: str
    problems: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    sample: str = ""  # what a file was taken for


def check_declaration(
    declaration: Declaration,
    origin: Origin | None,
    root: Path,
    data: Path | None = None,
    *,
    kind: Kind | None = None,
    window: str | None = None,
) -> Checked:
    """Check one declared model by trying it, and on a file.

    Args:
        declaration: of the model.
        origin: where it is written, if in a YAML file.
        root: the project's folder; places are named from there.
        data: a file of the model.
        kind: what the file holds, where its columns don't say it.
        window: whose rows it holds, where neither name nor rows say it.

    """

    def lines(findings: list[Finding]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.said(origin, root) for one in findings))

    found, sample = trial_problems(declaration), ""
    if data is not None:
        is_kind, of, problems = sample_problems(declaration, data, kind=kind, window=window)
        found += problems
        sample = f", and {data.name} is what it should be: {is_kind} of {of}"
    warnings = Declared(declaration).warnings(root)
    warnings += origin.repeated() if origin else []
    return Checked(declaration.name, lines(found), lines(warnings), sample)
