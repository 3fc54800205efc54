"""Small pictures for the metadata of an asset: a PNG inside Markdown, as Dagster's UI shows it."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import dagster as dg

from mlops_assets.drift.shapes import Shape
from mlops_assets.words import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

P = ParamSpec("P")

BLUE, ORANGE, GREY = "#2f6fb0", "#d98324", "#b8bfc7"
_WIDTH, _DPI, _TITLE, _TEXT = 7.0, 80, 10, 8  # inches, and sizes in points
_COLORS = 16


def decoration(
    draw: Callable[P, dg.MetadataValue[Any]],
) -> Callable[P, dg.MetadataValue[Any]]:
    """Return a picture's function that fails no stage: what can't be drawn is a note instead.

    Text is drawn as it is written: a category `$a$` is no formula.
    """

    @wraps(draw)
    def drawn(*args: P.args, **options: P.kwargs) -> dg.MetadataValue[Any]:
        import matplotlib as mpl

        try:
            with mpl.rc_context({"text.parse_math": False}), warnings.catch_warnings():
                # a letter that the font hasn't is drawn as a box
                warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
                return draw(*args, **options)
        except Exception as error:  # noqa: BLE001  # a window is judged with or without a picture
            dg.get_dagster_logger().warning(f"no picture by {draw.__name__}", exc_info=True)
            return dg.MetadataValue.text(f"no picture: {type(error).__name__}: {visible(error)}")

    return drawn


@decoration
def bars(
    names: Sequence[str], values: Sequence[float], title: str, *, color: str = BLUE
) -> dg.MarkdownMetadataValue:
    """Draw one horizontal bar for each name, the first at the top."""
    axes = _rows(names, 0.24, 0.9)
    axes.barh(range(len(names)), values, color=color)
    return _embedded(axes.figure, title)


@decoration
def histogram(
    counts: Sequence[float], edges: Sequence[float], title: str
) -> dg.MarkdownMetadataValue:
    """Draw how often each bin was met; there is one edge more than bins."""
    axes = _axes(1.7)
    axes.stairs(counts, edges, color=BLUE, fill=True)
    axes.set_xlim(edges[0], edges[-1])
    axes.locator_params(axis="x", nbins=11)
    axes.locator_params(axis="y", nbins=4)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")  # a common factor would stand beside the axis
    return _embedded(axes.figure, title)


@decoration
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


@decoration
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


def shortened(name: str, most: int = 32) -> str:
    """Return a name of so many letters at most: names differ at the ends, so the middle goes."""
    name = visible(name)
    if len(name) <= most:
        return name
    end = (most - 1) // 2
    return f"{name[: most - 1 - end]}…{name[len(name) - end :]}"


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


def _embedded(figure: Any, title: str) -> dg.MarkdownMetadataValue:
    from PIL import Image

    # at the figure's left edge: beside long names there is no room
    top = 1 - 0.06 / figure.get_figheight()
    figure.suptitle(title, x=0.01, y=top, ha="left", va="top", fontsize=_TITLE)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="rgba")
    width, height = (int(length) for length in figure.bbox.size)
    image = Image.frombytes("RGBA", (width, height), buffer.getvalue()).convert("RGB")
    buffer = io.BytesIO()
    # a quarter of the bytes, and nobody sees it: each window's pictures stay in the event log
    few = image.quantize(_COLORS, dither=Image.Dither.NONE)
    few.save(buffer, format="png", optimize=True)
    picture = base64.b64encode(buffer.getvalue()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{picture})")
