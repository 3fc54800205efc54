"""The reference: what the champion was trained on, and how much its own windows differ."""

from __future__ import annotations

import functools
import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlops_assets.errors import ProfileError, did_you_mean
from mlops_assets.profiles.column import Column, Kind
from mlops_assets.profiles.distances import distance_to_rest, kept_categories
from mlops_assets.profiles.policy import DriftPolicy
from mlops_assets.profiles.profile import Profile

_MAGIC = b"MLREF1\n"


@dataclass(frozen=True)
class ReferenceFeature:
    """One column of the reference.

    ``share`` is its part of the importance (all shares add up to 1; 0: shown, not scored),
    ``own`` its distance in each own window from the others, ``kept`` the categories that stand
    for themselves, ``own_constant`` whether a single value fills one of its own windows,
    ``own_missing`` the least and the largest share of missing values in them.
    """

    kind: Kind
    share: float
    own: tuple[float, ...]
    kept: tuple[str, ...]
    own_constant: bool
    own_missing: tuple[float, float]


@dataclass(frozen=True)
class Reference:
    """Built once per champion; every later window is judged against it.

    ``windows`` are the own windows that set the yardstick, with ``own_scores`` beside them;
    shorter ones (below ``min_row_share`` of the median) are in the profile but not among them.
    """

    profile: Profile
    policy: DriftPolicy
    windows: tuple[str, ...]
    own_scores: tuple[float, ...]
    median_rows: float
    features: Mapping[str, ReferenceFeature]

    @classmethod
    def build(
        cls,
        profiles: Mapping[str, Profile],
        importance: Mapping[str, float],
        policy: DriftPolicy,
    ) -> Reference:
        """Return the reference of a champion trained on these windows.

        ``importance`` is gain per feature, in any unit; without any gain (a constant model) all
        features weigh the same. Raises ProfileError for no rows, a negative gain, or an important
        feature or a ``leave_out`` that no profile holds.
        """
        filled = {window: profiles[window] for window in sorted(profiles) if profiles[window].rows}
        if not filled:
            raise ProfileError("a reference needs at least one window with rows")
        merged = Profile.merge(filled.values())
        shares = _shares(merged, importance, policy)
        median = statistics.median(profile.rows for profile in filled.values())
        whole = [w for w, p in filled.items() if p.rows >= policy.min_row_share * median]
        features = {
            name: _feature(
                column,
                [
                    filled[window].columns.get(name) or Column.absent(filled[window].rows)
                    for window in whole
                ],
                shares.get(name, 0.0),
            )
            for name, column in sorted(merged.columns.items())
        }
        scores = tuple(
            sum(feature.share * feature.own[number] for feature in features.values())
            for number in range(len(whole))
        )
        return cls(merged, policy, tuple(whole), scores, float(median), features)

    @functools.cached_property
    def _bytes(self) -> bytes:
        header = {
            "policy": self.policy.model_dump(mode="json"),
            "windows": self.windows,
            "own_scores": self.own_scores,
            "median_rows": self.median_rows,
            "features": {name: vars(feature) for name, feature in self.features.items()},
        }
        text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
        return _MAGIC + len(text).to_bytes(8, "big") + text + self.profile.to_bytes()

    def to_bytes(self) -> bytes:
        """Return JSON and the merged profile in one file; the same reference, the same bytes."""
        return self._bytes

    @classmethod
    def from_bytes(cls, data: bytes) -> Reference:
        """Read what ``to_bytes`` wrote; raises ProfileError for anything else."""
        start = len(_MAGIC) + 8
        if data[: len(_MAGIC)] != _MAGIC:
            raise ProfileError("not a reference: build it again from the champion's windows")
        end = start + int.from_bytes(data[len(_MAGIC) : start], "big")
        profile = Profile.from_bytes(data[end:])
        try:
            header: dict[str, Any] = json.loads(data[start:end])
            return cls(
                profile,
                DriftPolicy.model_validate(header["policy"]),
                tuple(header["windows"]),
                tuple(header["own_scores"]),
                header["median_rows"],
                {
                    name: ReferenceFeature(
                        **line
                        | {name: tuple(line[name]) for name in ("own", "kept", "own_missing")}
                    )
                    for name, line in header["features"].items()
                },
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ProfileError(f"the reference can't be read ({error}); build it again") from error


def _shares(
    merged: Profile, importance: Mapping[str, float], policy: DriftPolicy
) -> dict[str, float]:
    for name in [*importance, *policy.leave_out]:
        if name not in merged.columns:
            hint = did_you_mean(name, merged.columns)
            raise ProfileError(f"no profiled window has the feature `{name}`{hint}")
    gains = {name: gain for name, gain in importance.items() if name not in policy.leave_out}
    for name, gain in gains.items():
        if not 0 <= gain < float("inf"):
            raise ProfileError(f"the gain of `{name}` is {gain}; it can't be below 0 or infinite")
    total = sum(gains.values())
    if not total:
        return dict.fromkeys(gains, 1 / len(gains)) if gains else {}
    return {name: gain / total for name, gain in gains.items()}


def _feature(merged: Column, own: list[Column], share: float) -> ReferenceFeature:
    typical = statistics.median(column.values for column in own)
    kept = kept_categories(merged, typical) if merged.kind == "tv" else ()
    return ReferenceFeature(
        kind=merged.kind,
        share=share,
        own=tuple(distance_to_rest(merged, column, merged.kind, kept) for column in own),
        kept=kept,
        own_constant=any(column.constant for column in own),
        own_missing=(
            min(column.missing_share for column in own),
            max(column.missing_share for column in own),
        ),
    )
