"""What speaks for a retraining, found in plain facts: the same live, replayed and backtested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlops_assets.decisions.governor import Evidence
from mlops_assets.words import counted


@dataclass(frozen=True)
class Champion:
    """The version that serves, as far as evidence goes.

    Attributes:
        version: its number.
        since: windows of data since the last attempt to replace it.
        unseen: mature windows that it was not trained on, oldest first.

    """

    version: int
    since: int
    unseen: Sequence[str]


def initial(mature: Sequence[str], newest: str, first_after: int) -> list[Evidence]:
    """Return that the first training is possible: enough windows have mature labels."""
    if len(mature) < first_after:
        return []
    reason = f"no champion yet, and {counted(len(mature), 'window')} with mature labels"
    return [Evidence(f"initial:{mature[-1]}", "initial", newest, reason, None)]


def new_target(
    champion: Champion,
    newest: str,
    mature: Sequence[str],
    changed: str,
    learnt: Mapping[str, str],
) -> list[Evidence]:
    """Return that the champion learnt something else than is declared now.

    Args:
        champion: the version that serves.
        newest: the newest window of data.
        mature: windows whose labels can be trusted; each new one is a new cause.
        changed: what changed since it learnt.
        learnt: what a challenger will learn: task, and hash of the target.

    """
    what = "-".join(learnt[name][:12] for name in sorted(learnt))
    cause = f"new_target:{max(mature, default=newest)}:v{champion.version}:{what}"
    reason = f"{changed}: it serves on, and answers another question than the declared one"
    return [Evidence(cause, "new_target", newest, reason, champion.version)]


def drift(champion: Champion, newest: str, batch_version: str, sentence: str) -> list[Evidence]:
    """Return that the newest window's verdict is `drifted`; a corrected batch is a new cause."""
    cause = f"drift:{newest}:v{champion.version}:{batch_version[:8]}"
    return [Evidence(cause, "drift", newest, sentence, champion.version)]


def staleness(champion: Champion, newest: str, judged: str, sentence: str) -> list[Evidence]:
    """Return that waiting costs more than a retraining, by twins up to the `judged` window."""
    cause = f"staleness:{judged}:v{champion.version}"
    return [Evidence(cause, "staleness", newest, sentence, champion.version)]


def performance(
    champion: Champion,
    newest: str,
    measured: Sequence[tuple[str, float]],
    *,
    metric: str,
    worst: float,
    higher_is_better: bool,
    needed: int,
    of_last: int,
) -> list[Evidence]:
    """Return that the measured metric is worse than declared, in enough of the latest windows.

    Args:
        champion: only windows that it scored count.
        newest: the newest window of data.
        measured: (window, value) that the champion scored, oldest first.
        metric: its name.
        worst: the worst value that is still put up with.
        higher_is_better: the metric's direction.
        needed: how many windows have to be worse.
        of_last: of how many latest ones.
    """
    latest = measured[-of_last:]
    worse = [
        (window, value)
        for window, value in latest
        if (value < worst if higher_is_better else value > worst)
    ]
    if len(worse) < needed:
        return []
    shown = ", ".join(f"{value:.4g} in {window}" for window, value in worse)
    reason = (
        f"{metric} was beyond {worst:g} in {len(worse)} of the last {len(latest)} windows: {shown}"
    )
    cause = f"performance:{latest[-1][0]}:v{champion.version}"
    return [Evidence(cause, "performance", newest, reason, champion.version)]


def new_data(champion: Champion, newest: str, enough: int) -> list[Evidence]:
    """Return that so many windows have matured which the champion was not trained on."""
    if len(champion.unseen) < enough:
        return []
    reason = f"the champion never saw {counted(len(champion.unseen), 'window')} that matured since"
    cause = f"new_data:{champion.unseen[-1]}:v{champion.version}"
    return [Evidence(cause, "new_data", newest, reason, champion.version)]


def schedule(champion: Champion, newest: str, every: int) -> list[Evidence]:
    """Return that the calendar says so: every so many windows since the last attempt."""
    if champion.since < every:
        return []
    reason = f"{counted(champion.since, 'window')} since the last retraining, one every {every} is declared"
    cause = f"schedule:{newest}:v{champion.version}"
    return [Evidence(cause, "schedule", newest, reason, champion.version)]
