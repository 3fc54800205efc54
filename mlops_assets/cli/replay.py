"""`mlops replay`: history, window by window, through the very assets and sensors of production."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.markup import escape
from rich.progress import Progress as Bar
from rich.progress import TaskID

from mlops_assets.cli.output import called, shown, stderr, stdout
from mlops_assets.cli.person import who
from mlops_assets.cli.progress import counting
from mlops_assets.learning.metrics import metric_named
from mlops_assets.project import Project
from mlops_assets.replay.play import Summary, play
from mlops_assets.words import counted

EVERY = 10  # windows: how often a log, which shows no bar, says that the replay lives


@dataclass
class ReplayBar:
    """Shows how far a replay is."""

    model: str
    bar: Bar
    task: TaskID
    of: int = 0
    done: int = 0

    def begin(self, steps: int) -> None:
        """Count windows from nothing."""
        self.of = steps
        self.bar.update(self.task, total=steps)

    def tell(self, what: str) -> None:
        """Say what is worked on; what is bad news stays to be read."""
        self.bar.update(self.task, description=f"{self.model}: {what}"[:70])
        if "failed" in what or "killed" in what:
            self.bar.console.print(f"  {escape(what)}")

    def step(self, what: str) -> None:
        """Count a window as played."""
        self.bar.advance(self.task)
        self.done += 1
        if not stderr.is_terminal and (self.done % EVERY == 0 or self.done == self.of):
            stderr.print(f"{self.model}: window {self.done} of {self.of}, {what}", markup=False)

    def note(self, line: str) -> None:
        """Leave a line."""
        stderr.print(f"  {line}", markup=False)


def replay_model(model: str, *, since: str | None = None, until: str | None = None) -> Summary:
    """Play the declared history of a model; go on where an earlier replay stopped.

    Raises:
        HomeError: another replay or `mlops dev` holds the home.
        DeclarationError: there is no history, neither declared nor imported.
        UnknownNameError: no such model or window.

    """
    project = Project.find()
    with counting(f"{model}: opening") as (bar, task):
        return play(
            project,
            model,
            since=since,
            until=until,
            by=who(),
            progress=ReplayBar(model, bar, task),
        )


def documented(found: Summary) -> dict[str, Any]:
    """Return the documented form."""
    return {
        "model": found.model,
        "windows": found.windows,
        "played": found.played,
        "retrainings": found.retrainings,
        "rows": found.rows,
        "loop": {found.metric: found.loop},
        "frozen": {found.metric: found.frozen},
        "refused": list(found.refused),
        "failed": list(found.failed),
        "waiting": [
            {
                "kind": one.kind,
                "window": one.window,
                "reason": one.reason,
                "until": one.until and one.until.isoformat(),
            }
            for one in found.waiting
        ],
        "skipped": list(found.skipped),
        "seconds": round(found.seconds, 1),
    }


def show(found: Summary) -> None:
    """Print it for a person, with the next command to try."""
    stdout.print()
    if found.played == 0:
        stdout.print(f"[bold]{found.model}[/bold]: nothing was left to play, nothing was changed.")
    else:
        reached = f"up to {found.newest}" if found.newest else "of which none landed,"
        stdout.print(
            f"[bold]{found.model}[/bold]: played {counted(found.played, 'window')} {reached} "
            f"in {found.seconds:.0f} s."
        )
    for what, style, lines in (
        ("skipped", "yellow", found.skipped),
        ("waiting", "yellow", [f"{one.kind}: {one.reason}" for one in found.waiting]),
        ("refused", "red", found.refused),
        ("failed", "red", found.failed),
    ):
        for line in lines:
            stdout.print(f"  [{style}]{what}[/{style}] {shown(line)}")
    if not found.clean:
        stdout.print(
            f"  {counted(len(found.refused), 'refusal')} and "
            f"{counted(len(found.failed), 'failed run')}: mend the files, the declaration or "
            "the cause, then replay again; what was refused is tried again.",
            markup=False,
        )
    if found.loop is None or found.frozen is None:
        stdout.print("  No window has both predictions and mature labels yet.")
    else:
        gain = metric_named(found.metric).gain(found.loop, found.frozen)
        again = f"retrained {counted(found.retrainings, 'time')} on evidence"
        stdout.print(
            f"  {counted(found.windows, 'window')}, {counted(found.rows, 'labelled row')} scored. Mean {found.metric} "
            "of a window, measured on the same rows, the gain last:"
        )
        stdout.print(f"    the first model, frozen       {found.frozen:,.4f}")
        stdout.print(f"    {again:<29} {found.loop:,.4f}   [bold]{gain:+,.4f}[/bold]")
    stdout.print()
    mlops = called()
    stdout.print(f"  What was decided and why:  {mlops} status", markup=False)
    stdout.print(f"  Next, see it and land a window by hand:  {mlops} dev", markup=False)
