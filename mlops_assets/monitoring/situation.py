"""What the loop has to know of a model at a moment, to decide whether it is trained again.

Production reads it from ledger and records, a backtest from the models that it fitted; what is
concluded from it (`monitoring.loop`) is one and the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from mlops_assets.batches.maturity import LandedWindows
from mlops_assets.decisions.learnable import Labelled
from mlops_assets.declaration import Declaration
from mlops_assets.learning.twins import Comparison


@dataclass(frozen=True)
class Champion:
    """The version that serves.

    Attributes:
        version: its number.
        window: the newest window when it was put in force; it serves from the next one on.
        training_windows: what it learnt from.
        unlike: what changed of the declared target since it learnt; empty where nothing did.

    """

    version: int
    window: str
    training_windows: Sequence[str]
    unlike: str = ""


@dataclass(frozen=True)
class Retraining:
    """One retraining that ended, promoted or refused.

    Attributes:
        window: the newest window of data then.
        trigger: of the evidence that it ran for.
        reason: why it ran, or why its challenger was refused.
        promoted: whether its challenger was.
        training_windows: what the promoted version, or the refused challenger, learnt from.
        minutes: of the run.
        alike: whether it was to learn what is declared now.

    """

    window: str
    trigger: str
    reason: str
    promoted: bool
    training_windows: Sequence[str]
    minutes: float
    alike: bool = True


@dataclass(frozen=True)
class WindowVerdict:
    """The drift verdict of one window against the champion, and the version of its batch."""

    verdict: str
    sentence: str
    batch_version: str


@dataclass(frozen=True)
class Running:
    """A retraining that has not ended: its cause, and its age in minutes of wall clock."""

    cause: str
    minutes: float


class Tried(Protocol):
    """What became of the runs for one cause."""

    @property
    def ended(self) -> int:
        """How many ended without a promotion or a refusal."""

    @property
    def cancelled(self) -> bool:
        """Whether a person cancelled the newest."""


class Runs(Protocol):
    """What the orchestrator knows of the retrainings of one model."""

    @property
    def running(self) -> Sequence[Running]:
        """Those that have not ended."""

    def tried(self, causes: Sequence[str]) -> Mapping[str, Tried]:
        """Return what became of the runs for each cause."""


@dataclass(frozen=True)
class Untried:
    """What became of no run at all."""

    ended: int = 0
    cancelled: bool = False


@dataclass(frozen=True)
class EndAtOnce:
    """Retrainings that end as they begin: none is ever in flight, none crashes."""

    running: Sequence[Running] = ()

    def tried(self, causes: Sequence[str]) -> dict[str, Untried]:
        """Return that nothing became of any."""
        return dict.fromkeys(causes, Untried())


class Situation(Protocol):
    """One model at one moment."""

    @property
    def declaration(self) -> Declaration:
        """What is declared of it now."""

    @property
    def landed(self) -> LandedWindows:
        """Which windows landed and have mature labels, and the time of the data."""

    @property
    def champion(self) -> Champion | None:
        """The version that serves, if one does."""

    @property
    def retrainings(self) -> Sequence[Retraining]:
        """Those that ended, oldest first; also of windows that are declared no more."""

    @property
    def runs(self) -> Runs:
        """The retrainings that have not ended, and what became of others."""

    @property
    def requests(self) -> Mapping[str, str]:
        """What persons asked for: cause -> who and why, in words."""

    @property
    def answered(self) -> AbstractSet[str]:
        """The causes that ended in a promotion, a refusal or a cancelled run."""

    @property
    def cancelled(self) -> Sequence[tuple[str, str]]:
        """Cause and window of each retraining that a person cancelled, oldest first."""

    @property
    def paused(self) -> str | None:
        """Who paused the model and why, in words; None: it is not paused."""

    def verdict(self, window: str) -> WindowVerdict | None:
        """Return the drift verdict of a window that the champion scored, if it did."""

    def metric(self, window: str) -> float | None:
        """Return the measured metric of the champion's scores of a window; None: there is none."""

    def twins(self, window: str) -> Comparison | None:
        """Return what a retraining before a window would have earned there; None: not judged."""

    def labelled(self, window: str) -> Labelled | None:
        """Return how many labels a mature window has; None: not counted by the declared target."""
