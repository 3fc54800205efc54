"""The data's own clock: which windows have landed, and whose labels can be trusted by now."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from mlops_assets import clock
from mlops_assets.batches.held import Held, held
from mlops_assets.batches.landing import KINDS, landed_versions
from mlops_assets.declaration import Declaration
from mlops_assets.errors import BatchRefusedError

if TYPE_CHECKING:
    from mlops_assets.versions import Repository

#: a batch further ahead of the newest one than so many windows is more often misdated than awaited
MOST_AHEAD = 4


@dataclass(frozen=True)
class LandedWindows:
    """What a commit holds of a model: the data's own clock.

    Attributes:
        batches: windows with a batch, sorted.
        labels: windows with labels, sorted.
        mature: windows with both whose labels can be trusted by now, sorted.
        withdrawn: windows of which batch or labels were taken back, and nothing has landed since.
        now: the end of the newest batch's window that is over; None before the first.

    """

    batches: tuple[str, ...]
    labels: tuple[str, ...]
    mature: tuple[str, ...]
    now: datetime | None
    withdrawn: tuple[str, ...] = ()

    @property
    def newest(self) -> str | None:
        """The newest window with a batch."""
        return self.batches[-1] if self.batches else None


@dataclass(frozen=True)
class Missing:
    """Windows that should be there by the data's own clock, and are not; oldest first.

    Attributes:
        batches: between the first and the newest landed window.
        labels: of landed windows, and due to be trusted by now.

    """

    batches: tuple[str, ...]
    labels: tuple[str, ...]


def missing_windows(landed: LandedWindows, declaration: Declaration) -> Missing:
    """Say what did not land though later data did."""
    if not landed.batches or landed.now is None:
        return Missing((), ())
    asked = (
        landed.batches,
        landed.labels,
        landed.withdrawn,
        declaration.windows,
        declaration.labels,
    )
    known = _missing.get(declaration.name)
    if known is None or known[0] != asked:
        known = asked, _missing_of(landed, declaration, landed.now)
        _missing[declaration.name] = known
    return known[1]


def _missing_of(landed: LandedWindows, declaration: Declaration, now: datetime) -> Missing:
    there = {*landed.batches, *landed.withdrawn}
    labelled = {*landed.labels, *landed.withdrawn}
    absent = []
    window, newest = landed.batches[0], landed.batches[-1]
    while window < newest:
        if window not in there:
            absent.append(window)
        window = declaration.windows.key(declaration.windows.ends(window))
    due = bisect_right(landed.batches, now, key=declaration.matures)
    late = [window for window in landed.batches[:due] if window not in labelled]
    return Missing(tuple(absent), tuple(late))


def landed_windows(repository: Repository, declaration: Declaration, ref: str) -> LandedWindows:
    """Say which windows a commit holds and which are mature on the data's time.

    What others put beside them that is no declared window counts for nothing, nor does a window
    that has not ended yet by the wall clock: it would set the data's clock to a time to come.
    """
    there = held(repository, declaration.name, ref)
    present = declaration.windows.key(clock.now())
    asked = (there.commit, present, declaration.windows, declaration.labels)
    known = _landed.get(declaration.name)
    if known is None or known[0] != asked:
        known = asked, _landed_of(there, declaration, present)
        _landed[declaration.name] = known
    return known[1]


def _landed_of(there: Held, declaration: Declaration, present: str) -> LandedWindows:
    batches, labels = (
        sorted(
            key for key in there.files[kind] if key < present and declaration.windows.declares(key)
        )
        for kind in KINDS
    )
    withdrawn = tuple(sorted({name for kind in KINDS for name in there.withdrawn[kind]}))
    if not batches:
        return LandedWindows((), tuple(labels), (), None, withdrawn)
    now = declaration.windows.ends(batches[-1])
    due = bisect_right(batches, now, key=declaration.matures)
    mature = sorted(set(batches[:due]) & set(labels))
    return LandedWindows(tuple(batches), tuple(labels), tuple(mature), now, withdrawn)


# of each model the newest answer: sensors ask every few seconds, and a history can be long
_landed: dict[str, tuple[Hashable, LandedWindows]] = {}
_missing: dict[str, tuple[Hashable, Missing]] = {}


def refuse_jump(repository: Repository, declaration: Declaration, window: str) -> None:
    """Refuse a batch that would move the data's clock by more than four windows.

    Raises:
        BatchRefusedError: says from where to where, and the way out.

    """
    windows = declaration.windows
    known = landed_versions(repository, declaration, "batches")
    newest = max((key for key in known if windows.declares(key)), default=window)
    ahead = windows.distance(newest, window)
    if ahead > MOST_AHEAD:
        raise BatchRefusedError(
            f"{window} is {ahead} windows after {newest}, the newest batch of {declaration.name}: "
            "the data's clock would jump there, and count all between as missing and their labels "
            "as late. See whether its dates are read as they were meant; `--jump` lands it "
            "nevertheless"
        )
