"""Small pictures for the metadata of an asset: a PNG inside Markdown, as Dagster's UI shows it."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREY, RED = "#2f6fb0", "#d98324", "#b8bfc7", "#b83232"


@dataclass(frozen=True)
class Panel:
    """One or two figures over the windows, a gap where there is none, and their limit."""

    title: str
    lines: Mapping[str, Sequence[float | None]]
    limits: Sequence[float | None] | None = None
    limit: str = "limit"


def bars(
    names: Sequence[str], values: Sequence[float], title: str, *, color: str = BLUE
) -> dg.MarkdownMetadataValue:
    """Draw one horizontal bar for each name, the first at the top."""
    axes = _axes(0.24 * len(names) + 0.9, names)
    axes.barh(range(len(names)), values, color=color)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_title(title, loc="left")
    return _picture(axes, title)


def ranges(
    names: Sequence[str],
    values: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    title: str,
) -> dg.MarkdownMetadataValue:
    """Draw for each name its value as a dot over the range that is usual for it."""
    axes = _axes(0.26 * len(names) + 1.1, names)
    places = range(len(names))
    axes.barh(
        places,
        [b - a for a, b in zip(low, high, strict=True)],
        left=low,
        color=GREY,
        height=0.55,
        label="the reference's own windows",
    )
    outside = [RED if value > top else BLUE for value, top in zip(values, high, strict=True)]
    axes.scatter(values, places, color=outside, zorder=3, s=26, label="this window")
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_title(title, loc="left")
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    return _picture(axes, title)


def history(
    windows: Sequence[str],
    values: Sequence[float],
    title: str,
    *,
    limits: Sequence[float | None] | None = None,
    marked: Sequence[str] = (),
    mark: str = "",
    limit: str = "limit",
) -> dg.MarkdownMetadataValue:
    """Draw a figure over the windows, with its limit and vertical marks where something happened."""
    axes = _axes(2.6)
    places = list(range(len(windows)))
    axes.plot(places, values, color=BLUE, marker="o", markersize=3, linewidth=1.2)
    if limits is not None:
        axes.step(places, gapped(limits), where="mid", color=RED, linewidth=1, label=limit)
    for number, window in enumerate(window for window in marked if window in windows):
        place = list(windows).index(window)
        axes.axvline(place, color=ORANGE, linewidth=1, label=mark if number == 0 else None)
    step = max(1, len(windows) // 8)
    axes.set_xticks(places[::step], [window[5:] for window in windows[::step]])
    axes.set_title(title, loc="left")
    if limits is not None or marked:
        axes.legend(frameon=False, fontsize=8)
    return _picture(axes, title)


def panels(
    windows: Sequence[str],
    parts: Sequence[Panel],
    *,
    marked: Sequence[str] = (),
    mark: str = "",
) -> dg.MarkdownMetadataValue:
    """Draw panels one above the other, over the same windows and with the same marks."""
    from matplotlib.figure import Figure

    height = 2.4 * len(parts)
    # one picture costs half of what two do
    figure = Figure(figsize=(7, height), dpi=80)
    figure.subplots_adjust(
        left=0.08, right=0.98, top=1 - 0.3 / height, bottom=0.3 / height, hspace=0.3
    )
    places = list(range(len(windows)))
    step = max(1, len(windows) // 8)
    every = figure.subplots(len(parts), sharex=True, squeeze=False)[:, 0]
    for axes, part in zip(every, parts, strict=True):
        for number, (label, values) in enumerate(part.lines.items()):
            color = (BLUE, ORANGE)[number]
            axes.plot(
                places, gapped(values), color=color, marker="o", markersize=3, lw=1.2, label=label
            )
        if part.limits is not None:
            drawn = gapped(part.limits)
            axes.step(places, drawn, where="mid", color=RED, lw=1, label=part.limit)
        for window in marked:
            # between the windows: it serves from this one on
            axes.axvline(windows.index(window) - 0.5, color=GREY, lw=3, zorder=0)
        axes.set_xticks(places[::step], [window[5:] for window in windows[::step]])
        axes.margins(y=0.2)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.set_title(part.title, loc="left", fontsize=10)
        axes.legend(frameon=False, fontsize=8, loc="upper left", ncols=3)
    if marked:
        every[0].plot([], [], color=GREY, lw=3, label=mark)
        every[0].legend(frameon=False, fontsize=8, loc="upper left", ncols=3)
    return _embedded(figure, parts[0].title)


def gapped(values: Sequence[float | None]) -> list[float]:
    """Return the values with NaN, at which a line is broken, for None."""
    return [float("nan") if value is None else value for value in values]


def pairs(
    names: Sequence[str],
    ours: Sequence[float],
    theirs: Sequence[float],
    labels: tuple[str, str],
    title: str,
) -> dg.MarkdownMetadataValue:
    """Draw two points for each name, one above the other: their difference is what is looked at."""
    axes = _axes(2.6)
    places = range(len(names))
    axes.vlines(places, ours, theirs, color=GREY, linewidth=6, zorder=1)
    axes.scatter(places, ours, s=60, color=BLUE, zorder=3, label=labels[0])
    axes.scatter(places, theirs, s=60, color=ORANGE, zorder=2, label=labels[1])
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.margins(y=0.3)
    axes.set_xticks(places, names)
    axes.set_title(title, loc="left")
    axes.legend(frameon=False, fontsize=8)
    return _picture(axes, title)


def _axes(height: float, labels: Sequence[str] = ()) -> Axes:
    from matplotlib.figure import Figure

    # margins by hand: the automatic layouts draw everything twice
    axes = Figure(figsize=(7, height), dpi=80).subplots()
    axes.figure.subplots_adjust(
        left=min(0.5, 0.07 + 0.009 * max((len(label) for label in labels), default=0)),
        right=0.98,
        top=1 - 0.32 / height,
        bottom=0.32 / height,
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return axes


def _picture(axes: Any, title: str) -> dg.MarkdownMetadataValue:
    axes.title.set_fontsize(10)
    return _embedded(axes.figure, title)


def _embedded(figure: Any, title: str) -> dg.MarkdownMetadataValue:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    picture = base64.b64encode(buffer.getvalue()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{picture})")
