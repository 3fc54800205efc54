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
from typing import Any, NamedTuple

from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.drift.reference import windows_of
from mlops_assets.drift.verdict import Verdict
from mlops_assets.errors import ProfileError


class Row(NamedTuple):
    """Of a window's newest verdict, what its place among the others is told by, and its batch."""

    window: str
    batch_version: str
    champion: int | None
    policy: str
    verdict: str
    exceeds: bool
    finding: str | None
    profile: str
    past: str | None


#: whether the window, and its predictions, exceeded; and the same of each segment that was judged
Finding = tuple[tuple[bool, bool], Mapping[str, tuple[bool, bool]]]


#: the windows that a reference is made of, each with its profile and champion
Reference = tuple[tuple[str, str, int | None], ...]

# digests of one past, as they were recorded once and as they are now: both follow from it alone
_alike: set[tuple[str, str]] = set()


@dataclass(frozen=True)
class Past:
    """What one verdict takes from the windows before it.

    Attributes:
        counted: windows judged by this policy against this champion, the last that an alarm looks
            at, oldest first; each with what was found.
        of_segments: the same for each segment that was judged in some of them.
        uncounted: twelve hex digits that name the windows of this champion after the last of those,
            each with how it was judged: there may be thousands. Empty where there are none.
        made_of: hex digits that name the windows that the reference is made of, each with its
            profile and champion: there may be thousands. Empty where it is the champion's own.

    """

    counted: tuple[tuple[str, str], ...] = ()
    of_segments: tuple[tuple[str, tuple[str, ...]], ...] = ()
    uncounted: str = ""
    made_of: str = ""

    @property
    def windows(self) -> set[str]:
        """The windows of which something is taken."""
        of_segments = (name for _, windows in self.of_segments for name in windows)
        return {*(name for name, _ in self.counted), *of_segments}

    @property
    def digest(self) -> str:
        """Twelve hex digits that change with any of it."""
        return _digest(self)

    def digest_by(self, reference: Reference) -> str:
        """Return the digest as it was recorded before references were named by hex digits."""
        return _hashed([self.counted, self.of_segments, self.uncounted or [], reference])


@dataclass
class Walk:
    """The verdicts of a model, gone through from the oldest on."""

    policy: DriftPolicy
    _counted: dict[Any, deque[tuple[str, str]]] = field(default_factory=dict)
    _segments: dict[Any, dict[str, deque[str]]] = field(default_factory=dict)
    _uncounted: dict[Any, str] = field(default_factory=dict)
    _rows: list[tuple[str, str, int | None]] = field(default_factory=list)
    _marks: list[int] = field(default_factory=list)  # of those rows
    _made_of: int = 0  # the sum of the marks of what makes up the reference
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
            made_of=self._name(window),
        )

    def reference(self, window: str) -> Reference:
        """Return what the reference of a window is made of; nothing if it is the champion's own."""
        if self.policy.reference == "champion":
            return ()
        known = {row[0]: row for row in self._rows}
        try:
            return tuple(known[name] for name in windows_of(self.policy, window, list(known)))
        except ProfileError:
            return ()

    def add(self, row: Row) -> None:
        """Go on by the newest verdict of a window."""
        window, champion = row.window, row.champion
        if self.policy.reference != "champion":
            self._keep(window, row.profile, champion)
        if row.policy != self._hash or row.verdict == "insufficient":
            why = "insufficient" if row.verdict == "insufficient" else "another policy"
            before = self._uncounted.get(champion, "")
            self._uncounted[champion] = _hashed([before, window, why])
            return
        self._uncounted[champion] = ""
        looked_at = max(1, self.policy.of_last - 1)  # the last one is named at any rate
        kept = self._counted.setdefault(champion, deque(maxlen=looked_at))
        kept.append((window, found_in(row)))
        for name in segments_in(row.finding) if self.policy.segments else ():
            of_it = self._segments.setdefault(champion, {})
            of_it.setdefault(name, deque(maxlen=looked_at)).append(window)

    def _keep(self, window: str, profile: str, champion: int | None) -> None:
        policy = self.policy
        if policy.reference == "fixed" and not (
            str(policy.reference_from) <= window <= str(policy.reference_until)
        ):
            return
        row = (window, profile, champion)
        self._rows.append(row)
        mark = int(hashlib.sha256(json.dumps(row).encode()).hexdigest(), 16)
        if policy.reference == "fixed":
            self._made_of += mark
            return
        # one enters the reference, as many windows later as are looked at together, one leaves it
        self._marks.append(mark)
        most = (policy.reference_windows or 0) + policy.of_last
        del self._rows[:-most], self._marks[:-most]
        if len(self._marks) >= policy.of_last:
            self._made_of += self._marks[-policy.of_last]
        if len(self._marks) == most:
            self._made_of -= self._marks[0]

    def _name(self, window: str) -> str:
        """Name the reference of a window by a sum, which costs the same however long it is."""
        policy = self.policy
        if policy.reference == "champion" or not self._rows:
            return ""
        if policy.reference == "fixed" and window <= str(policy.reference_until):
            return ""
        if policy.reference == "trailing" and len(self._rows) - (policy.of_last - 1) < 2:
            return ""
        return f"{self._made_of % 2**128:032x}"


def past_of(
    policy: DriftPolicy, rows: Mapping[str, Row], window: str, champion: int | None
) -> Past:
    """Return the past of a window by the newest verdicts there are, whatever comes after it."""
    walk = Walk(policy)
    for name in sorted(rows):
        # another champion's count for nothing, unless a reference is made of them
        if name < window and (policy.reference != "champion" or rows[name].champion == champion):
            walk.add(rows[name])
    return walk.to(window, champion)


def outdated(policy: DriftPolicy, rows: Mapping[str, Row]) -> Iterator[tuple[str, Past, Reference]]:
    """Yield each window whose verdict was made of another past than it has now.

    With it, that past, and what its reference is made of now. Verdicts by another policy than the
    declared one stay as they are, and so do those from before a past was recorded.
    """
    walk, declared = Walk(policy), policy.hash
    for window in sorted(rows):
        row = rows[window]
        if row.past and row.policy == declared and row.champion is not None:
            past = walk.to(window, row.champion)
            if (now := past.digest) != row.past and (row.past, now) not in _alike:
                reference = walk.reference(window)
                if past.digest_by(reference) == row.past:
                    _alike.add((row.past, now))
                else:
                    yield window, past, reference
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
    return str(row.finding or f"exceeds: {row.exceeds}")


@lru_cache(maxsize=10_000)
def _digest(past: Past) -> str:
    return _hashed([past.counted, past.of_segments, past.uncounted or [], past.made_of or []])


def _hashed(parts: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
