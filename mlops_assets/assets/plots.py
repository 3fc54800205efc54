"""Small pictures for the metadata of an asset: a PNG inside Markdown, as Dagster's UI shows it."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.profiles.shapes import Shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREY, RED = "#2f6fb0", "#d98324", "#b8bfc7", "#b83232"
MOST_WINDOWS = 104  # the newest; a longer history would be a blot, and its metadata large
_MOST_DOTS = 60
_WIDTH, _DPI, _TITLE, _TEXT = 7.0, 80, 10, 8  # inches, and sizes in points


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
    axes = _rows(names, 0.24, 0.9)
    axes.barh(range(len(names)), values, color=color)
    return _embedded(axes.figure, title)


def ranges(
    names: Sequence[str],
    values: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    title: str,
) -> dg.MarkdownMetadataValue:
    """Draw for each name its value as a dot over the range that is usual for it."""
    axes = _rows(names, 0.26, 1.1, legend=True)
    places = range(len(names))
    widths = [b - a for a, b in zip(low, high, strict=True)]
    usual = "the reference's own windows"
    axes.barh(places, widths, left=low, color=GREY, height=0.55, label=usual)
    for outside, color, label in (
        (False, BLUE, "this window"),
        (True, RED, "this window, beyond all of them"),
    ):
        of_it = [place for place in places if (values[place] > high[place]) is outside]
        if of_it:
            dots = [values[place] for place in of_it]
            axes.scatter(dots, of_it, color=color, zorder=3, s=26, label=label)
    axes.set_xlim(left=0)
    _legend(axes)
    return _embedded(axes.figure, title)


def panels(
    windows: Sequence[str],
    parts: Sequence[Panel],
    *,
    marked: Sequence[str] = (),
    mark: str = "",
) -> dg.MarkdownMetadataValue:
    """Draw panels one above the other, over the same windows and with the same marks."""
    from matplotlib.figure import Figure

    height = 2.5 * len(parts)
    # one picture costs half of what two do
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI)
    figure.subplots_adjust(
        left=0.08, right=0.98, top=1 - 0.5 / height, bottom=0.3 / height, hspace=0.4
    )
    every = figure.subplots(len(parts), sharex=True, squeeze=False)[:, 0]
    for axes, part in zip(every, parts, strict=True):
        _lines(axes, part)
        _time(axes, windows, marked, mark if axes is every[0] else "")
        _legend(axes)
        axes.set_title(part.title, loc="left", fontsize=_TITLE, pad=20)
    return _embedded(figure, parts[0].title, titled=True)


def heat_map(
    windows: Sequence[str],
    panel: Panel,
    names: Sequence[str],
    cells: Sequence[Sequence[float | None]],
    title: str,
    *,
    marked: Sequence[str] = (),
    mark: str = "",
) -> dg.MarkdownMetadataValue:
    """Draw a figure over the windows, and below it for each name a row of cells.

    Cells count from 0: blue up to 1, orange beyond, red from 3 on. None is left grey.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    heights = (1.6, 0.2 * len(names) + 0.2)
    height = sum(heights) + 1.3
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI)
    figure.subplots_adjust(
        left=_left(names),
        right=0.98,
        top=1 - 0.5 / height,
        bottom=0.3 / height,
        hspace=0.5 / (sum(heights) / 2),
    )
    upper, lower = figure.subplots(2, sharex=True, height_ratios=heights)
    _lines(upper, panel)
    colors = LinearSegmentedColormap.from_list(
        "cells", [(0, "#ffffff"), (1 / 3, "#b9cade"), (1 / 3, "#f3cf9e"), (0.7, ORANGE), (1, RED)]
    ).with_extremes(bad="#e6e6e6")
    drawn = [gapped(row[-MOST_WINDOWS:]) for row in cells]
    lower.imshow(drawn, cmap=colors, vmin=0, vmax=3, aspect="auto", rasterized=True)
    lower.set_yticks(range(len(names)), [shortened(name) for name in names])
    _time(upper, windows, marked, mark)
    _time(lower, windows, marked)
    _legend(upper)
    place = upper.get_position()
    edge = (0.01 - place.x0) / place.width  # the figure's: names may leave the cells little room
    for axes, said, above in ((upper, panel.title, 20), (lower, title, 6)):
        axes.tick_params(length=0, labelsize=_TEXT)
        axes.set_title(said, loc="left", x=edge, fontsize=_TITLE, pad=above)
    return _embedded(figure, title, titled=True)


def shapes(
    titles: Sequence[str], parts: Sequence[Shape], labels: tuple[str, str], title: str
) -> dg.MarkdownMetadataValue:
    """Draw two distributions each, the first filled, the second as a line, side by side."""
    from matplotlib.figure import Figure

    turned = any(len(part.names) > 4 for part in parts)
    height = 2.9 if turned else 2.4
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI)
    figure.subplots_adjust(
        left=0.03,
        right=0.98,
        top=1 - 0.78 / height,
        bottom=(0.85 if turned else 0.4) / height,
        wspace=0.12,
    )
    every = figure.subplots(1, len(parts), squeeze=False)[0]
    for axes, name, part in zip(every, titles, parts, strict=True):
        edges = part.edges or tuple(place - 0.5 for place in range(len(part.names) + 1))
        axes.stairs(part.before, edges, color=GREY, fill=True, label=labels[0])
        axes.stairs(part.now, edges, color=BLUE, lw=1.5, label=labels[1])
        axes.tick_params(labelsize=7, length=2)
        if len(part.names) > 4:
            ticks = [shortened(name, 14) for name in part.names]
            axes.set_xticks(
                range(len(ticks)), ticks, rotation=60, ha="right", rotation_mode="anchor"
            )
        elif part.names:
            most = max(8, 40 // (len(parts) * len(part.names)))
            axes.set_xticks(range(len(part.names)), [shortened(name, most) for name in part.names])
        else:
            axes.locator_params(axis="x", nbins=5)
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.set_title(shortened(name, 84 // len(parts)), loc="left", fontsize=9)
    figure.legend(
        *every[0].get_legend_handles_labels(),
        frameon=False,
        fontsize=_TEXT,
        ncols=2,
        loc="upper right",
        bbox_to_anchor=(0.985, 1),
    )
    return _embedded(figure, title)


def pairs(
    names: Sequence[str],
    ours: Sequence[float],
    theirs: Sequence[float],
    labels: tuple[str, str],
    title: str,
) -> dg.MarkdownMetadataValue:
    """Draw two points for each name, one above the other: their difference is what is looked at."""
    axes = _axes(2.6, legend=True)
    places = range(len(names))
    axes.vlines(places, ours, theirs, color=GREY, linewidth=6, zorder=1)
    axes.scatter(places, ours, s=60, color=BLUE, zorder=3, label=labels[0])
    axes.scatter(places, theirs, s=60, color=ORANGE, zorder=2, label=labels[1])
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.margins(y=0.3)
    axes.set_xticks(places, [shortened(name, 72 // len(names)) for name in names])
    _legend(axes)
    return _embedded(axes.figure, title)


def gapped(values: Sequence[float | None]) -> list[float]:
    """Return the values with NaN, at which a line is broken, for None."""
    return [float("nan") if value is None else value for value in values]


def shortened(name: str, most: int = 32) -> str:
    """Return a name of so many letters at most: names differ at the ends, so the middle goes."""
    if len(name) <= most:
        return name
    end = (most - 1) // 2
    return f"{name[: most - 1 - end]}…{name[len(name) - end :]}"


def _lines(axes: Axes, panel: Panel) -> None:
    for color, (label, values) in zip((BLUE, ORANGE), panel.lines.items(), strict=False):
        shown = gapped(values[-MOST_WINDOWS:])
        dots = 3 if len(shown) <= _MOST_DOTS else 0
        axes.plot(shown, color=color, marker="o", markersize=dots, lw=1.2, label=label)
    if panel.limits is not None:
        shown = gapped(panel.limits[-MOST_WINDOWS:])
        edges = [place - 0.5 for place in range(len(shown) + 1)]
        axes.stairs(shown, edges, baseline=None, color=RED, lw=1, label=panel.limit)
    axes.margins(y=0.1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=_TEXT)


def _time(axes: Axes, windows: Sequence[str], marked: Sequence[str], mark: str = "") -> None:
    """Name the windows below the axes, and draw the marks."""
    shown = list(windows[-MOST_WINDOWS:])
    names = shown if shown[0][:4] != shown[-1][:4] else [name[5:] for name in shown]
    room = axes.get_position().width * _WIDTH * 72  # points; a digit is narrower than it is high
    most = max(1, int(room / (0.65 * _TEXT * (len(names[0]) + 2))))
    ticks = range(0, len(shown), -(-len(shown) // most))
    axes.set_xticks(ticks, [names[tick] for tick in ticks])
    axes.set_xlim(-0.5, len(shown) - 0.5)
    for place in (shown.index(window) for window in marked if window in shown):
        # between the windows: it serves from this one on
        axes.axvline(place - 0.5, color=GREY, lw=2, zorder=0.5, label=mark)
        mark = ""  # one of them is named


def _legend(axes: Axes) -> None:
    """Put the legend between the axes and their title: nothing is drawn there."""
    # at the figure's right edge, since the names of rows stand to the left
    axes.legend(
        frameon=False,
        fontsize=_TEXT,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        borderaxespad=0,
        borderpad=0.3,
        ncols=4,
        columnspacing=1.2,
        handlelength=1.5,
    )


def _left(names: Sequence[str]) -> float:
    return 0.07 + 0.0095 * max((len(shortened(name)) for name in names), default=0)


def _rows(names: Sequence[str], each: float, height: float, *, legend: bool = False) -> Axes:
    """Return axes with a row for each name, the first at the top."""
    axes = _axes(each * len(names) + height, left=_left(names), legend=legend)
    axes.set_yticks(range(len(names)), [shortened(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.locator_params(axis="x", nbins=7)
    return axes


def _axes(height: float, *, left: float = 0.08, legend: bool = False) -> Axes:
    from matplotlib.figure import Figure

    # margins by hand: the automatic layouts draw everything twice
    axes = Figure(figsize=(_WIDTH, height), dpi=_DPI).subplots()
    axes.figure.subplots_adjust(
        left=left,
        right=0.98,
        top=1 - (0.52 if legend else 0.34) / height,
        bottom=0.32 / height,
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=_TEXT)
    return axes


def _embedded(figure: Any, title: str, *, titled: bool = False) -> dg.MarkdownMetadataValue:
    if not titled:
        # at the figure's left edge: beside long names there is no room
        top = 1 - 0.06 / figure.get_figheight()
        figure.suptitle(title, x=0.01, y=top, ha="left", va="top", fontsize=_TITLE)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    picture = base64.b64encode(buffer.getvalue()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{picture})")
