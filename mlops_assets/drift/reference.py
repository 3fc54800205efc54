"""The reference: what windows are compared with, and how much its own windows differ.

It holds nothing of the policy: what is left out, what counts and where the limit lies is decided
when a window is judged, so that a changed policy takes effect at once.
"""

from __future__ import annotations

import functools
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlops_assets.drift.distances import cardinality_change, kept_categories, own_distance
from mlops_assets.drift.policy import DriftPolicy, Limit, choose_limit
from mlops_assets.drift.resemblance import Neighbours, neighbours, resemblance
from mlops_assets.errors import ProfileError, did_you_mean
from mlops_assets.sketches.column import Column, Kind
from mlops_assets.sketches.profile import Profile

PREDICTION = "score"  # the column of the model's own scores: no feature, and not in the importance
_MAGIC = b"MLREF2\n"


@dataclass(frozen=True)
class ReferenceFeature:
    """One column of the reference.

    ``importance`` is its part of the model's gain (0: shown, not scored), ``kept`` the categories
    that stand for themselves. One figure for each own window: ``own``, its distance from the
    others; ``missing``, its share of missing values; ``constant``, whether a single value fills
    it; ``cardinality``, its distinct values for each one of the reference.
    """

    kind: Kind
    importance: float
    kept: tuple[str, ...]
    own: tuple[float, ...]
    missing: tuple[float, ...]
    constant: tuple[bool, ...]
    cardinality: tuple[float | None, ...]
    neighbours: Neighbours


@dataclass(frozen=True)
class Yardstick:
    """A reference under a policy: by what its own windows set the limit.

    ``places`` are those of the own windows that count, short ones left out, with ``own_scores``
    beside them; ``shares`` each column's part of the score.
    """

    places: tuple[int, ...]
    own_scores: tuple[float, ...]
    shares: Mapping[str, float]
    resemblance: float
    limit: Limit

    def of(self, figures: Sequence[Any]) -> list[Any]:
        """Return the figures of the own windows that count."""
        return [figures[place] for place in self.places]


@dataclass(frozen=True)
class Reference:
    """What windows are judged against; ``rows`` stand beside ``windows``.

    ``segments`` are the same for parts of the rows, by name.
    """

    profile: Profile
    windows: tuple[str, ...]
    rows: tuple[int, ...]
    features: Mapping[str, ReferenceFeature]
    segments: Mapping[str, Reference] = field(default_factory=dict)

    @classmethod
    def build(
        cls,
        profiles: Mapping[str, Profile],
        importance: Mapping[str, float],
        segments: Mapping[str, Mapping[str, Profile]] | None = None,
    ) -> Reference:
        """Return the reference of these windows, empty ones left out.

        ``importance`` is gain per feature, in any unit; without any gain (a constant model) all
        features weigh the same. ``segments`` are a segment's profiles by window. Raises
        ProfileError for no rows, a negative gain, or an important feature that no profile holds.
        """
        filled = {window: profiles[window] for window in sorted(profiles) if profiles[window].rows}
        if not filled:
            raise ProfileError("a reference needs at least one window with rows")
        merged = Profile.merge(filled.values())
        shares = _importance(merged, importance)
        return cls(
            merged,
            tuple(filled),
            tuple(profile.rows for profile in filled.values()),
            {
                name: _feature(
                    column,
                    [p.columns.get(name) or Column.absent(p.rows) for p in filled.values()],
                    shares.get(name, 0.0),
                )
                for name, column in sorted(merged.columns.items())
            },
            {
                name: cls.build(parts, importance)
                for name, parts in sorted((segments or {}).items())
                if any(part.rows for part in parts.values())
            },
        )

    @property
    def median_rows(self) -> float:
        """The median of the own windows' rows."""
        return float(statistics.median(self.rows))

    @property
    def importance(self) -> dict[str, float]:
        """Every column but the predictions, with its part of the gain."""
        return {
            name: feature.importance
            for name, feature in self.features.items()
            if name != PREDICTION
        }

    def under(self, policy: DriftPolicy) -> Yardstick:
        """Return the yardstick that the policy makes of it.

        Where everything is left out, all shares are 0, and nothing can be judged by it.
        """
        least = policy.min_row_share * self.median_rows
        places = tuple(place for place, rows in enumerate(self.rows) if rows >= least)
        shares = self._shares(policy)
        scores = tuple(
            sum(shares[name] * feature.own[place] for name, feature in self.features.items())
            for place in places
        )
        alike = resemblance(
            {name: feature.neighbours for name, feature in self.features.items()}, shares
        )
        return Yardstick(places, scores, shares, alike, choose_limit(scores, policy, alike))

    def _shares(self, policy: DriftPolicy) -> dict[str, float]:
        # what is left out may be newer than the reference
        counted = {n: v for n, v in self.importance.items() if n not in policy.leave_out}
        scored = PREDICTION in self.features and PREDICTION not in policy.leave_out
        predicted = policy.prediction_share if scored else 0.0
        total = sum(counted.values())
        return {
            name: 0.0
            if name in policy.leave_out
            else predicted
            if name == PREDICTION
            # of what is left, nothing may have any gain: then all weigh the same
            else (1 - predicted) * (counted[name] / total if total else 1 / len(counted))
            for name in self.features
        }

    @functools.cached_property
    def _bytes(self) -> bytes:
        parts = [self.profile.to_bytes(), *(part.to_bytes() for part in self.segments.values())]
        header = {
            "windows": self.windows,
            "rows": self.rows,
            "features": {name: vars(feature) for name, feature in self.features.items()},
            "segments": list(self.segments),
            "sizes": [len(part) for part in parts],
        }
        text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
        return b"".join([_MAGIC, len(text).to_bytes(8, "big"), text, *parts])

    def to_bytes(self) -> bytes:
        """Return JSON, the merged profile and the segments in one file.

        The same reference gives the same bytes.
        """
        return self._bytes

    @classmethod
    def from_bytes(cls, data: bytes) -> Reference:
        """Read what ``to_bytes`` wrote; raises ProfileError for anything else."""
        start = len(_MAGIC) + 8
        size = int.from_bytes(data[len(_MAGIC) : start], "big")
        if data[: len(_MAGIC)] != _MAGIC or len(data) < start + size:
            raise ProfileError(
                "not a drift reference, or one of an older version; retrain to make it again"
            )
        try:
            header: dict[str, Any] = json.loads(data[start : start + size])
            parts, at = [], start + size
            for length in header["sizes"]:
                parts.append(data[at : at + length])
                at += length
            return cls(
                Profile.from_bytes(parts[0]),
                tuple(header["windows"]),
                tuple(header["rows"]),
                {
                    name: ReferenceFeature(**_with_tuples(line))
                    for name, line in header["features"].items()
                },
                {
                    name: cls.from_bytes(part)
                    for name, part in zip(header["segments"], parts[1:], strict=True)
                },
            )
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ProfileError(
                f"the reference can't be read ({error}); retrain to make it again"
            ) from error


def windows_of(policy: DriftPolicy, window: str, known: Sequence[str]) -> tuple[str, ...]:
    """Return which of the known windows make up the declared reference of this one, oldest first.

    Never itself. A fixed reference judges later windows only, so that it is the same for all of
    them. A trailing one ends before the windows that are looked at together with this one: if one
    of them were in it, the second to exceed would be measured by the first.

    Raises ProfileError that says why there is none.
    """
    if policy.reference == "fixed":
        begin, end = str(policy.reference_from), str(policy.reference_until)
        if window <= end:
            raise ProfileError(f"the declared reference ends with {end}: later windows are judged")
        found = [one for one in sorted(known) if begin <= one <= end]
        if not found:
            raise ProfileError(
                f"no window of the declared reference, {begin} to {end}, was profiled"
            )
        return tuple(found)
    before = [one for one in sorted(known) if one < window]
    usable = before[: max(0, len(before) - (policy.of_last - 1))]
    wanted = policy.reference_windows or 0
    if len(usable) < 2:
        raise ProfileError(
            f"the trailing reference of {wanted} windows ends {policy.of_last - 1} before the one "
            f"that is judged, and there are {len(usable)}"
        )
    return tuple(usable[-wanted:])


def _with_tuples(line: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in line.items()}


def _importance(merged: Profile, importance: Mapping[str, float]) -> dict[str, float]:
    for name, gain in importance.items():
        if name not in merged.columns:
            hint = did_you_mean(name, merged.columns)
            raise ProfileError(f"no profiled window has the feature `{name}`{hint}")
        if not 0 <= gain < float("inf"):
            raise ProfileError(f"the gain of `{name}` is {gain}; it can't be below 0 or infinite")
    total = sum(importance.values())
    return {name: gain / total if total else 0.0 for name, gain in importance.items()}


def _feature(merged: Column, own: list[Column], importance: float) -> ReferenceFeature:
    typical = statistics.median(column.values for column in own)
    kept = kept_categories(merged, typical) if merged.kind == "tv" else ()
    distances = tuple(own_distance(merged, column, merged.kind, kept) for column in own)
    return ReferenceFeature(
        kind=merged.kind,
        importance=importance,
        kept=kept,
        own=distances,
        missing=tuple(column.missing_share for column in own),
        constant=tuple(column.constant for column in own),
        cardinality=tuple(cardinality_change(merged, column) for column in own),
        neighbours=neighbours(merged, own, kept, distances),
    )
