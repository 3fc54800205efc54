"""What the figures of a model mean, and which of the recorded ones mean what is declared now.

An AUC of one target is no AUC of another, and a week is no month. Each figure is recorded with the
digest of what it means, and figures of one meaning alone are summed, averaged or compared.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from mlops_assets.declaration import Declaration, load
from mlops_assets.declaration.windows import known_zone
from mlops_assets.errors import DeclarationError
from mlops_assets.features.expressions import code_version
from mlops_assets.monitoring.measure import measure
from mlops_assets.records import kinds

if TYPE_CHECKING:
    from mlops_assets.records.store import Store
    from mlops_assets.registry.ledger import Entry

#: kinds of records whose figures mean the same: the metric of a window, measured or estimated;
#: what a retraining would have earned on it; and how many of its rows have which target
Figures = Literal["performance", "staleness", "labels"]

_LEARNT = ("task", "target")
_SAID = {
    "task": "task",
    "metric": "gates.metric",
    "measure": "what staleness is counted in",
    "mature_after_days": "labels.mature_after_days",
    "every": "windows.every",
    "timezone": "windows.timezone",
    "time": "batches.time",
    "key": "batches.key",
}


@dataclass(frozen=True)
class Meaning:
    """What the figures of a model mean, part by part.

    Attributes:
        task: what is predicted.
        target: hash of the target's expression, wherever it stands.
        metric: by which models are compared.
        measure: what staleness is counted in: the metric, or money and by which expression.
        mature_after_days: from when on labels are trusted.
        every: length of a window.
        timezone: in which windows begin.
        time: column that says to which window a row belongs.
        key: columns by which a row and its label find each other.

    """

    task: str
    target: str
    metric: str
    measure: str
    mature_after_days: float
    every: str
    timezone: str
    time: str
    key: tuple[str, ...]

    @classmethod
    def declared(cls, declaration: Declaration) -> Meaning:
        """Return what figures mean by the declaration as it is now.

        Raises:
            DeclarationError: the declared target or KPI is not there.

        """
        return cls(
            task=declaration.task,
            target=code_version({"target": load(declaration.labels.target)}),
            metric=declaration.metric,
            measure=measure(declaration),
            mature_after_days=float(declaration.labels.mature_after_days),
            **windows_of(declaration),
        )

    @classmethod
    def recorded(cls, parts: Mapping[str, Any]) -> Meaning:
        """Return what was recorded by `parts`."""
        # once each name of a zone was recorded as it was declared
        zone = known_zone(parts["timezone"])
        return cls(**{**parts, "timezone": zone, "key": tuple(parts["key"])})

    @property
    def parts(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {**asdict(self), "key": list(self.key)}

    @property
    def learnt(self) -> dict[str, str]:
        """What a model that is trained now learns to tell."""
        return {name: str(getattr(self, name)) for name in _LEARNT}

    def digest(self, figures: Figures) -> str:
        """Return twelve hex digits that change with whatever makes such figures incomparable."""
        left_out = "measure" if figures == "performance" else "metric"
        parts: dict[str, Any] = {k: value for k, value in self.parts.items() if k != left_out}
        if figures == "labels":
            parts = dict(self.learnt)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


class Figured(Protocol):
    """A record of figures, or some of its fields; with `metric`, or `measure`, as they are of."""

    @property
    def meaning(self) -> str | None:
        """What the figures mean, as a digest; None in older homes."""


class JudgedBy(NamedTuple):
    """Of a window's newest verdict."""

    policy: str


@dataclass(frozen=True)
class Series:
    """Which recorded figures of a model are of the meaning that is declared now.

    What was recorded without a meaning, before there were any, is of the one in force when a
    meaning was first recorded, and of the metric or measure that stands beside the figure.
    """

    now: Meaning
    first: Meaning
    _digests: dict[tuple[Figures, str], str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, declaration: Declaration, store: Store) -> Series:
        """Return that of a model.

        Raises:
            DeclarationError: the declared target or KPI is not there.

        """
        now = Meaning.declared(declaration)
        known = recorded(store, declaration.name)
        return cls(now, known[0] if known else now)

    @classmethod
    def as_recorded(cls, store: Store, model: str) -> Series | None:
        """Return that of a model as it was declared when it was last looked at, if ever."""
        known = recorded(store, model)
        return cls(known[-1], known[0]) if known else None

    def holds(self, figures: Figures, row: Figured | None) -> bool:
        """Say whether a row's figures mean what is declared now."""
        return row is not None and self.meaning_of(figures, row) == self.digest(figures)

    def digest(self, figures: Figures) -> str:
        """Return the digest of what figures mean now."""
        if (figures, "") not in self._digests:
            self._digests[figures, ""] = self.now.digest(figures)
        return self._digests[figures, ""]

    def meaning_of(self, figures: Figures, row: Figured) -> str:
        """Return the digest of what a row's figures mean."""
        if row.meaning:
            return row.meaning
        if figures == "labels":
            return self.first.digest(figures)
        unit = str(getattr(row, "metric" if figures == "performance" else "measure"))
        if (figures, unit) not in self._digests:
            first = replace(self.first, metric=unit, measure=unit)  # one of both is left out
            self._digests[figures, unit] = first.digest(figures)
        return self._digests[figures, unit]

    def learnt_now(self, entry: Entry) -> bool:
        """Say whether an entry's version learnt, or was to learn, what is declared now."""
        return (entry.learnt or self.first.learnt) == self.now.learnt

    def scores_alike(self, entry: Entry) -> bool:
        """Say whether the scores of an entry's version are of the declared kind: of its task."""
        return (entry.learnt or self.first.learnt)["task"] == self.now.task

    def unlike(self, entry: Entry) -> str:
        """Say what changed since the version of an entry learnt; empty where nothing did."""
        learnt, now = entry.learnt or self.first.learnt, self.now.learnt
        version = f"version {entry.version}"
        if learnt["task"] != now["task"]:
            return f"the task changed from {learnt['task']} to {now['task']} since {version} learnt"
        if learnt["target"] != now["target"]:
            return f"the target changed since {version} learnt"
        return ""


def windows_of(declaration: Declaration) -> dict[str, Any]:
    """Return what decides which rows lie in the repository under a window's key."""
    return {
        "every": declaration.windows.every,
        "timezone": declaration.windows.timezone,
        "time": declaration.batches.time,
        "key": tuple(declaration.batches.key),
    }


def recorded(store: Store, model: str) -> list[Meaning]:
    """Return the meanings that were in force, the oldest first."""
    rows = sorted(
        store.rows(kinds.Meaning, model=model), key=lambda row: (row.recorded_at, row.event_id)
    )
    return [Meaning.recorded(row.parts) for row in rows]


def begin(declaration: Declaration, store: Store) -> None:
    """Write down what is declared when something first lands; later changes are noticed by it.

    Raises:
        DeclarationError: the windows are declared otherwise than when they landed.

    """
    if not recorded(store, declaration.name):
        remember(declaration, store)


def remember(declaration: Declaration, store: Store) -> None:
    """Write down what is declared now, of a model of which something has landed.

    Raises:
        DeclarationError: the windows are declared otherwise than when they landed.

    """
    check_windows(declaration, store)
    now = Meaning.declared(declaration)
    known = recorded(store, declaration.name)
    if not known or known[-1] != now:
        store.add(kinds.Meaning(model=declaration.name, parts=now.parts))


def differences(before: Meaning, now: Meaning) -> list[str]:
    """Say part by part what figures mean now and did not before."""
    said = [
        f"{name} was {_spelled(was)} and is {_spelled(now_is)}"
        for part, name in _SAID.items()
        if (was := getattr(before, part)) != (now_is := getattr(now, part))
        # by another metric staleness is counted in another one too
        and (part != "measure" or before.metric == now.metric)
    ]
    return ["labels.target is another expression", *said] if before.target != now.target else said


def check_windows(declaration: Declaration, store: Store) -> None:
    """Say whether what landed is still what the declaration says that a window holds.

    Raises:
        DeclarationError: it is not; names what changed, and the way out.

    """
    if problem := other_windows(declaration, store):
        raise DeclarationError(problem)


def other_windows(declaration: Declaration, store: Store) -> str:
    """Say what of the windows that landed was declared otherwise; empty where nothing was."""
    known = recorded(store, declaration.name)
    changed = []
    if known:
        changed = [
            f"{_SAID[name]} was {_spelled(before)} and is {_spelled(now)}"
            for name, now in windows_of(declaration).items()
            if (before := getattr(known[-1], name)) != now
        ]
    elif (length := _judged_length(declaration, store)) is not None:
        per_year = declaration.windows.per_year
        if abs(length / per_year - 1) > 0.01:
            changed = [f"a year had {length:g} windows and now has {per_year:g} (windows.every)"]
    if not changed:
        return ""
    return (
        f"{declaration.name}: {'; '.join(changed)}: what landed under the windows' keys would be "
        "taken for something else. Put it back; or declare the model anew under another name, and "
        "land its history there"
    )


def _judged_length(declaration: Declaration, store: Store) -> float | None:
    """Return how many windows a year had when one was last judged, in homes from before meanings."""
    rows = store.newest(kinds.Verdict, JudgedBy, model=declaration.name)
    if not rows:
        return None
    policy = rows[max(rows)].policy
    if not store.has_blob(policy):
        return None
    return float(json.loads(store.blob(policy))["windows_per_year"])


def _spelled(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(value) if isinstance(value, tuple) else str(value)
