"""docs/calibration.md, written from what `calibration` measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tests.benchmarks.calibration import Found
    from tests.benchmarks.calibration_peers import Compared

HEAD = """\
# How well the drift verdict is calibrated

Written by `make calibrate`; nothing here is typed by hand. The question: how often does the verdict cry wolf where nothing drifts, and how soon does it see what does?

**How.** A history is an order of the {weeks} whole weeks of the demo's flights, none twice: the first are the reference, the next {judged} are judged. Shuffled, no week differs from another but as weeks do, so every alarm is false. In spells, four weeks in a row stay together, as a season would hold them. 52 weeks of reference need more weeks than there are: these are simulated from the real ones' week effects (principal components of all columns' distribution functions, each component's score from some real week, in spells from four in a row). Each week is profiled from 1,000 or 10,000 of its rows (drawn with repetition where it has fewer); 5 features are the most important ones, 30 are the demo's 18 and products of them; importance is a LightGBM's share of gain. {histories:,} histories each. The distances, the limit and the rule of 2 of 3 are the verdict's own functions. The budget is 1 false alarm a year, a year has 52.18 weeks, and every window on which the rule holds counts as an alarm, from the third window judged on.
"""

NULL = """
## False alarms a year
`simulated` is what happened, with its 95% confidence interval; `said` is what the verdict expected (the mean over histories); `too short` is how many of them said that the reference is too short for the budget; `count as` is for how many independent windows the reference's stand, as its own order shows.
"""

READING = """
Where weeks come in any order, the simulation agrees with the formula, and the budget is kept as soon as the reference is not said to be too short. Where they come in spells, a formula for independent windows would be wrong by up to {worst:.0f} times; the verdict sees most spells by the order of the reference's own windows and counts them as fewer. {unseen}
"""

POWER = """
## Power and delay
From the first window after the reference on, one column is shifted by so many standard deviations: `{important}`, the column of numbers with the most importance, or `{unimportant}`, which has about a hundredth. Shuffled weeks, {rows:,} rows, {features} features. The share of histories with an alarm within 4 and within 13 windows, and the median delay in windows of those with one within {judged}. The first row of each is without any shift.
"""

PEERS = """
## Beside others' defaults
{windows} windows after 13 shuffled weeks of flights, 1,000 rows each, nothing drifts. For whylogs a column is flagged at p < .05 (Kolmogorov-Smirnov, chi-square), for Evidently's drift preset by its own choice of measure and threshold; for ours one stands out beyond all its own windows, which by itself decides nothing. As a whole: Evidently's share of columns, our score beyond its limit.
"""


def page(
    found: Sequence[Found],
    important: str,
    unimportant: str,
    peers: Sequence[Compared],
    histories: int,
    minutes: float,
) -> str:
    """Return the page in Markdown."""
    null = [one for one in found if one.setting.shifted is None]
    shifted = [one for one in found if one.setting.shifted is not None]
    rows, features = shifted[0].setting.rows, shifted[0].setting.features
    return "".join(
        [
            HEAD.format(weeks=50, judged=_judged(), histories=histories),
            NULL,
            *(_null_table(null, spell) for spell in sorted({one.setting.spell for one in null})),
            READING.format(worst=_worst(null), unseen=_unseen(null)),
            POWER.format(
                important=important,
                unimportant=unimportant,
                rows=rows,
                features=features,
                judged=_judged(),
            ),
            _power_table(null, shifted, (important, unimportant)),
            PEERS.format(windows=peers[0].windows),
            _peers_table(peers),
            f"\nMeasured in {minutes:.0f} minutes on two busy cores.\n",
        ]
    )


def _judged() -> int:
    from tests.benchmarks.calibration import JUDGED

    return JUDGED


def _null_table(null: Sequence[Found], spell: int) -> str:
    order = "Weeks in any order" if spell == 1 else f"Spells of {spell} weeks kept together"
    lines = [
        f"\n{order}:\n",
        "| reference | rows | features | k | count as | simulated | said | too short |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in sorted(null, key=_key):
        if one.setting.spell != spell:
            continue
        mean, low, high = one.interval()
        lines.append(
            f"| {one.setting.reference} | {one.setting.rows:,} | {one.setting.features} "
            f"| {np.median(one.k):.0f} | {one.effective.mean():.0f} "
            f"| {mean:.2f} [{low:.2f}, {high:.2f}] | {one.said.mean():.2f} "
            f"| {one.short.mean():.0%} |"
        )
    return "\n".join(lines) + "\n"


def _worst(null: Sequence[Found]) -> float:
    """Return by how much spells exceed what the formula for weeks in any order says."""
    said = {_key(one): float(np.median(one.said)) for one in null if one.setting.spell == 1}
    return max(one.interval()[0] / said[_key(one)] for one in null if one.setting.spell > 1)


def _key(one: Found) -> tuple[int, int, int]:
    return one.setting.reference, one.setting.rows, one.setting.features


def _unseen(null: Sequence[Found]) -> str:
    """Say where spells give more alarms than the budget and than the verdict said."""
    beyond = sorted(
        {
            one.setting.reference
            for one in null
            if one.setting.spell > 1 and one.interval()[1] > max(one.said.mean(), 1.0)
        }
    )
    if not beyond:
        return "So the budget is kept, or the verdict says by how much it is not."
    named = " and ".join(map(str, beyond))
    return (
        f"With {named} windows it says that the reference is too short, and not by how much: so few "
        "windows are two or three spells, whose order shows too little."
    )


def _power_table(null: Sequence[Found], shifted: Sequence[Found], columns: Sequence[str]) -> str:
    rows, features = shifted[0].setting.rows, shifted[0].setting.features
    lines = [
        "\n| reference | column | shift, sd | within 4 | within 13 | median delay |",
        "|---|---|---|---|---|---|",
    ]
    for reference in sorted({one.setting.reference for one in shifted}):
        plain = next(
            one
            for one in null
            if one.setting.spell == 1 and _key(one) == (reference, rows, features)
        )
        for column in columns:
            same = [
                one
                for one in shifted
                if one.setting.reference == reference
                and one.setting.shifted is not None
                and one.setting.shifted[0] == column
            ]
            for one in (plain, *same):
                by = one.setting.shifted[1] if one.setting.shifted else 0
                delays = one.delay[one.delay > 0]
                delay = f"{np.median(delays):.0f}" if len(delays) else ""
                lines.append(
                    f"| {reference} | {column} | {by:g} | {one.detected(4):.0%} "
                    f"| {one.detected(13):.0%} | {delay} |"
                )
    return "\n".join(lines) + "\n"


def _peers_table(peers: Sequence[Compared]) -> str:
    lines = [
        "\n| | columns flagged | windows with any | windows as a whole |",
        "|---|---|---|---|",
    ]
    for one in peers:
        whole = "no such thing" if one.whole is None else f"{one.whole:.0%}"
        lines.append(f"| {one.name} | {one.columns:.0%} | {one.any_column:.0%} | {whole} |")
    return "\n".join(lines) + "\n"
