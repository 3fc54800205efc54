"""What the decision sensor goes by: evidence, and the facts that the governor weighs it with."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dagster as dg

from mlops_assets.assets.request import CAUSE_TAG
from mlops_assets.batches.maturity import LandedWindows
from mlops_assets.decisions import attempts as past
from mlops_assets.decisions import evidence as speaks
from mlops_assets.decisions.attempts import Attempt
from mlops_assets.decisions.governor import Evidence, Facts, Rules
from mlops_assets.decisions.learnable import Labelled, Obstacle, obstacle
from mlops_assets.decisions.staleness import Staleness
from mlops_assets.declaration import Declaration
from mlops_assets.learning.frames import frame_of
from mlops_assets.learning.metrics import metric_named
from mlops_assets.monitoring.meaning import Series
from mlops_assets.monitoring.staleness import champion_staleness
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Entry, Ledger
from mlops_assets.sensors.runs import Tried, age_minutes, by_tag, is_of, tried


def rules_of(declaration: Declaration) -> Rules:
    """Return what the governor has to keep to."""
    declared = declaration.retraining
    return Rules(
        first_after=declaration.training.first_after,
        cooldown_windows=declared.cooldown_windows,
        holdout_windows=declaration.gates.holdout_windows,
        in_flight_minutes=declared.in_flight_minutes,
        attempts=declared.attempts,
        breaker_after=declared.breaker_after,
        breaker_windows=declared.breaker_windows,
        runs_per_month=declared.runs_per_month,
        minutes_per_month=declared.minutes_per_month,
    )


@dataclass(frozen=True)
class Situation:
    """One tick's view of a model: read once, then only looked at."""

    declaration: Declaration
    landed: LandedWindows
    store: Store
    ledger: Ledger
    champion: Entry | None
    running: Sequence[dg.RunRecord] = ()  # the retrainings that have not ended

    @classmethod
    def read(
        cls,
        declaration: Declaration,
        landed: LandedWindows,
        store: Store,
        ledger: Ledger,
        running: Sequence[dg.RunRecord] = (),
    ) -> Situation:
        """Read the ledger; the store is asked as it goes."""
        champion = ledger.champion(declaration.name)
        return cls(declaration, landed, store, ledger, champion, running)

    def evidence(self, failed: Callable[[str, Exception], None]) -> list[Evidence]:
        """Return what speaks for a retraining now and was not answered yet.

        A trigger that fails is told to `failed`; what others and persons say is heard all the same.
        """
        model, newest = self.declaration.name, self.landed.newest
        if newest is None:
            return []
        version = self.champion.version if self.champion else None
        found = [
            Evidence(f"manual:{row['requested_at']}", "manual", newest, asked(row), version)
            for row in self.store.rows("controls", model=model, action="retrain")
        ]
        if self.champion is None or version is None:
            least = self.declaration.training.first_after
            found += speaks.initial(self.landed.mature, newest, least)
        else:
            since = self.since_training
            unseen = unseen_windows(self.landed, self.champion)
            champion = speaks.Champion(version, since or 0, unseen)
            if unlike := self.series.unlike(self.champion):
                now, mature = self.series.now, self.landed.mature
                found += speaks.new_target(champion, newest, mature, unlike, now.learnt)
            for trigger in dict.fromkeys(self.declaration.retraining.triggers):
                try:
                    found += getattr(self, f"_{trigger}")(champion, newest)
                except Exception as error:  # noqa: BLE001  # whatever it is, it is told
                    failed(trigger, error)
        answered = {row["cause"] for row in self.store.latest("outcomes", model=model)}
        answered |= {row["cause"] for row in self.cancelled}
        return [one for one in found if one.cause not in answered]

    @cached_property
    def cancelled(self) -> list[dict[str, Any]]:
        """The decisions that name a retraining which a person cancelled: each is answered."""
        return self.store.latest("decisions", model=self.declaration.name, code="cancelled")

    def tried(self, instance: dg.DagsterInstance, evidence: Sequence[Evidence]) -> dict[str, Tried]:
        """Return what became of the runs for each piece of evidence, by its cause."""
        model = self.declaration.name
        runs = by_tag(instance, CAUSE_TAG, [one.cause for one in evidence])
        return {
            cause: tried([record for record in records if is_of(record.dagster_run, model)])
            for cause, records in runs.items()
        }

    def facts(self, one: Evidence, tries: Mapping[str, Tried]) -> Facts:
        """Collect what the governor looks at; `tries` is what `tried` said of all the evidence."""
        longest = self.declaration.retraining.in_flight_minutes
        minutes = None
        cause = None
        # its own run first: where two go on, neither is to hold back the other
        for record in self.running:
            age, of = age_minutes(record), record.dagster_run.tags.get(CAUSE_TAG)
            if age < longest and (minutes is None or of == one.cause):
                minutes, cause = age, of or "a run started by hand"
        cancelled = [cause for cause, runs in tries.items() if runs.cancelled]
        return Facts(
            paused=paused(self.store, self.declaration.name),
            in_flight_minutes=minutes,
            in_flight_cause=cause,
            windows_since_training=self.since_training,
            mature_windows=len(self.landed.mature),
            unseen_windows=len(unseen_windows(self.landed, self.champion)),
            new_windows=past.new_windows(self.attempts_alike, self.landed.mature),
            failed_attempts=tries[one.cause].ended,
            cancelled=one.cause in cancelled,
            declined=next(iter(cancelled), None) or self.declined(),
            refused_in_a_row=past.refused_in_a_row(self.attempts_alike),
            runs_this_month=len(self.recent),
            minutes_this_month=sum(attempt.minutes for attempt in self.recent),
            obstacle=self.obstacle,
            not_stale=self.not_stale() if one.trigger == "drift" else None,
            comparable=self.champion is None or not self.series.unlike(self.champion),
        )

    @cached_property
    def series(self) -> Series:
        """Which recorded figures, and which versions, are of what is declared now."""
        return Series.of(self.declaration, self.store)

    def declined(self) -> str | None:
        """Name the retraining that a person cancelled since the newest window landed, if any."""
        of_newest = [row for row in self.cancelled if row["window"] == self.landed.newest]
        return of_newest[-1]["cause"] if of_newest else None

    @cached_property
    def obstacle(self) -> Obstacle | None:
        """What keeps the mature labels from teaching anything, as far as their counts tell."""
        declared = self.declaration
        if len(self.landed.mature) < declared.training.first_after:
            return None
        frame = frame_of(
            self.landed.mature,
            least=declared.training.first_after,
            newest=declared.training.frame_windows,
            holdout=declared.gates.holdout_windows,
        )
        rows = self.store.newest(
            "labels", "rows", "positives", "unknown", "meaning", model=declared.name
        )
        if not all(self.series.holds("labels", rows.get(window)) for window in frame.windows):
            return None  # not counted yet, or by another target; the training tells
        counts = {
            window: Labelled(
                rows[window]["rows"] - rows[window]["unknown"], rows[window]["positives"]
            )
            for window in frame.windows
        }
        return obstacle(
            {window: counts[window] for window in frame.training},
            {window: counts[window] for window in frame.holdout},
            declared.metric,
        )

    def not_stale(self) -> str | None:
        """Say why mature labels speak against a retraining that drift asks for, if they do."""
        if self.champion is None or "staleness" not in self.declaration.retraining.triggers:
            return None
        return against_drift(self.declaration, self.standing, self.landed)

    @cached_property
    def standing(self) -> Staleness:
        """What not retraining has cost since the champion was promoted."""
        assert self.champion is not None
        return champion_staleness(self.declaration, self.store, self.landed, self.champion)

    @property
    def since_training(self) -> int | None:
        """Windows since the last finished retraining of a model that has a champion."""
        entries = self._decided_alike
        if not any(entry.event == "promoted" for entry in entries) or self.landed.newest is None:
            return None  # a refused first training may be tried again with the next labels
        return self.declaration.windows.distance(entries[-1].window, self.landed.newest)

    @cached_property
    def attempts(self) -> list[Attempt]:
        """The attempts that ended, oldest first; those of windows now undeclared are left out."""
        return self._attempts(self._decided)

    @cached_property
    def recent(self) -> list[Attempt]:
        """The retrainings of the last month of data."""
        now = self.landed.now
        return past.within_a_month(past.retrainings(self.attempts), now) if now else []

    @cached_property
    def attempts_alike(self) -> list[Attempt]:
        """Those of them that were to learn what is declared now: another target, another start."""
        return self._attempts(self._decided_alike)

    def _attempts(self, entries: Sequence[Entry]) -> list[Attempt]:
        model, mature = self.declaration.name, self.landed.mature
        took = {r["cause"]: r["minutes"] or 0.0 for r in self.store.latest("outcomes", model=model)}
        holdout = self.declaration.gates.holdout_windows
        found = []
        for entry in entries:
            if not self.declaration.windows.declares(entry.window):
                continue
            seen = max(entry.training_windows, default="")
            if entry.event == "refused":  # it was compared on windows that it did not learn from
                at = bisect_right(mature, seen) - 1 + holdout
                seen = mature[min(at, len(mature) - 1)] if mature else seen
            found.append(
                Attempt(
                    window=entry.window,
                    ended=self.declaration.windows.ends(entry.window),
                    promoted=entry.event == "promoted",
                    minutes=took.get(entry.cause, 0.0),
                    newest_seen=seen,
                )
            )
        return found

    @cached_property
    def _decided(self) -> list[Entry]:
        entries = self.ledger.entries(self.declaration.name)
        # letting an old version go is no retraining
        return [entry for entry in entries if entry.event in ("promoted", "refused")]

    @property
    def _decided_alike(self) -> list[Entry]:
        return [entry for entry in self._decided if self.series.learnt_now(entry)]

    def _drift(self, champion: speaks.Champion, newest: str) -> list[Evidence]:
        verdicts = self.store.latest("verdicts", model=self.declaration.name, window=newest)
        return [
            one
            for row in verdicts
            if row["verdict"] == "drifted" and row["champion"] == champion.version
            for one in speaks.drift(champion, newest, row["batch_version"], row["sentence"])
        ]

    def _performance(self, champion: speaks.Champion, newest: str) -> list[Evidence]:
        limit, metric = self.declaration.retraining.performance, self.declaration.metric
        if limit is None:
            return []
        rows = self.store.newest(
            "performance", "champion", "value", "metric", "meaning", model=self.declaration.name
        )
        trusted = set(self.landed.mature)  # fewer than were measured, where the delay grew
        return speaks.performance(
            champion,
            newest,
            [
                (window, row["value"])
                for window, row in sorted(rows.items())
                if row["champion"] == champion.version
                and row["value"] is not None
                and window in trusted
                and self.series.holds("performance", row)
            ],
            metric=metric,
            worst=limit.worst,
            higher_is_better=metric_named(metric).higher_is_better,
            needed=limit.needed,
            of_last=limit.of_last,
        )

    def _new_data(self, champion: speaks.Champion, newest: str) -> list[Evidence]:
        enough = self.declaration.retraining.new_windows
        return speaks.new_data(champion, newest, enough) if enough else []

    def _schedule(self, champion: speaks.Champion, newest: str) -> list[Evidence]:
        every = self.declaration.retraining.every_windows
        return speaks.schedule(champion, newest, every) if every else []

    def _staleness(self, champion: speaks.Champion, newest: str) -> list[Evidence]:
        found = self.standing
        if not found.due:
            return []
        return speaks.staleness(champion, newest, found.newest, found.sentence)


def against_drift(
    declaration: Declaration, standing: Staleness, landed: LandedWindows
) -> str | None:
    """Return what labels say against a retraining that drift asks for, if they say anything.

    Labels of windows from before those that the verdict goes by know nothing of the drift.
    """
    if standing.denial is None or landed.newest is None:
        return None
    late = declaration.windows.distance(standing.newest, landed.newest)
    return standing.denial if late < declaration.drift.of_last else None


def asked(row: dict[str, Any]) -> str:
    """Say who asked for a retraining, and why."""
    return f"{row['by']} asked for it" + (f": {row['reason']}" if row["reason"] else "")


def unseen_windows(landed: LandedWindows, champion: Entry | None) -> list[str]:
    """Return the newest mature windows that the champion was not trained on."""
    seen: Sequence[str] = champion.training_windows if champion else ()
    newest = max(seen, default="")
    return [window for window in landed.mature if window > newest]


def paused(store: Store, model: str) -> str | None:
    """Say who paused the model and why, or None."""
    rows = [r for r in store.rows("controls", model=model) if r["action"] in ("pause", "resume")]
    # not by event, which a rebuild numbers anew
    row = max(rows, key=lambda one: (one["requested_at"], one["event_id"]), default=None)
    if row is None or row["action"] == "resume":
        return None
    return f"paused by {row['by']}" + (f" ({row['reason']})" if row["reason"] else "")
