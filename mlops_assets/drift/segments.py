"""Parts of the rows that are judged by themselves: the largest, and all others as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from mlops_assets.sketches.profile import Profile

OTHERS = "(others)"

Segments = Mapping[str, Profile]
"""A window's profiles by segment, such as ``carrier=AA,origin=EWR``."""


def largest(windows: Mapping[str, Segments], most: int) -> tuple[str, ...]:
    """Return the segments with the most rows over these windows, by name."""
    rows: Counter[str] = Counter()
    for segments in windows.values():
        for name, part in segments.items():
            if name != OTHERS:
                rows[name] += part.rows
    by_rows = sorted(rows, key=lambda name: (-rows[name], name))
    return tuple(sorted(by_rows[:most]))


def pooled(segments: Segments, kept: Collection[str]) -> dict[str, Profile]:
    """Return the kept segments that are there, and all others as one."""
    found = {name: part for name, part in sorted(segments.items()) if name in kept}
    rest = [part for name, part in sorted(segments.items()) if name not in kept]
    return found | ({OTHERS: Profile.merge(rest)} if rest else {})


def by_segment(
    windows: Mapping[str, Segments], kept: Collection[str]
) -> dict[str, dict[str, Profile]]:
    """Return each segment's profiles by window, which is what its reference is built of."""
    found: dict[str, dict[str, Profile]] = {}
    for window, segments in windows.items():
        for name, part in pooled(segments, kept).items():
            found.setdefault(name, {})[window] = part
    return found
