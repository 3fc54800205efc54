"""`mlops replay`: history, window by window, through the very assets and sensors of production.

The clock is the data's: landing a window moves it on. One turn: land window w, score it, measure
what has matured, judge, decide; a champion promoted now serves from the next window on.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polars.exceptions import PolarsError
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mlops_assets import clock
from mlops_assets.batches.checks import Report
from mlops_assets.batches.landing import (
    KINDS,
    MAIN,
    Kind,
    land,
    landings,
    reconsider,
    refuse_on_main,
)
from mlops_assets.batches.maturity import landed_windows
from mlops_assets.batches.reading import checksum, ending, stem
from mlops_assets.cli.output import called, shown, stderr, stdout
from mlops_assets.cli.retrain import write_control
from mlops_assets.declaration import Declaration
from mlops_assets.errors import BatchRefusedError, DeclarationError, HomeError, UnknownNameError
from mlops_assets.learning.metrics import metric_named
from mlops_assets.monitoring.due import Waiting, Work, due, waiting
from mlops_assets.monitoring.given_up import retraining_given_up
from mlops_assets.project import Project
from mlops_assets.records.store import Store
from mlops_assets.versions import Repository, open_repository
from mlops_assets.words import counted

if TYPE_CHECKING:
    from mlops_assets.replay.player import Player


@dataclass(frozen=True)
class Summary:
    """What a replay did and what it was worth."""

    model: str
    played: int
    refused: tuple[str, ...]
    failed: tuple[str, ...]
    waiting: tuple[Waiting, ...]
    skipped: tuple[str, ...]
    windows: int
    retrainings: int
    rows: int
    metric: str
    loop: float | None
    frozen: float | None
    seconds: float
    newest: str | None

    @property
    def clean(self) -> bool:
        """Whether nothing was refused and no run failed."""
        return not self.refused and not self.failed

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
            "failed": list(self.failed),
            "waiting": [
                {
                    "kind": one.kind,
                    "window": one.window,
                    "reason": one.reason,
                    "until": one.until and one.until.isoformat(),
                }
                for one in self.waiting
            ],
            "skipped": list(self.skipped),
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
            reached = f"up to {self.newest}" if self.newest else "of which none landed,"
            stdout.print(
                f"[bold]{self.model}[/bold]: played {counted(self.played, 'window')} {reached} "
                f"in {self.seconds:.0f} s."
            )
        for what, style, lines in (
            ("skipped", "yellow", self.skipped),
            ("waiting", "yellow", [f"{one.kind}: {one.reason}" for one in self.waiting]),
            ("refused", "red", self.refused),
            ("failed", "red", self.failed),
        ):
            for line in lines:
                stdout.print(f"  [{style}]{what}[/{style}] {shown(line)}")
        if not self.clean:
            stdout.print(
                f"  {counted(len(self.refused), 'refusal')} and "
                f"{counted(len(self.failed), 'failed run')}: mend the files, the declaration or "
                "the cause, then replay again; what was refused is tried again.",
                markup=False,
            )
        if self.loop is None or self.frozen is None:
            stdout.print("  No window has both predictions and mature labels yet.")
        else:
            gain = metric_named(self.metric).gain(self.loop, self.frozen)
            again = f"retrained {counted(self.retrainings, 'time')} on evidence"
            stdout.print(
                f"  {counted(self.windows, 'window')}, {counted(self.rows, 'labelled row')} scored. Mean {self.metric} "
                "of a window, measured on the same rows, the gain last:"
            )
            stdout.print(f"    the first model, frozen       {self.frozen:,.4f}")
            stdout.print(f"    {again:<29} {self.loop:,.4f}   [bold]{gain:+,.4f}[/bold]")
        stdout.print()
        mlops = called()
        stdout.print(f"  What was decided and why:  {mlops} status", markup=False)
        stdout.print(f"  Next, see it and land a window by hand:  {mlops} dev", markup=False)


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
        declaration = project.playable(model)
        repository = open_repository(project.home.repository, project.home.cache)
        store = Store(project.home.store)
        files, skipped = history(project, declaration, since, until)
        for line in skipped:
            stderr.print(f"  skipped {line}", markup=False)
        reconsider_refused(repository, declaration)
        windows = in_turn(repository, store, declaration, files, until)
        from mlops_assets.replay.connections import kept_open
        from mlops_assets.replay.gain import measure
        from mlops_assets.replay.player import Player
        from mlops_assets.replay.recovery import recover

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
        )
        with (
            kept_open(),
            Progress(*columns, TimeElapsedColumn(), console=stderr, transient=True) as progress,
        ):
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
            done = 0
            for at, window in enumerate(windows, 1):
                done += turn(player, repository, window, files.get(window, {}))
                progress.advance(task)
                if not stderr.is_terminal and (at % 10 == 0 or at == len(windows)):
                    # a log shows no bar; a line now and then says that it lives
                    stderr.print(f"{model}: window {at} of {len(windows)}, {window}", markup=False)
            player.settle(until)
            refused = [
                f"{one.kind} of {one.window}: {'; '.join(one.problems)}"
                for one in landings(repository, declaration.name)
                if one.refused and (until is None or one.window <= until)
            ]
            not_done = [
                f"{', '.join(work.stages)} of {work.window}: its runs fail, see them in Dagster"
                for work in stuck(player, repository, project)
            ]
            not_done += busy(player, repository, store, until)
            if (crashed := retraining_given_up(store, model)) is not None:
                not_done.append(
                    f"retraining on {crashed['trigger']} of {crashed['window']}: it is tried no "
                    f"more; mend the cause, then `mlops retrain {model}`"
                )
            progress.update(task, description=f"{model}: measuring")
            landed = landed_windows(repository, declaration, MAIN)
            worth = measure(project, declaration, repository)
        return Summary(
            model=model,
            played=done,
            refused=tuple(refused),
            failed=(*player.failed, *not_done),
            waiting=tuple(waiting(repository, store, declaration)),
            skipped=tuple(skipped),
            windows=worth.windows,
            retrainings=worth.retrainings,
            rows=worth.rows,
            metric=declaration.metric,
            loop=worth.loop,
            frozen=worth.frozen,
            seconds=time.monotonic() - begun,
            newest=landed.newest,
        )


def turn(player: Player, repository: Repository, window: str, files: dict[Kind, Path]) -> bool:
    """Play one window; return whether anything was done.

    A window before the newest landed one was played already: nothing of it may be decided again
    under an earlier clock. Only what was refused of it lands late, should its file be another now.
    """
    model = player.declaration.name
    newest = landed_windows(repository, player.declaration, MAIN).newest
    late = newest is not None and window < newest
    known = [one for one in landings(repository, model) if one.window == window]
    refused = {one.kind for one in known if one.refused}
    before = player.runs
    # the labels first: should this be killed in between, nothing is decided without them
    for kind in reversed(KINDS):
        if kind not in files or (late and kind not in refused):
            continue
        try:
            land(repository, player.declaration, files[kind], kind=kind, window=window)
        except (BatchRefusedError, PolarsError) as error:  # it can't be read: the others can
            unreadable = Report(0, (str(error).splitlines()[0],), (), {})
            try:
                version = checksum(files[kind])
            except OSError:  # a folder, a link to nothing, a file of somebody else's
                version = hashlib.sha256(str(files[kind]).encode()).hexdigest()
            refuse_on_main(repository, player.declaration, kind, window, version, unreadable)
    if not late or known:
        player.settle(until=newest if late else window)
    return player.runs > before


def reconsider_refused(repository: Repository, declaration: Declaration) -> None:
    """Check again what was refused: the declaration may have been mended since.

    But nothing that was mended by another file: one that waits and landed later is what is meant.
    """
    waits = set()
    for landing in reversed(landings(repository, declaration.name)):
        of = (landing.kind, landing.window)
        if not landing.refused:
            waits.add(of)
        elif of not in waits and declaration.windows.declares(landing.window):
            reconsider(repository, declaration, landing)


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
    windows = sorted(
        {one.window for one in due(repository, store, declaration, until)} | set(files)
    )
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
    known = landings(repository, declaration.name)
    refused = {one.window for one in known if one.refused}
    now = clock.now()
    # one that is not over yet is played when it is, however far it lies ahead
    landed = {
        one.window
        for one in known
        if not one.refused and declaration.windows.has_ended(one.window, now)
    }
    main = set(landed_windows(repository, declaration, MAIN).batches)
    newest = max(main | landed, default="")
    skipped = [
        window
        for window, kinds in files.items()
        if "batches" in kinds and window < newest and window not in main | refused | landed
    ]
    if skipped:
        raise HomeError(
            f"{newest} has landed, but {counted(len(skipped), 'window')} of the history before it did not "
            f"({skipped[0]} to {skipped[-1]}): a replay can't go back in time. Land them by hand "
            "with `mlops land`, or start over in an empty home (MLOPS_HOME, or `make clean`)"
        )


def stuck(player: Player, repository: Repository, project: Project) -> list[Work]:
    """Return the work that failed as often as declared and is not tried any more."""
    from mlops_assets.sensors.data import given_up

    store, declaration = Store(project.home.store), player.declaration
    waiting = due(repository, store, declaration)
    return given_up(player.instance, store, declaration, waiting)


def busy(player: Player, repository: Repository, store: Store, until: str | None) -> list[str]:
    """Return what was left to others: another process works on it, or nobody knows whether."""
    from mlops_assets.sensors.data import RunsOfWork

    left = due(repository, store, player.declaration, until)
    runs = RunsOfWork.read(player.instance, store, player.declaration, left)
    return [
        f"{', '.join(work.stages)} of {work.window}: run {runs.busy[work.window][:8]} in Dagster "
        "has not ended; play again once it has, or cancel it there"
        for work in left
        if work.window in runs.busy
    ]


def history(
    project: Project, declaration: Declaration, since: str | None, until: str | None
) -> tuple[dict[str, dict[Kind, Path]], list[str]]:
    """Return window -> kind -> file, oldest first, of what is to be played; and what is left out.

    Without `until`, to the end that the declaration gives to its history. A file of no declared
    window, as of a month that began before the first one, or of a window that is yet to begin is
    left out, with a line that says why.
    """
    for window in (since, until):
        if window is not None:
            declaration.windows.begins(window)
    last = until or declaration.batches.history_until
    now = clock.now()
    found: dict[str, dict[Kind, Path]] = {}
    skipped: list[str] = []
    kinds: tuple[tuple[Kind, str | None], ...] = (
        ("batches", declaration.batches.history),
        ("labels", declaration.labels.history),
    )
    for kind, folder in kinds:
        for file in in_folder(project, declaration, folder):
            window = stem(file)
            try:
                declaration.windows.begins(window)
            except UnknownNameError as error:
                skipped.append(f"{file}: {error}")
                continue
            if not declaration.windows.has_begun(window, now):
                skipped.append(f"{file}: {window} is yet to begin")
            elif (since is None or window >= since) and (last is None or window <= last):
                found.setdefault(window, {})[kind] = file
    return {window: found[window] for window in sorted(found)}, skipped


def in_folder(project: Project, declaration: Declaration, folder: str | None) -> Iterator[Path]:
    """Yield the files in a folder that can be read, by name."""
    if folder is None:
        return
    place = project.root / folder
    if not place.is_dir():
        raise DeclarationError(
            f"{declaration.name}: no folder {place}, which the declaration names"
        )
    for file in sorted(place.iterdir()):
        if ending(file):
            yield file
