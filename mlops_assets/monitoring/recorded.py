"""The situation of a model as ledger and records tell it: production's, live and replayed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from mlops_assets.batches.maturity import LandedWindows
from mlops_assets.decisions.learnable import Labelled
from mlops_assets.declaration import Declaration
from mlops_assets.learning.twins import Comparison
from mlops_assets.monitoring.controls import newest_pause
from mlops_assets.monitoring.meaning import Series
from mlops_assets.monitoring.situation import Champion, Retraining, Runs, WindowVerdict
from mlops_assets.monitoring.staleness import compared_so_far
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Entry, Ledger, champion_of


class Measured(NamedTuple):
    """Of a window's newest performance."""

    champion: int
    value: float | None
    metric: str
    meaning: str | None


class Counted(NamedTuple):
    """Of a window's newest labels."""

    rows: int
    positives: int | None
    unknown: int
    meaning: str | None


@dataclass(frozen=True)
class RecordedSituation:
    """One tick's view of a model: read once, then only looked at."""

    declaration: Declaration
    landed: LandedWindows
    store: Store
    entries: tuple[Entry, ...]
    in_force: Entry | None
    runs: Runs

    @classmethod
    def read(
        cls,
        declaration: Declaration,
        landed: LandedWindows,
        store: Store,
        ledger: Ledger,
        runs: Runs,
    ) -> RecordedSituation:
        """Read the ledger; the store is asked as it goes."""
        entries = tuple(ledger.entries(declaration.name))
        return cls(declaration, landed, store, entries, champion_of(entries), runs)

    @cached_property
    def champion(self) -> Champion | None:
        """The version that serves, if one does."""
        entry = self.in_force
        if entry is None or entry.version is None:
            return None
        unlike = self._series.unlike(entry)
        return Champion(entry.version, entry.window, entry.training_windows, unlike)

    @cached_property
    def retrainings(self) -> list[Retraining]:
        """Those that ended, oldest first; letting an old version go is none."""
        took = {row.cause: row.minutes or 0.0 for row in self._outcomes}
        return [
            Retraining(
                window=entry.window,
                trigger=entry.trigger,
                reason=entry.reason,
                promoted=entry.event == "promoted",
                training_windows=entry.training_windows,
                minutes=took.get(entry.cause, 0.0),
                alike=self._series.learnt_now(entry),
            )
            for entry in self.entries
            if entry.event in ("promoted", "refused")
        ]

    @property
    def requests(self) -> dict[str, str]:
        """What persons asked for: cause -> who and why, in words."""
        rows = self.store.rows(kinds.Control, model=self.declaration.name, action="retrain")
        return {f"manual:{row.requested_at}": asked(row) for row in rows}

    @cached_property
    def answered(self) -> set[str]:
        """The causes that ended in a promotion, a refusal or a cancelled run."""
        return {*(row.cause for row in self._outcomes), *(cause for cause, _ in self.cancelled)}

    @cached_property
    def cancelled(self) -> list[tuple[str, str]]:
        """Cause and window of each retraining that a person cancelled."""
        rows = self.store.latest(kinds.Decision, model=self.declaration.name, code="cancelled")
        return [(row.cause, row.window) for row in rows]

    @property
    def paused(self) -> str | None:
        """Who paused the model and why, in words; None: it is not paused."""
        return paused(self.store, self.declaration.name)

    def verdict(self, window: str) -> WindowVerdict | None:
        """Return the drift verdict of a window that the champion scored, if it did."""
        rows = self.store.latest(kinds.Verdict, model=self.declaration.name, window=window)
        if not rows or self.champion is None or rows[-1].champion != self.champion.version:
            return None
        row = rows[-1]
        return WindowVerdict(row.verdict, row.sentence, row.batch_version)

    def metric(self, window: str) -> float | None:
        """Return the measured metric of the champion's scores of a window; None: there is none."""
        row = self._measured.get(window)
        if row is None or self.champion is None or row.champion != self.champion.version:
            return None
        return row.value if self._series.holds("performance", row) else None

    def twins(self, window: str) -> Comparison | None:
        """Return what a retraining before a window would have earned there; None: not judged."""
        return self._compared.get(window)

    def labelled(self, window: str) -> Labelled | None:
        """Return how many labels a mature window has; None: not counted by the declared target."""
        row = self._labels.get(window)
        if row is None or not self._series.holds("labels", row):
            return None
        return Labelled(row.rows - row.unknown, row.positives)

    @cached_property
    def _series(self) -> Series:
        return Series.of(self.declaration, self.store)

    @cached_property
    def _outcomes(self) -> list[kinds.Outcome]:
        return self.store.latest(kinds.Outcome, model=self.declaration.name)

    @cached_property
    def _measured(self) -> Mapping[str, Measured]:
        return self.store.newest(kinds.Performance, Measured, model=self.declaration.name)

    @cached_property
    def _labels(self) -> Mapping[str, Counted]:
        return self.store.newest(kinds.Labels, Counted, model=self.declaration.name)

    @cached_property
    def _compared(self) -> dict[str, Comparison]:
        assert self.in_force is not None, "asked of a model with a champion only"
        return compared_so_far(self.declaration, self.store, self._series, self.in_force)


def asked(row: kinds.Control) -> str:
    """Say who asked for a retraining, and why."""
    return f"{row.by} asked for it" + (f": {row.reason}" if row.reason else "")


def paused(store: Store, model: str) -> str | None:
    """Say who paused the model and why, or None."""
    row = newest_pause(store, model)
    if row is None or row.action == "resume":
        return None
    return f"paused by {row.by}" + (f" ({row.reason})" if row.reason else "")
