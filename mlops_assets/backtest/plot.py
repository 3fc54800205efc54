"""The policies' net value over the windows, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.backtest.comparison import Backtest, Played
from mlops_assets.decisions.hindsight import Best

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = ("#2f6fb0", "#d98324", "#3f8f4f", "#b83232", "#7a5fa8", "#8a6d4b", "#4f9aa8", "#c46a9b")
_GREY = "#7b838c"


def draw(backtest: Backtest, results: Sequence[Played], best: Best, unit: str, file: Path) -> Path:
    """Write a picture: a line for each policy, its retrainings marked, and hindsight's in grey.

    Args:
        backtest: what the policies were played on.
        results: one for each policy.
        best: hindsight's schedule.
        unit: of the net value, as `auc x months`.
        file: where to; its ending says the format (.svg, .png, .pdf).

    """
    import matplotlib as mpl

    file.parent.mkdir(parents=True, exist_ok=True)
    # a policy's file called `$a_$` is no formula
    with mpl.rc_context({"text.parse_math": False}):
        _figure(backtest, results, best, unit).savefig(file)
    return file


def _figure(backtest: Backtest, results: Sequence[Played], best: Best, unit: str) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.2), dpi=110)
    axes = figure.subplots()
    windows = backtest.served
    place = {window: number for number, window in enumerate(windows)}
    table = backtest.gains(lambda _: None)
    earned = {
        window: table[serving].get(window, 0.0) if serving else 0.0
        for window, serving in _in_force(windows, best.retrained).items()
    }
    lines = [("hindsight", earned, list(best.retrained), "--", _GREY)]
    for number, played in enumerate(results):
        attempts = [one.window for one in played.simulation.retrainings if one.window in place]
        colour = _COLOURS[number % len(_COLOURS)]
        lines.append((played.name, dict(played.by_window), attempts, "-", colour))
    for name, gains, attempts, style, colour in lines:
        heights = []
        total = 0.0
        for window in windows:
            total += gains.get(window, 0.0) - backtest.cost * attempts.count(window)
            heights.append(total)
        label = f"{name}: {len(attempts)} retrainings, {total:+.4g}"
        axes.plot(heights, style, color=colour, linewidth=1.6, label=label)
        at = [place[window] for window in attempts]
        axes.scatter(at, [heights[one] for one in at], color=colour, s=24, zorder=3)
    axes.axhline(0, color="#b8bfc7", linewidth=0.8, zorder=0)
    step = max(1, len(windows) // 10)
    axes.set_xticks(range(0, len(windows), step), windows[::step], fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    axes.set_ylabel(f"net value so far ({unit})", fontsize=9)
    axes.set_title(
        f"{backtest.declaration.name}: gain over the first model less the cost of retrainings, "
        "each marked by a dot",
        loc="left",
        fontsize=10,
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    figure.tight_layout()
    return figure


def _in_force(windows: Sequence[str], retrained: Sequence[str]) -> dict[str, str | None]:
    """Return which of hindsight's candidates serves each window."""
    found: dict[str, str | None] = {}
    for window in windows:
        before = [turn for turn in retrained if turn < window]
        found[window] = before[-1] if before else None
    return found
