"""Which windows are learnt from, and which are held out to compare on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlops_assets.declaration import Declaration
from mlops_assets.errors import NotYetError, TrainingError
from mlops_assets.words import counted


@dataclass(frozen=True)
class Frame:
    """Windows by their keys, oldest first; `holdout` are the newest of `windows`."""

    windows: tuple[str, ...]
    holdout: tuple[str, ...]

    @property
    def training(self) -> tuple[str, ...]:
        """What a challenger learns from: everything but the holdout."""
        return self.windows[: len(self.windows) - len(self.holdout)]


def frame_of(mature: Sequence[str], *, least: int, newest: int | None, holdout: int) -> Frame:
    """Choose the windows of a training set.

    Split by time, never at random: a random split lets a model know the weather of the very days
    on which it is judged (on the flights it reads AUC .77 where the next month gives .65 to .72).

    Args:
        mature: keys of the windows whose labels can be trusted, oldest first.
        least: fewest windows to train at all.
        newest: length of a rolling frame; None takes everything mature.
        holdout: how many of the newest are held out.

    Raises:
        NotYetError: there are too few mature windows.
        TrainingError: all of them would be held out.

    """
    if holdout >= least:
        raise TrainingError(
            f"{holdout} held-out windows of at least {least} leave nothing to train on"
        )
    if len(mature) < least:
        raise NotYetError(
            "unmatured",
            f"{counted(len(mature), 'window')} with mature labels, the declaration asks for {least} before "
            "the first training; land more, or lower training.first_after",
        )
    windows = tuple(mature if newest is None else mature[-(newest + holdout) :])
    return Frame(windows, windows[len(windows) - holdout :])


def declared_frame(declaration: Declaration, mature: Sequence[str]) -> Frame:
    """Choose the windows of a training set as a model declares it; see `frame_of`.

    Raises:
        NotYetError: there are too few mature windows.
        TrainingError: all of them would be held out.

    """
    return frame_of(
        mature,
        least=declaration.training.first_after,
        newest=declaration.training.frame_windows,
        holdout=declaration.gates.holdout_windows,
    )
