"""A file that a person lands: checked on its branch, and failed work on its window tried again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mlops_assets import clock
from mlops_assets.batches.checks import Report
from mlops_assets.batches.landing import (
    Kind,
    Landing,
    check_landing,
    delivered,
    newest,
    put,
)
from mlops_assets.batches.maturity import refuse_jump
from mlops_assets.declaration import Declaration
from mlops_assets.monitoring.controls import add_control
from mlops_assets.monitoring.given_up import windows_given_up
from mlops_assets.records.store import Store
from mlops_assets.versions import Repository


@dataclass(frozen=True)
class Landed:
    """What became of a file."""

    landing: Landing | None  # None: main holds exactly this already
    report: Report | None  # of what landed
    retried: bool = False  # work on its window had been given up, and is tried again
    waits_until: datetime | None = None  # its window's end, which is yet to come
    waiting: str | None = None  # branch of what landed before a refused file, and still waits


def land_file(
    repository: Repository,
    store: Store,
    declaration: Declaration,
    file: Path,
    *,
    kind: Kind | None,
    window: str | None,
    replace: bool,
    jump: bool,
    by: str,
) -> Landed:
    """Land a file on its branch and check it there; only then what waited before it is put away.

    Args:
        repository: where it lands.
        store: with what is known of the work on its window.
        declaration: of the model.
        file: Parquet or CSV, with the rows of one window.
        kind: what it holds; None: its columns say it.
        window: whose rows it holds; None: its name or its rows say it.
        replace: whether rows that landed before and are not in it may go.
        jump: whether a batch may lie far ahead of all others.
        by: who lands it, for the record.

    Raises:
        MlopsError: no such file, no declared window, one that is yet to begin, or a batch far
            ahead of all others without `jump`.

    """
    with delivered(
        repository, declaration, file, kind=kind, window=window, replace=replace
    ) as delivery:
        kind, window = delivery.kind, delivery.window
        if kind == "batches" and not jump:
            refuse_jump(repository, declaration, window)
        landing = put(repository, declaration, delivery, again=True, taken_back=True)
    retried = window in windows_given_up(store, declaration.name)
    if retried:  # its runs had failed too often: a person lands it again, so they may try again
        add_control(store, declaration.name, "retry", window, by=by)
    report = waits_until = waiting = None
    if landing is not None and not landing.refused:
        landing, report = check_landing(repository, declaration, landing)
    if landing and landing.refused:
        before = newest(repository, declaration, kind, window)
        waiting = before.branch if before else None
    elif landing and not declaration.windows.has_ended(window, clock.now()):
        waits_until = declaration.windows.ends(window)
    return Landed(landing, report, retried, waits_until, waiting)
