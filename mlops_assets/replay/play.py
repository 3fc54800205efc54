"""History, window by window, through the very assets and sensors of production.

The clock is the data's: landing a window moves it on. One turn: land window w, score it, measure
what has matured, judge, decide; a champion promoted now serves from the next window on.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from polars.exceptions import PolarsError

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
from mlops_assets.batches.reading import checksum
from mlops_assets.declaration import Declaration
from mlops_assets.errors import BatchRefusedError, DeclarationError, HomeError
from mlops_assets.importing.declared import history
from mlops_assets.monitoring.controls import add_control
from mlops_assets.monitoring.due import Waiting, Work, due, waiting
from mlops_assets.monitoring.given_up import retraining_given_up
from mlops_assets.progress import Progress
from mlops_assets.project import Project
from mlops_assets.records.store import Store
from mlops_assets.replay.connections import kept_open
from mlops_assets.replay.gain import measure
from mlops_assets.replay.player import Player
from mlops_assets.replay.recovery import recover
from mlops_assets.sensors.data import RunsOfWork, given_up
from mlops_assets.versions import Repository, open_repository
from mlops_assets.words import counted


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


def play(
    project: Project,
    model: str,
    *,
    since: str | None,
    until: str | None,
    by: str,
    progress: Progress,
) -> Summary:
    """Play the declared history of a model; go on where an earlier replay stopped.

    Args:
        project: that declares it.
        model: its name.
        since: the first window to play; None: the first of which there is a file.
        until: the last window to play.
        by: who asks for it, for the record.
        progress: is told of each window.

    Raises:
        HomeError: another replay or `mlops dev` holds the home.
        DeclarationError: there is no history, neither declared nor imported.
        UnknownNameError: no such model or window.

    """
    begun = time.monotonic()
    with project.home.held(f"mlops replay {model}"), kept_open():
        declaration = project.playable(model)
        repository = open_repository(project.home.repository, project.home.cache)
        store = Store(project.home.store)
        files, skipped = history(project.root, declaration, since, until)
        for line in skipped:
            progress.note(f"skipped {line}")
        reconsider_refused(repository, declaration)
        windows = windows_to_play(repository, store, declaration, files, until)
        progress.begin(len(windows))
        recover(project, progress.tell)
        refuse_gaps(declaration, repository, files)
        player = Player(project, declaration, progress.tell)
        for work in given_up_work(player, repository, store):  # the cause may be mended by now
            add_control(store, model, "retry", work.window, by=by)
        played = 0
        for window in windows:
            played += play_window(player, repository, window, files.get(window, {}))
            progress.step(window)
        player.settle(until)
        refused = [
            f"{one.kind} of {one.window}: {'; '.join(one.problems)}"
            for one in landings(repository, declaration.name)
            if one.refused and (until is None or one.window <= until)
        ]
        not_done = [
            f"{', '.join(work.stages)} of {work.window}: its runs fail, see them in Dagster"
            for work in given_up_work(player, repository, store)
        ]
        not_done += work_of_others(player, repository, store, until)
        if (crashed := retraining_given_up(store, model)) is not None:
            not_done.append(
                f"retraining on {crashed.trigger} of {crashed.window}: it is tried no "
                f"more; mend the cause, then `mlops retrain {model}`"
            )
        progress.tell("measuring")
        landed = landed_windows(repository, declaration, MAIN)
        gain = measure(project.home, declaration, repository)
    return Summary(
        model=model,
        played=played,
        refused=tuple(refused),
        failed=(*player.failed, *not_done),
        waiting=tuple(waiting(repository, store, declaration)),
        skipped=tuple(skipped),
        windows=gain.windows,
        retrainings=gain.retrainings,
        rows=gain.rows,
        metric=declaration.metric,
        loop=gain.loop,
        frozen=gain.frozen,
        seconds=time.monotonic() - begun,
        newest=landed.newest,
    )


def play_window(
    player: Player, repository: Repository, window: str, files: dict[Kind, Path]
) -> bool:
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


def windows_to_play(
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


def refuse_gaps(
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


def given_up_work(player: Player, repository: Repository, store: Store) -> list[Work]:
    """Return the work that failed as often as declared and is not tried any more."""
    left = due(repository, store, player.declaration)
    return given_up(player.instance, store, player.declaration, left)


def work_of_others(
    player: Player, repository: Repository, store: Store, until: str | None
) -> list[str]:
    """Return what was left to others: another process works on it, or nobody knows whether."""
    left = due(repository, store, player.declaration, until)
    runs = RunsOfWork.read(player.instance, store, player.declaration, left)
    return [
        f"{', '.join(work.stages)} of {work.window}: run {runs.busy[work.window][:8]} in Dagster "
        "has not ended; play again once it has, or cancel it there"
        for work in left
        if work.window in runs.busy
    ]
