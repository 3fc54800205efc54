"""`mlops replay`: history, window by window, through the very assets and sensors of production.

The clock is the data's: landing a window moves it on. One turn: land window w, score it, measure
what has matured, judge, decide; a champion promoted now serves from the next window on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mlops_assets.batches.landing import KINDS, MAIN, Kind, land, landings
from mlops_assets.batches.maturity import landed_windows
from mlops_assets.batches.reading import READABLE
from mlops_assets.cli.control import write_control
from mlops_assets.cli.output import stderr, stdout
from mlops_assets.cli.project import Project
from mlops_assets.declaration import Declaration
from mlops_assets.errors import DeclarationError, HomeError, UnknownNameError
from mlops_assets.learning.metrics import metric_named
from mlops_assets.monitoring.due import Work, due
from mlops_assets.profiles.store import Store
from mlops_assets.versions import Repository, open_repository

if TYPE_CHECKING:
    from mlops_assets.cli.playing import Player


@dataclass(frozen=True)
class Summary:
    """What a replay did and what it was worth."""

    model: str
    played: int
    refused: tuple[str, ...]
    windows: int
    retrainings: int
    rows: int
    metric: str
    loop: float | None
    frozen: float | None
    seconds: float
    ends: str

    def as_json(self) -> dict[str, Any]:
        """Return the documented form."""
        return {
            "model": self.model,
            "windows": self.windows,
            "played": self.played,
            "retrainings": self.retrainings,
            "rows": self.rows,
            "loop": {self.metric: self.loop},
            "frozen": {self.metric: self.frozen},
            "refused": list(self.refused),
            "seconds": round(self.seconds, 1),
        }

    def print(self) -> None:
        """Say it to a person, with the next command to try."""
        stdout.print()
        if self.played == 0:
            stdout.print(
                f"[bold]{self.model}[/bold]: nothing was left to play, nothing was changed."
            )
        else:
            stdout.print(
                f"[bold]{self.model}[/bold]: played {self.played} windows up to {self.ends} "
                f"in {self.seconds:.0f} s."
            )
        for problem in self.refused:
            stdout.print(f"  [red]refused[/red] {escape(problem)}")
        if self.loop is None or self.frozen is None:
            stdout.print("  No window has both predictions and mature labels yet.")
        else:
            gain = metric_named(self.metric).gain(self.loop, self.frozen)
            stdout.print(
                f"  {self.windows} windows, {self.rows:,} labelled rows scored. Mean {self.metric} "
                "of a window, measured on the same rows, the gain last:"
            )
            stdout.print(f"    the first model, frozen       {self.frozen:,.4f}")
            stdout.print(
                f"    retrained {self.retrainings} times on evidence  {self.loop:,.4f}   "
                f"[bold]{gain:+,.4f}[/bold]"
            )
        stdout.print()
        stdout.print("  What was decided and why:  .venv/bin/mlops status", markup=False)
        stdout.print("  Next, see it and land a week by hand:  make dev", markup=False)


def replay_model(model: str, *, since: str | None = None, until: str | None = None) -> Summary:
    """Play the declared history of a model; go on where an earlier replay stopped.

    Raises:
        HomeError: another replay or `mlops dev` holds the home.
        DeclarationError: there is no history, neither declared nor imported.
        UnknownNameError: no such model or window.

    """
    project = Project.find()
    begun = time.monotonic()
    with project.home.held(f"mlops replay {model}"):
        declaration = project.declaration(model)
        repository = open_repository(project.home.repository, project.home.cache)
        store = Store(project.home.store)
        files = history(project, declaration, since, until)
        windows = in_turn(repository, store, declaration, files, until)
        from mlops_assets.cli.playing import Player
        from mlops_assets.cli.recovery import recover
        from mlops_assets.cli.worth import measure

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeElapsedColumn(), console=stderr, transient=True) as progress:
            task = progress.add_task(f"{model}: opening", total=len(windows))

            def tell(message: str) -> None:
                progress.update(task, description=f"{model}: {message}"[:70])
                if "failed" in message or "killed" in message:
                    progress.console.print(f"  {escape(message)}")

            recover(project, tell)
            in_order(declaration, repository, files)
            player = Player(project, declaration, tell)
            given_up = stuck(player, repository, project)
            for work in given_up:  # the cause may be mended by now
                write_control(store, model, "retry", work.window)
            refused = []
            done = 0
            for at, window in enumerate(windows, 1):
                changed, problems = turn(player, repository, window, files.get(window, {}))
                refused += problems
                done += changed
                progress.advance(task)
                if not stderr.is_terminal and (at % 10 == 0 or at == len(windows)):
                    # a log shows no bar; a line now and then says that it lives
                    stderr.print(f"{model}: window {at} of {len(windows)}, {window}", markup=False)
            player.settle(until)
            refused += [
                f"{', '.join(work.stages)} of {work.window}: its runs fail, see them in Dagster"
                for work in stuck(player, repository, project)
            ]
            progress.update(task, description=f"{model}: measuring")
            landed = landed_windows(repository, declaration, MAIN)
            worth = measure(project, declaration, repository)
        return Summary(
            model=model,
            played=done,
            refused=tuple(refused),
            windows=worth.windows,
            retrainings=worth.retrainings,
            rows=worth.rows,
            metric=declaration.metric,
            loop=worth.loop,
            frozen=worth.frozen,
            seconds=time.monotonic() - begun,
            ends=landed.newest or "nothing",
        )


def turn(
    player: Player, repository: Repository, window: str, files: dict[Kind, Path]
) -> tuple[bool, list[str]]:
    """Play one window; return whether anything was done, and what was refused.

    A window before the newest landed one was played already: nothing of it may be decided again
    under an earlier clock. Its labels may still have been missing.
    """
    newest = landed_windows(repository, player.declaration, MAIN).newest
    if newest is not None and window < newest:
        return False, []
    before = player.runs
    problems = []
    # the labels first: should this be killed in between, nothing is decided without them
    for kind in reversed(KINDS):
        if kind not in files:
            continue
        landing = land(repository, player.declaration, files[kind], kind=kind, window=window)
        if landing is not None and landing.refused:
            problems.append(f"{kind} of {window}: {'; '.join(landing.problems)}")
    player.settle(until=window)
    problems += [
        f"{found.kind} of {window}: {'; '.join(found.problems)}"
        for found in landings(repository, player.declaration.name)
        if found.refused and found.window == window and player.runs > before
    ]
    return player.runs > before, problems


def in_turn(
    repository: Repository,
    store: Store,
    declaration: Declaration,
    files: Mapping[str, object],
    until: str | None,
) -> list[str]:
    """Return the windows to play, oldest first: of the history, and imported or landed already.

    Raises:
        DeclarationError: there is nothing that could ever be played.

    """
    waiting = {work.window for work in due(repository, store, declaration, until)}
    windows = sorted(waiting | set(files))
    if not windows and not landed_windows(repository, declaration, MAIN).batches:
        raise DeclarationError(
            f"{declaration.name}: no history to play; `mlops import` brings one in, or "
            "batches.history and labels.history name folders of files such as "
            f"{declaration.windows.start}.parquet"
        )
    return windows


def in_order(
    declaration: Declaration, repository: Repository, files: dict[str, dict[Kind, Path]]
) -> None:
    """Refuse to play windows that lie before one that has landed already: time can't go back.

    Raises:
        HomeError: names the windows that would be skipped.

    """
    refused = {one.window for one in landings(repository, declaration.name) if one.refused}
    waiting = {one.window for one in landings(repository, declaration.name) if not one.refused}
    main = set(landed_windows(repository, declaration, MAIN).batches)
    newest = max(main | waiting, default="")
    skipped = [
        window
        for window, kinds in files.items()
        if "batches" in kinds and window < newest and window not in main | refused | waiting
    ]
    if skipped:
        raise HomeError(
            f"{newest} has landed, but {len(skipped)} windows of the history before it have not "
            f"({skipped[0]} to {skipped[-1]}): a replay can't go back in time. Land them by hand "
            "with `mlops land`, or start over in an empty home (MLOPS_HOME, or `make clean`)"
        )


def stuck(player: Player, repository: Repository, project: Project) -> list[Work]:
    """Return the work that failed as often as declared and is not tried any more."""
    from mlops_assets.sensors.data import given_up

    store, declaration = Store(project.home.store), player.declaration
    return [
        work
        for work in due(repository, store, declaration)
        if given_up(player.instance, store, declaration, work)
    ]


def history(
    project: Project, declaration: Declaration, since: str | None, until: str | None
) -> dict[str, dict[Kind, Path]]:
    """Return window -> kind -> file, oldest first, of what is to be played.

    Without `until`, to the end that the declaration gives to its history.
    """
    for window in (since, until):
        if window is not None:
            declaration.windows.begins(window)
    last = until or declaration.batches.history_until
    found: dict[str, dict[Kind, Path]] = {}
    kinds: tuple[tuple[Kind, str | None], ...] = (
        ("batches", declaration.batches.history),
        ("labels", declaration.labels.history),
    )
    for kind, folder in kinds:
        for window, file in in_folder(project, declaration, folder):
            if (since is None or window >= since) and (last is None or window <= last):
                found.setdefault(window, {})[kind] = file
    return {window: found[window] for window in sorted(found)}


def in_folder(
    project: Project, declaration: Declaration, folder: str | None
) -> Iterator[tuple[str, Path]]:
    """Yield (window, file) of the files in a folder that are named after a window."""
    if folder is None:
        return
    place = project.root / folder
    if not place.is_dir():
        raise DeclarationError(
            f"{declaration.name}: no folder {place}, which the declaration names"
        )
    for file in sorted(place.iterdir()):
        if file.suffix in READABLE:
            try:
                declaration.windows.begins(file.stem)
            except UnknownNameError as error:
                raise DeclarationError(f"{file}: {error}") from error
            yield file.stem, file
