"""`mlops replay MODEL --policy FILE`: what each policy would have done, before one is used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from mlops_assets.backtest import judging
from mlops_assets.backtest.judging import Judgement, drawable
from mlops_assets.cli.output import shown, stdout
from mlops_assets.cli.progress import spinning
from mlops_assets.importing.declared import history
from mlops_assets.project import Project
from mlops_assets.versions import existing_repository
from mlops_assets.words import counted


def judge_policies(
    model: str,
    files: Sequence[Path],
    *,
    since: str | None = None,
    until: str | None = None,
    plot: Path | None = None,
) -> Judgement:
    """Play the same history under the declared policy and those of the files, side by side.

    Raises:
        DeclarationError: a file is no policy, or there is no history.
        UnknownNameError: no such model or window.
        TrainingError: no first champion in the whole history.

    """
    if plot is not None:
        drawable(plot)
    project = Project.find()
    declaration, home = project.playable(model), project.home
    policies = judging.named_apart(declaration, files)
    with spinning(f"{model}: reading the history") as tell:
        files_of, _ = history(project.root, declaration, since, until)
        return judging.judge_policies(
            declaration,
            existing_repository(home.repository, home.cache),
            files_of,
            policies,
            since=since,
            until=until,
            plot=plot or home.root / "backtests" / f"{model}.svg",
            tell=lambda what: tell(f"{model}: {what}"),
        )


def documented(found: Judgement) -> dict[str, Any]:
    """Return the documented form."""
    return {
        "model": found.model,
        "metric": found.metric,
        "unit": found.unit,
        "cost": found.cost,
        "windows": found.windows,
        "frozen": found.frozen,
        "hindsight": {
            "retrainings": list(found.best.retrained),
            "gain": found.best.gain,
            "net": found.best.net,
        },
        "policies": [
            {
                "name": one.name,
                "policy": one.hash,
                "retrainings": one.attempts,
                "promoted": one.promoted,
                "value": one.value,
                "gain": one.gain,
                "net": one.net,
                "share": one.share,
                "minutes": round(one.minutes, 3),
                "attempts": [
                    {
                        "window": attempt.window,
                        "trigger": attempt.trigger,
                        "promoted": attempt.promoted,
                        "reason": attempt.reason,
                    }
                    for attempt in one.simulation.retrainings
                ],
                "held_back": [
                    {
                        "window": held.evidence.window,
                        "trigger": held.evidence.trigger,
                        "code": held.code,
                        "reason": held.reason,
                    }
                    for held in one.simulation.decisions
                    if not held.retrain
                ],
            }
            for one in found.results
        ],
        "refused": list(found.refused),
        "plot": str(found.plot),
        "models": found.models,
        "seconds": round(found.seconds, 1),
    }


def show(found: Judgement) -> None:
    """Print it for a person."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("policy", "retrained", "promoted", found.metric, "gain", "net", "of best"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    table.add_column("fitting", justify="right")
    for one in found.results:
        table.add_row(
            one.name,
            str(one.attempts),
            str(one.promoted),
            "" if one.value is None else f"{one.value:.4f}",
            f"{one.gain:+.4f}",
            f"{one.net:+.4f}",
            "" if one.share is None else f"{one.share:.0%}",
            f"{one.minutes * 60:.0f} s",
        )
    best = found.best
    table.add_row(
        "hindsight's best",
        str(len(best.retrained)),
        "",
        "",
        f"{best.gain:+.4f}",
        f"{best.net:+.4f}",
        "100%" if best.net > 0 else "",
        "",
    )
    stdout.print(
        f"[bold]{found.model}[/bold]: {found.windows} measured windows; gain over the first "
        f"model and net of {found.cost:.4g} for each retraining, in {found.unit}."
    )
    if found.frozen is not None:
        stdout.print(f"  The first model alone: mean {found.metric} {found.frozen:.4f}.")
    for problem in found.refused:
        stdout.print(f"  [red]left out[/red] {shown(problem)}")
    stdout.print()
    stdout.print(table)
    stdout.print()
    stdout.print(
        f"  {counted(found.models, 'model')} fitted, shared by all, in {found.seconds:.0f} s."
    )
    stdout.print(f"  Over time: {found.plot}", markup=False, soft_wrap=True)
    stdout.print("  Nothing that serves was changed.")
