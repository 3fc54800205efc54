"""What a verdict takes from the windows before it, as it is recorded.

By it a verdict is the same in whichever order windows are judged: one that was made of another past
than there is now, since a window before it was judged later or again, is made again.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from mlops_assets.errors import ProfileError
from mlops_assets.profiles.policy import DriftPolicy
from mlops_assets.profiles.reference import windows_of
from mlops_assets.profiles.verdict import Verdict

Row = Mapping[str, Any]

#: of the newest verdict of each window, what its place among the others is told by
COLUMNS = ("champion", "policy", "verdict", "exceeds", "finding", "profile", "past")

#: whether the window, and its predictions, exceeded; and the same of each segment that was judged
Finding = tuple[tuple[bool, bool], Mapping[str, tuple[bool, bool]]]


@dataclass(frozen=True)
class Past:
    """What one verdict takes from the windows before it.

    Attributes:
        counted: windows judged by this policy against this champion, the last that an alarm looks
            at, oldest first; each with what was found.
        of_segments: the same for each segment that was judged in some of them.
        uncounted: twelve hex digits that name the windows of this champion after the last of those,
            each with how it was judged: there may be thousands. Empty where there are none.
        reference: windows that the reference is made of, each with its profile and champion; empty
            where it is the champion's own.

    """

    counted: tuple[tuple[str, str], ...] = ()
    of_segments: tuple[tuple[str, tuple[str, ...]], ...] = ()
    uncounted: str = ""
    reference: tuple[tuple[str, str, int | None], ...] = ()

    @property
    def windows(self) -> set[str]:
        """The windows of which something is taken."""
        of_segments = (name for _, windows in self.of_segments for name in windows)
        return {*(name for name, _ in self.counted), *of_segments}

    @property
    def digest(self) -> str:
        """Twelve hex digits that change with any of it."""
        return _digest(self)


@dataclass
class Walk:
    """The verdicts of a model, gone through from the oldest on."""

    policy: DriftPolicy
    _counted: dict[Any, deque[tuple[str, str]]] = field(default_factory=dict)
    _segments: dict[Any, dict[str, deque[str]]] = field(default_factory=dict)
    _uncounted: dict[Any, str] = field(default_factory=dict)
    _rows: list[tuple[str, str, int | None]] = field(default_factory=list)
    _hash: str = field(init=False)

    def __post_init__(self) -> None:
        """Hash the policy once: every row is compared with it."""
        self._hash = self.policy.hash

    def to(self, window: str, champion: int | None) -> Past:
        """Return the past of a window that this champion scored."""
        segments = self._segments.get(champion, {})
        return Past(
            counted=tuple(self._counted.get(champion, ())),
            of_segments=tuple((name, tuple(windows)) for name, windows in sorted(segments.items())),
            uncounted=self._uncounted.get(champion, ""),
            reference=self._reference(window) if self._rows else (),
        )

    def add(self, row: Row) -> None:
        """Go on by the newest verdict of a window."""
        window, champion = str(row["window"]), row["champion"]
        if self.policy.reference != "champion":
            self._keep(window, str(row["profile"]), champion)
        if row["policy"] != self._hash or row["verdict"] == "insufficient":
            why = "insufficient" if row["verdict"] == "insufficient" else "another policy"
            before = self._uncounted.get(champion, "")
            self._uncounted[champion] = _hashed([before, window, why])
            return
        self._uncounted[champion] = ""
        looked_at = max(1, self.policy.of_last - 1)  # the last one is named at any rate
        kept = self._counted.setdefault(champion, deque(maxlen=looked_at))
        kept.append((window, found_in(row)))
        for name in segments_in(row["finding"]) if self.policy.segments else ():
            of_it = self._segments.setdefault(champion, {})
            of_it.setdefault(name, deque(maxlen=looked_at)).append(window)

    def _keep(self, window: str, profile: str, champion: int | None) -> None:
        policy = self.policy
        if policy.reference == "fixed" and not (
            str(policy.reference_from) <= window <= str(policy.reference_until)
        ):
            return
        self._rows.append((window, profile, champion))
        if policy.reference == "trailing":
            del self._rows[: -((policy.reference_windows or 0) + policy.of_last)]

    def _reference(self, window: str) -> tuple[tuple[str, str, int | None], ...]:
        known = {row[0]: row for row in self._rows}
        try:
            return tuple(known[name] for name in windows_of(self.policy, window, list(known)))
        except ProfileError:
            return ()


def past_of(
    policy: DriftPolicy, rows: Mapping[str, Row], window: str, champion: int | None
) -> Past:
    """Return the past of a window by the newest verdicts there are, whatever comes after it."""
    walk = Walk(policy)
    for name in sorted(rows):
        # another champion's count for nothing, unless a reference is made of them
        if name < window and (policy.reference != "champion" or rows[name]["champion"] == champion):
            walk.add(rows[name])
    return walk.to(window, champion)


def outdated(policy: DriftPolicy, rows: Mapping[str, Row]) -> Iterator[tuple[str, Past]]:
    """Yield each window whose verdict was made of another past than it has now, with that one.

    Verdicts by another policy than the declared one stay as they are, and so do those from before
    a past was recorded.
    """
    walk, declared = Walk(policy), policy.hash
    for window in sorted(rows):
        row = rows[window]
        if row["past"] and row["policy"] == declared and row["champion"] is not None:
            past = walk.to(window, row["champion"])
            if past.digest != row["past"]:
                yield window, past
        walk.add(row)


def finding(verdict: Verdict) -> str:
    """Return what later verdicts go by of this one, as it is recorded beside it."""
    judged = {
        name: [part.exceeds, part.prediction_exceeds]
        for name, part in sorted(verdict.segments.items())
        if part.verdict != "insufficient"
    }
    whole = [verdict.exceeds, verdict.prediction_exceeds]
    return json.dumps([whole, judged] if judged else [whole], separators=(",", ":"))


@lru_cache(maxsize=10_000)
def read_finding(text: str) -> Finding:
    """Return whether a window exceeded, and its predictions did; and the same of its segments."""
    whole, *parts = json.loads(text)
    return (whole[0], whole[1]), {name: (one[0], one[1]) for name, one in dict(*parts).items()}


def segments_in(text: str | None) -> Sequence[str]:
    """Return the segments that were judged; none where nothing is recorded of them."""
    return list(read_finding(text)[1]) if text else []


def found_in(row: Row) -> str:
    """Return what is recorded of a window; older rows say of the whole alone."""
    return str(row["finding"] or f"exceeds: {row['exceeds']}")


@lru_cache(maxsize=10_000)
def _digest(past: Past) -> str:
    return _hashed([past.counted, past.of_segments, past.uncounted or [], past.reference])


def _hashed(parts: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
