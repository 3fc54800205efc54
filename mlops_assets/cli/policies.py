"""`mlops replay MODEL --policy FILE`: what each policy would have done, before one is used."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from mlops_assets.backtest.comparison import Backtest, Played, compared
from mlops_assets.backtest.history import gathered
from mlops_assets.backtest.plot import draw
from mlops_assets.backtest.policies import declared, read_policy
from mlops_assets.cli.output import shown, stdout
from mlops_assets.cli.progress import spinning
from mlops_assets.decisions.hindsight import Best
from mlops_assets.errors import DeclarationError
from mlops_assets.importing.declared import history
from mlops_assets.project import Project
from mlops_assets.versions import existing_repository
from mlops_assets.words import counted

PICTURES = (".svg", ".png", ".pdf")


@dataclass(frozen=True)
class Judgement:
    """What the policies were worth, side by side."""

    model: str
    metric: str
    unit: str
    cost: float
    windows: int
    frozen: float | None
    results: tuple[Played, ...]
    best: Best
    refused: tuple[str, ...]
    plot: Path
    models: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the documented form."""
        return {
            "model": self.model,
            "metric": self.metric,
            "unit": self.unit,
            "cost": self.cost,
            "windows": self.windows,
            "frozen": self.frozen,
            "hindsight": {
                "retrainings": list(self.best.retrained),
                "gain": self.best.gain,
                "net": self.best.net,
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
                        for attempt in one.course.retrainings
                    ],
                    "held_back": [
                        {
                            "window": held.evidence.window,
                            "trigger": held.evidence.trigger,
                            "code": held.code,
                            "reason": held.reason,
                        }
                        for held in one.course.decisions
                        if not held.retrain
                    ],
                }
                for one in self.results
            ],
            "refused": list(self.refused),
            "plot": str(self.plot),
            "models": self.models,
            "seconds": round(self.seconds, 1),
        }

    def print(self) -> None:
        """Say it to a person."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in ("policy", "retrained", "promoted", self.metric, "gain", "net", "of best"):
            table.add_column(column, justify="left" if column == "policy" else "right")
        table.add_column("fitting", justify="right")
        for one in self.results:
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
        best = self.best
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
            f"[bold]{self.model}[/bold]: {self.windows} measured windows; gain over the first "
            f"model and net of {self.cost:.4g} for each retraining, in {self.unit}."
        )
        if self.frozen is not None:
            stdout.print(f"  The first model alone: mean {self.metric} {self.frozen:.4f}.")
        for problem in self.refused:
            stdout.print(f"  [red]left out[/red] {shown(problem)}")
        stdout.print()
        stdout.print(table)
        stdout.print()
        stdout.print(
            f"  {counted(self.models, 'model')} fitted, shared by all, in {self.seconds:.0f} s."
        )
        stdout.print(f"  Over time: {self.plot}", markup=False, soft_wrap=True)
        stdout.print("  Nothing that serves was changed.")


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
    begun = time.monotonic()
    if plot is not None and plot.suffix not in PICTURES:
        raise DeclarationError(f"no picture can be drawn to {plot}: name a {', '.join(PICTURES)}")
    project = Project.find()
    declaration = project.playable(model)
    policies = [declared(declaration), *(read_policy(file, declaration) for file in files)]
    names = [policy.name for policy in policies]
    for name in names:
        if names.count(name) > 1:
            raise DeclarationError(f"two policies are called `{name}`; give one another `name`")
    home = project.home
    repository = existing_repository(home.repository, home.cache)
    with spinning(f"{model}: reading the history") as say:

        def tell(message: str) -> None:
            say(f"{model}: {message}")

        files_of, _ = history(project.root, declaration, since, until)
        with gathered(declaration, repository, files_of, since, until) as found:
            backtest = Backtest(found, declaration)
            results, best = compared(backtest, policies, tell)
            measure = "money" if declaration.retraining.kpi else f"{declaration.metric} x months"
            file = plot or home.root / "backtests" / f"{model}.svg"
            tell("drawing")
            drawn = draw(backtest, results, best, measure, file)
            frozen = [backtest.models.value(backtest.frozen.mark, w) for w in backtest.measured]
            known = [value for value in frozen if value is not None]
            return Judgement(
                model=model,
                metric=declaration.metric,
                unit=measure,
                cost=backtest.cost,
                windows=len(backtest.measured),
                frozen=sum(known) / len(known) if known else None,
                results=tuple(results),
                best=best,
                refused=found.refused,
                plot=drawn,
                models=len(backtest.models.seconds) + len(backtest.twins.seconds),
                seconds=time.monotonic() - begun,
            )
