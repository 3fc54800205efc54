"""From a window's profile to its verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mlops_assets.drift.distances import (
    cardinality_change,
    distance,
    null_change,
    population_stability,
    wasserstein,
)
from mlops_assets.drift.policy import DriftPolicy, choose_limit, rank_p_value
from mlops_assets.drift.reference import PREDICTION, Reference, Yardstick
from mlops_assets.drift.resemblance import resemblance
from mlops_assets.drift.segments import pooled
from mlops_assets.drift.verdict import (
    FeatureLine,
    Outcome,
    Verdict,
    moved,
    sentence,
    surroundings,
)
from mlops_assets.sketches.column import Column
from mlops_assets.sketches.profile import Profile, spelled
from mlops_assets.words import counted

__all__ = [
    "DriftPolicy",
    "Earlier",
    "FeatureLine",
    "Outcome",
    "Reference",
    "Verdict",
    "insufficient",
    "judge",
]


@dataclass(frozen=True)
class Earlier:
    """What was found of a window judged before by the same policy against the same champion."""

    exceeds: bool
    prediction_exceeds: bool = False


def judge(
    reference: Reference,
    window: str,
    profile: Profile,
    policy: DriftPolicy,
    *,
    earlier: Sequence[Earlier] = (),
    unjudged: Sequence[tuple[str, str]] = (),
    segments: Mapping[str, Profile] | None = None,
    earlier_of: Mapping[str, Sequence[Earlier]] | None = None,
) -> Verdict:
    """Return the verdict on one window.

    ``drifted`` means that ``needed`` of the ``of_last`` latest windows, this one included, exceed
    the limit: this one itself need not. A warning sign never makes a window drifted.

    Args:
        reference: what the window is compared with; it must not hold the window.
        window: the key of the window.
        profile: of the window's rows.
        policy: as declared now.
        earlier: the windows judged before, oldest first, without the insufficient ones.
        unjudged: windows since the last of them that could not be judged, each with why.
        segments: the profiles of the declared parts of the rows; judged where the reference has
            them too.
        earlier_of: for each segment what ``earlier`` is for the whole.

    """
    parts = _segments(reference, window, policy, segments or {}, earlier_of or {})
    shared = policy.sharing(len(parts) + 1) if policy.segments_decide else policy
    whole = _judged(reference, window, profile, shared, earlier)
    outcome = whole.verdict
    if policy.segments_decide and any(part.verdict == "drifted" for part in parts.values()):
        outcome = "drifted"
    said = [whole.sentence, *surroundings(parts, unjudged, policy)]
    if outcome != whole.verdict:
        said[0] = f"{outcome}, in a segment: the whole is {whole.sentence}"
    return replace(
        whole,
        verdict=outcome,
        sentence="; ".join(said),
        policy=policy.hash,
        unjudged=tuple(unjudged),
        segments=parts,
    )


def insufficient(window: str, policy: DriftPolicy, reason: str, rows: int = 0) -> Verdict:
    """Return the verdict of a window that can't be compared with anything."""
    return Verdict(window, "insufficient", f"insufficient: {reason}", policy.hash, rows)


def _segments(
    reference: Reference,
    window: str,
    policy: DriftPolicy,
    segments: Mapping[str, Profile],
    earlier_of: Mapping[str, Sequence[Earlier]],
) -> dict[str, Verdict]:
    if not policy.segments:
        return {}
    present = pooled(segments, reference.segments)
    names = sorted({*reference.segments, *present})
    shared = policy.sharing(len(names) + policy.segments_decide)
    found = {}
    for name in names:
        part = present.get(name) or Profile({})
        if name not in reference.segments:
            reason = "the reference has no such rows"
        elif part.rows < policy.min_segment_rows:
            reason = f"{counted(part.rows, 'row')}, and {policy.min_segment_rows} are needed"
        else:
            verdict = _judged(
                reference.segments[name], window, part, shared, earlier_of.get(name, ())
            )
            found[name] = replace(verdict, policy=policy.hash)
            continue
        found[name] = insufficient(window, policy, reason, part.rows)
    return found


def _judged(
    reference: Reference,
    window: str,
    profile: Profile,
    policy: DriftPolicy,
    earlier: Sequence[Earlier],
) -> Verdict:
    """Judge by the policy as it is: with its share of the budget."""
    yardstick = reference.under(policy)
    if reason := _nothing_to_judge(reference, yardstick, profile, policy):
        return insufficient(window, policy, reason, profile.rows)
    columns = {
        name: profile.columns.get(name) or Column.absent(profile.rows)
        for name in reference.features
    }
    lines, score = _lines(reference, yardstick, columns)
    limit = yardstick.limit
    recent = [*(one.exceeds for one in earlier), score > limit.score]
    warnings = _warnings(reference, yardstick, columns, policy)
    prediction_exceeds = False
    if PREDICTION in profile.columns and PREDICTION in reference.features:
        line = next(line for line in lines if line.feature == PREDICTION)
        prediction_exceeds = line.distance > _prediction_limit(reference, yardstick, policy)
        before = [one.prediction_exceeds for one in earlier]
        if policy.alarms([*before, prediction_exceeds]):
            warnings = (f"the predictions drift: {moved(line, policy)}", *warnings)
    outcome: Outcome = "warning" if recent[-1] or warnings else "stable"
    if policy.alarms(recent):
        outcome = "drifted"
    return Verdict(
        window=window,
        verdict=outcome,
        sentence=sentence(
            outcome,
            score=score,
            limit=limit.score,
            recent=recent,
            lines=lines,
            warnings=warnings,
            policy=policy,
        ),
        policy=policy.hash,
        rows=profile.rows,
        score=score,
        limit=limit.score,
        p_value=rank_p_value(score, yardstick.own_scores),
        k=limit.k,
        m=limit.m,
        effective=limit.effective,
        exceeds=recent[-1],
        prediction_exceeds=prediction_exceeds,
        alarms_per_year=limit.alarms_per_year,
        budget_short=limit.budget_short,
        features=lines,
        warnings=warnings,
    )


def _nothing_to_judge(
    reference: Reference, yardstick: Yardstick, profile: Profile, policy: DriftPolicy
) -> str:
    least = policy.min_row_share * reference.median_rows
    if not profile.rows:
        return "the window has no rows"
    if profile.rows < least:
        return (
            f"{counted(profile.rows, 'row')}, where the reference's windows have {reference.median_rows:g}; "
            f"at least {least:g} are needed"
        )
    if not any(yardstick.shares.values()):
        return "every feature of the reference is left out, so there is nothing to score"
    if len(yardstick.places) < 2:
        return "the reference is a single window, so there is nothing to tell usual from unusual"
    return ""


def _prediction_limit(reference: Reference, yardstick: Yardstick, policy: DriftPolicy) -> float:
    """Return the limit of the predictions alone, for the same budget.

    In a champion's own reference the scores are of rows that it learnt from, whose windows it
    tells apart better than new ones: their range is rather too wide, and this warns late.
    """
    line = reference.features[PREDICTION]
    alike = resemblance({PREDICTION: line.neighbours}, {PREDICTION: 1.0})
    return choose_limit(yardstick.of(line.own), policy, alike).score


def _lines(
    reference: Reference, yardstick: Yardstick, columns: Mapping[str, Column]
) -> tuple[tuple[FeatureLine, ...], float]:
    """Return a line per column, the largest part of the score first, and the score."""
    far = {
        name: distance(reference.profile.columns[name], columns[name], line.kind, line.kept)
        for name, line in reference.features.items()
    }
    # summed in the order in which the own scores were, so that equal windows tie exactly
    score = sum(yardstick.shares[name] * far[name] for name in reference.features)
    lines = []
    for name, line in reference.features.items():
        before, now, own = reference.profile.columns[name], columns[name], yardstick.of(line.own)
        lines.append(
            FeatureLine(
                feature=name,
                kind=line.kind,
                distance=far[name],
                own_low=min(own),
                own_high=max(own),
                share=yardstick.shares[name] * far[name] / score if score else 0.0,
                null_change=null_change(before, now),
                psi=population_stability(before, now, line.kind, line.kept),
                wasserstein=wasserstein(before, now) if line.kind == "ks" else None,
                cardinality_change=_cardinality(
                    cardinality_change(before, now), yardstick.of(line.cardinality)
                ),
            )
        )
    lines.sort(key=lambda line: (-line.share, -line.distance, line.feature))
    return tuple(lines), score


def _cardinality(now: float | None, own: Sequence[float | None]) -> float | None:
    """Return the change as a multiple of the middle one of the own windows'."""
    usual = sorted(one for one in own if one is not None)
    if now is None or not usual or not usual[len(usual) // 2]:
        return None
    return now / usual[len(usual) // 2]


def _warnings(
    reference: Reference,
    yardstick: Yardstick,
    columns: Mapping[str, Column],
    policy: DriftPolicy,
) -> tuple[str, ...]:
    found = []
    for name, line in reference.features.items():
        if name in policy.leave_out:
            continue
        before, now = reference.profile.columns[name], columns[name]
        missing = yardstick.of(line.missing)
        low, high = min(missing), max(missing)
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
                    f"{name}: never seen in the reference: {', '.join(map(spelled, new[:3]))}{more} "
                    f"({share:.1%} of rows)"
                )
        if now.constant and not before.constant and not any(yardstick.of(line.constant)):
            found.append(
                f"{name}: a single value fills the window, as it never did in the reference"
            )
    return tuple(found)
