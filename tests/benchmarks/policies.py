"""What policies are worth on the flights: calendars, drift, staleness, the default, hindsight.

`make policies` writes docs/policies.md with it. Gate and refit are the same for all. Every calendar
from 1 to 26 weeks is averaged over its phase: who picks the best one afterwards has hindsight too.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from mlops_assets.backtest.comparison import Backtest, Played
from mlops_assets.backtest.history import gathered
from mlops_assets.backtest.policies import Policy, replaced
from mlops_assets.decisions.hindsight import hindsight
from mlops_assets.declaration import Declaration
from mlops_assets.importing.declared import history
from mlops_assets.project import Project

MODEL = "flight_delay"
FACTORS = (0.5, 1.0, 2.0)
LONGEST = 26
EVIDENCE = {
    "drift alone": ["drift"],
    "staleness alone": ["staleness"],
    "staleness or drift (default)": ["staleness", "drift"],
}
SHOWN = ("every week", "every 4 weeks", "every 13 weeks")


INTRODUCTION = """\
# Policies

A policy is when to retrain: the sections `retraining` and `drift` of a declaration. To judge one before it is used, write what it changes into a file and play the history by it:
```bash
mlops replay flight_delay --policy docs/policies/every_4_weeks.yaml docs/policies/drift_alone.yaml
```
It prints for each policy the retrainings, the gain over the first model, the net value at the declared cost of a retraining, and that as a share of what the best schedule in hindsight would have had; the picture shows it over time. Models are shared, so another policy costs little. Nothing that serves is changed.

A cost is in the metric times months: .01 AUC for a month by default, 3% of the champion's first value for other metrics, or what `retraining.cost` says; in money where `retraining.kpi` names an expression.
"""


def calendar(weeks: int) -> str:
    return "every week" if weeks == 1 else f"every {weeks} weeks"


def seeded(declaration: Declaration, seed: int) -> Declaration:
    training = declaration.training.model_copy(update={"seed": seed})
    return declaration.model_copy(update={"training": training})


def calendars(backtest: Backtest) -> Iterator[tuple[str, list[Played]]]:
    """Yield each calendar, played once for each of its phases; its course depends on no cost."""
    base = backtest.declaration
    nothing = hindsight([], {}, 1.0)
    for weeks in range(1, LONGEST + 1):
        # a calendar is its own cooldown: only what an honest comparison needs holds it back
        soonest = base.gates.holdout_windows + 1
        sections = {
            "triggers": ["schedule"],
            "every_windows": weeks,
            "cooldown_windows": soonest,
            "breaker_windows": soonest,
        }
        policy = replaced(calendar(weeks), base, {"retraining": sections})
        yield (
            policy.name,
            [
                backtest.played(policy, nothing, cost=0.0, head_start=phase)
                for phase in range(weeks)
            ],
        )


def of_seed(declaration: Declaration, seed: int, windows: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each policy and cost: retrainings, gain, net and its share."""
    with gathered(seeded(declaration, seed), None, windows) as found:
        backtest = Backtest(found, seeded(declaration, seed))
        table = backtest.gains(lambda _: None)
        played = dict(calendars(backtest))
        rows = []
        for factor in FACTORS:
            cost = factor * backtest.cost
            best = hindsight(backtest.served, table, cost)
            for name, triggers in EVIDENCE.items():
                policy: Policy = replaced(
                    name, backtest.declaration, {"retraining": {"triggers": triggers, "cost": cost}}
                )
                played[name] = [backtest.played(policy, best, cost=cost)]
            for name, phases in played.items():
                nets = [one.gain - cost * one.attempts for one in phases]
                rows.append(
                    {
                        "seed": seed,
                        "factor": factor,
                        "policy": name,
                        "retrainings": fmean(one.attempts for one in phases),
                        "promoted": fmean(one.promoted for one in phases),
                        "gain": fmean(one.gain for one in phases),
                        "net": fmean(nets),
                        "share": fmean(nets) / best.net if best.net > 0 else None,
                    }
                )
            rows.append(
                {
                    "seed": seed,
                    "factor": factor,
                    "policy": "hindsight",
                    "retrainings": len(best.retrained),
                    "promoted": len(best.retrained),
                    "gain": best.gain,
                    "net": best.net,
                    "share": 1.0,
                }
            )
        return rows


def of_policy(rows: Sequence[dict[str, Any]], name: str, factor: float, field: str) -> list[float]:
    return [row[field] for row in rows if row["policy"] == name and row["factor"] == factor]


def page(rows: Sequence[dict[str, Any]], seeds: int, seconds: float) -> str:
    """Return the table as Markdown."""
    names = [calendar(weeks) for weeks in range(1, LONGEST + 1)]
    lines = [
        INTRODUCTION,
        "## What policies are worth on the flights",
        "",
        f"Made by `make policies`: {seeds} seeds, the whole demo history, gate and refit alike for "
        "all. Net value is the gain over the first model, frozen, in AUC x months, less the cost of "
        "each retraining, promoted or refused; a share is of the best schedule that hindsight finds "
        "among a retraining after any week, without a gate. Calendars are averaged over their phase. "
        "Where the gate needs more new weeks than a calendar leaves it, the next week is taken.",
        "",
        "| policy | retrainings | gain | "
        + " | ".join(f"net at {factor:g} x cost" for factor in FACTORS)
        + " |",
        "|---|---|---|" + "---|" * len(FACTORS),
    ]
    for name in (*SHOWN, *EVIDENCE, "hindsight"):
        cells = []
        for factor in FACTORS:
            shares = of_policy(rows, name, factor, "share")
            spread = (
                f" ± {100 * stdev(shares):.0f}" if len(shares) > 1 and name != "hindsight" else ""
            )
            cells.append(f"{100 * fmean(shares):.0f}%{spread}")
        count = fmean(of_policy(rows, name, 1.0, "retrainings"))
        gain = fmean(of_policy(rows, name, 1.0, "gain"))
        lines.append(f"| {name} | {count:.1f} | {gain:.4f} | {' | '.join(cells)} |")
    best = []
    for factor in FACTORS:
        top = max(names, key=lambda one: fmean(of_policy(rows, one, factor, "share")))
        best.append(f"{100 * fmean(of_policy(rows, top, factor, 'share')):.0f}% ({top})")
    lines += [
        f"| best calendar of 1 to {LONGEST} weeks, known afterwards | | | {' | '.join(best)} |",
        "",
        "± is the standard deviation over seeds; retrainings and gain are at the declared cost.",
        "",
        f"{seconds / seeds:.0f} s for a seed, in which {sum(range(1, LONGEST + 1))} calendars and "
        f"{len(EVIDENCE) * len(FACTORS)} other policies share their models.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rows", type=Path, help="keep each seed's rows here, and go on from them")
    parser.add_argument("--page", type=Path, help="write the page here; else print it")
    options = parser.parse_args()
    project = Project.find()
    declaration = project.declaration(MODEL)
    windows, _ = history(project.root, declaration, None, None)
    rows: list[dict[str, Any]] = []
    if options.rows and options.rows.exists():
        rows = json.loads(options.rows.read_text())
    seconds = 0.0
    for seed in range(1, options.seeds + 1):
        if any(row["seed"] == seed for row in rows):
            continue
        begun = time.monotonic()
        rows += of_seed(declaration, seed, windows)
        seconds += time.monotonic() - begun
        print(f"seed {seed}: {time.monotonic() - begun:.0f} s", flush=True)
        if options.rows:
            options.rows.write_text(json.dumps(rows))
    text = page(rows, options.seeds, seconds)
    if options.page:
        options.page.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
