"""What some policies would have been worth on one history, side by side with the declared one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.backtest.comparison import Backtest, Played, compared
from mlops_assets.backtest.history import gathered
from mlops_assets.backtest.plot import draw
from mlops_assets.backtest.policies import Policy, declared, read_policy
from mlops_assets.batches.landing import Kind
from mlops_assets.decisions.hindsight import Best
from mlops_assets.declaration import Declaration
from mlops_assets.errors import DeclarationError
from mlops_assets.versions import Repository

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


def judge_policies(
    declaration: Declaration,
    repository: Repository | None,
    history: Mapping[str, Mapping[Kind, Path]],
    policies: Sequence[Policy],
    *,
    since: str | None,
    until: str | None,
    plot: Path,
    tell: Callable[[str], None],
) -> Judgement:
    """Play the same history under several policies, the declared one first, side by side.

    Args:
        declaration: of the model, with the declared policy.
        repository: with what was imported, if there is one.
        history: window -> kind -> file, of what the declaration names.
        policies: see `named_apart`.
        since: the first window.
        until: the last window.
        plot: where the picture goes.
        tell: is told what is done.

    Raises:
        DeclarationError: there is no history.
        TrainingError: no first champion in the whole history.

    """
    begun = time.monotonic()
    with gathered(declaration, repository, history, since, until) as found:
        backtest = Backtest(found, declaration)
        results, best = compared(backtest, policies, tell)
        measure = "money" if declaration.retraining.kpi else f"{declaration.metric} x months"
        tell("drawing")
        drawn = draw(backtest, results, best, measure, plot)
        frozen = [backtest.models.value(backtest.first, w) for w in backtest.measured]
        known = [value for value in frozen if value is not None]
        return Judgement(
            model=declaration.name,
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


def named_apart(declaration: Declaration, files: Sequence[Path]) -> list[Policy]:
    """Return the declared policy and those of the files, no two of one name.

    Raises:
        DeclarationError: a file is no policy, or two have one name.

    """
    policies = [declared(declaration), *(read_policy(file, declaration) for file in files)]
    names = [policy.name for policy in policies]
    for name in names:
        if names.count(name) > 1:
            raise DeclarationError(f"two policies are called `{name}`; give one another `name`")
    return policies


def drawable(plot: Path) -> Path:
    """Return where a picture goes.

    Raises:
        DeclarationError: no picture of that kind can be drawn.

    """
    if plot.suffix not in PICTURES:
        raise DeclarationError(f"no picture can be drawn to {plot}: name a {', '.join(PICTURES)}")
    return plot
