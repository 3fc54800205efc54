"""From a window's profile to its verdict, in a person's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mlops_assets.profiles.column import Column
from mlops_assets.profiles.distances import distance, null_change
from mlops_assets.profiles.policy import DriftPolicy, Limit, choose_limit, rank_p_value
from mlops_assets.profiles.profile import Profile
from mlops_assets.profiles.reference import Reference

__all__ = [
    "DriftPolicy",
    "FeatureLine",
    "Outcome",
    "Reference",
    "Verdict",
    "judge",
    "no_champion",
]

Outcome = Literal["stable", "warning", "drifted", "insufficient"]

_UNITS = {365: "days", 52: "weeks", 12: "months", 8760: "hours", 4: "quarters"}


@dataclass(frozen=True)
class FeatureLine:
    """One feature's part in a verdict; ``share`` is its part of the score, 0 to 1."""

    feature: str
    kind: str
    distance: float
    own_low: float
    own_high: float
    share: float
    null_change: float


@dataclass(frozen=True)
class Verdict:
    """What the policy says of one window; without a score nothing was compared."""

    window: str
    verdict: Outcome
    sentence: str
    policy: str
    rows: int = 0
    score: float | None = None
    limit: float | None = None
    p_value: float | None = None
    k: int | None = None
    m: int | None = None
    exceeds: bool = False
    alarms_per_year: float | None = None
    budget_short: str | None = None
    features: tuple[FeatureLine, ...] = ()
    warnings: tuple[str, ...] = ()


def judge(
    reference: Reference,
    window: str,
    profile: Profile,
    earlier: Sequence[bool],
    windows_per_year: float,
) -> Verdict:
    """Return the verdict on one window.

    ``earlier`` are the ``exceeds`` of the windows judged before against this same champion, oldest
    first, without the insufficient ones. ``drifted`` means that ``needed`` of the ``of_last``
    latest, this one included, exceed: this one itself need not.
    """
    policy = reference.policy
    reason = _insufficient(reference, profile)
    if reason:
        return Verdict(window, "insufficient", f"insufficient: {reason}", policy.hash, profile.rows)
    columns = {
        name: profile.columns.get(name) or Column.absent(profile.rows)
        for name in reference.features
    }
    lines, score = _lines(reference, columns)
    limit = choose_limit(reference.own_scores, policy, windows_per_year)
    exceeds = score > limit.score
    recent = [*earlier, exceeds][-policy.of_last :]
    warnings = _warnings(reference, columns)
    outcome: Outcome = "stable"
    if exceeds or warnings:
        outcome = "warning"
    if sum(recent) >= policy.needed:
        outcome = "drifted"
    units = next(
        (unit for n, unit in _UNITS.items() if abs(windows_per_year / n - 1) < 0.03), "windows"
    )
    return Verdict(
        window=window,
        verdict=outcome,
        sentence=_sentence(
            outcome,
            score,
            limit,
            recent=recent,
            lines=lines,
            warnings=warnings,
            policy=policy,
            units=units,
        ),
        policy=policy.hash,
        rows=profile.rows,
        score=score,
        limit=limit.score,
        p_value=rank_p_value(score, reference.own_scores),
        k=limit.k,
        m=limit.m,
        exceeds=exceeds,
        alarms_per_year=limit.alarms_per_year,
        budget_short=limit.budget_short,
        features=lines,
        warnings=warnings,
    )


def no_champion(window: str, policy: DriftPolicy, rows: int = 0) -> Verdict:
    """Return the verdict of a window that came before the first champion."""
    sentence = "insufficient: there is no champion yet to compare this window with"
    return Verdict(window, "insufficient", sentence, policy.hash, rows)


def _insufficient(reference: Reference, profile: Profile) -> str:
    least = reference.policy.min_row_share * reference.median_rows
    if not profile.rows:
        return "the window has no rows"
    if profile.rows < least:
        return (
            f"{profile.rows} rows, where the reference's windows have {reference.median_rows:g}; "
            f"at least {least:g} are needed"
        )
    if len(reference.windows) < 2:
        return "the reference is a single window, so there is nothing to tell usual from unusual"
    return ""


def _lines(
    reference: Reference, columns: dict[str, Column]
) -> tuple[tuple[FeatureLine, ...], float]:
    """Return a line per column, the largest part of the score first, and the score."""
    moved = {
        name: distance(reference.profile.columns[name], columns[name], line.kind, line.kept)
        for name, line in reference.features.items()
    }
    # summed in the order in which the own scores were, so that equal windows tie exactly
    score = sum(line.share * moved[name] for name, line in reference.features.items())
    lines = [
        FeatureLine(
            feature=name,
            kind=line.kind,
            distance=moved[name],
            own_low=min(line.own),
            own_high=max(line.own),
            share=line.share * moved[name] / score if score else 0.0,
            null_change=null_change(reference.profile.columns[name], columns[name]),
        )
        for name, line in reference.features.items()
    ]
    lines.sort(key=lambda line: (-line.share, -line.distance, line.feature))
    return tuple(lines), score


def _warnings(reference: Reference, columns: dict[str, Column]) -> tuple[str, ...]:
    policy, found = reference.policy, []
    for name, line in reference.features.items():
        if name in policy.leave_out:
            continue
        before, now = reference.profile.columns[name], columns[name]
        low, high = line.own_missing
        usual = low <= now.missing_share <= high
        # windows are compared with windows: a gust is missing in most weeks, in some in nearly all
        if not usual and round(abs(null_change(before, now)), 9) >= policy.null_change:
            found.append(
                f"{name}: missing in {now.missing_share:.1%} of rows (reference "
                f"{before.missing_share:.1%}, its own windows {low:.1%} to {high:.1%})"
            )
        if line.kind == "tv" and sum(before.categories.values()) == before.values:
            # a reference with more categories than its sketch holds can't say what is new
            new = sorted(set(now.categories) - set(before.categories))
            share = sum(now.categories[category] for category in new) / max(now.values, 1)
            if new and share >= policy.new_categories:
                more = f" and {len(new) - 3} more" if len(new) > 3 else ""
                found.append(
                    f"{name}: never seen in the reference: {', '.join(new[:3])}{more} "
                    f"({share:.1%} of rows)"
                )
        if now.constant and not before.constant and not line.own_constant:
            found.append(
                f"{name}: a single value fills the window, as it never did in the reference"
            )
    return tuple(found)


def _sentence(
    outcome: Outcome,
    score: float,
    limit: Limit,
    *,
    recent: Sequence[bool],
    lines: Sequence[FeatureLine],
    warnings: Sequence[str],
    policy: DriftPolicy,
    units: str,
) -> str:
    compared = f"score {_short(score)}, limit {_short(limit.score)}"
    if outcome == "drifted":
        judged = min(policy.of_last, len(recent))
        said = f"{sum(recent)} of the last {judged} windows exceed the limit ({compared})"
    elif recent[-1]:
        said = (
            f"this window exceeds the limit ({compared}), too few of the last {policy.of_last} do"
        )
    else:
        said = f"within the limit ({compared})"
    parts = [f"{outcome}: {said}"]
    if lines and lines[0].share:
        top = lines[0]
        own = f"{_short(top.own_low)} to {_short(top.own_high)}"
        parts.append(
            f"{top.feature} moved {_short(top.distance)} (its own {units}: {own}) "
            f"and makes up {top.share:.0%} of the score"
        )
    parts += warnings[:2]
    if limit.budget_short:
        parts.append(limit.budget_short)
    return "; ".join(parts)


def _short(value: float) -> str:
    """Return two digits, or three where two would hide it, without the leading zero."""
    text = f"{value:.2f}" if value >= 0.095 or not value else f"{value:.3f}"
    return text.removeprefix("0") or "0"
