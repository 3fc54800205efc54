"""What is drawn can be read: nothing is cut, nothing lies on anything else, nothing grows."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from datetime import date, timedelta
from itertools import combinations
from typing import Any

import dagster as dg
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from mlops_assets.assets import plots
from mlops_assets.profiles.shapes import Shape

LONG = "a_name_that_says_in_full_what_the_feature_is_made_of"
SERVES = "another version serves"
Draw = Callable[[], dg.MarkdownMetadataValue]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Return the figures as they were saved, in which matplotlib says where each text stands."""
    figures: list[Figure] = []
    save = Figure.savefig

    def kept(figure: Figure, *args: Any, **options: Any) -> None:
        save(figure, *args, **options)
        figures.append(figure)

    monkeypatch.setattr(Figure, "savefig", kept)
    return figures


def weeks(number: int) -> list[str]:
    return [str(date(2013, 1, 7) + timedelta(weeks=week)) for week in range(number)]


def heat_map(windows: int, names: list[str], marked: tuple[int, ...] = ()) -> Draw:
    keys = weeks(windows)
    panel = plots.Panel(
        "score", {"score": [0.1 * (n % 3) for n in range(windows)]}, [0.2] * windows
    )
    cells = [[0.5] * (windows - 1) + [None] for _ in names]
    title = "distance of each feature (orange: beyond all windows of the reference)"
    return lambda: plots.heat_map(
        keys, panel, names, cells, title, marked=[keys[n] for n in marked], mark=SERVES
    )


def panels(windows: int, marked: tuple[int, ...] = ()) -> Draw:
    keys = weeks(windows)
    both = {
        "learnt all that was known": [0.6 + 0.01 * (n % 5) for n in range(windows)],
        "learnt what the champion did": [None, *[0.6] * (windows - 1)],
    }
    part = plots.Panel("auc of the twins", both, [0.7] * windows, "twice the cost")
    return lambda: plots.panels(keys, [part, part], marked=[keys[n] for n in marked], mark=SERVES)


def ranges(*names: str) -> Draw:
    many = len(names)
    values = [0.1 * (n % 2) for n in range(many)]
    title = "2013-01-07: distance to the reference (share of the score)"
    return lambda: plots.ranges(names, values, [0.01] * many, [0.05] * many, title)


def shapes(*names: str) -> Draw:
    numbers = Shape((0.04,) * 25, (0.04,) * 25, edges=tuple(1e6 * n for n in range(26)))
    airlines = tuple(f"American Airlines of Region {n}" for n in range(10))
    kinds = (numbers, Shape((0.1,) * 10, (0.1,) * 10, names=airlines))
    parts = [kinds[n % 2] for n in range(len(names))]
    title = "2013-01-07 against its reference (share of the score)"
    return lambda: plots.shapes(names, parts, ("reference", "this window"), title)


NAMES = [f"{LONG}_{n}" for n in range(20)]
PICTURES = {
    "heat map of one window and feature": heat_map(1, ["dep_delay"]),
    "heat map of all that is shown": heat_map(52, NAMES, marked=(0, 1, 13, 51)),
    "heat map of years": heat_map(104, NAMES, marked=(5,)),
    "panels of one window": panels(1),
    "panels of a year": panels(52, marked=(0, 20)),
    "panels of ten years": panels(520, marked=(0, 515)),
    "ranges of one feature": ranges("dep_delay (100%)"),
    "ranges of long names": ranges(*(f"{name} (7%)" for name in NAMES[:15])),
    "shapes of one feature": shapes(f"{LONG} (100%)"),
    "shapes of long names": shapes(*(f"{name} (30%)" for name in NAMES[:3])),
    "bars of long names": lambda: plots.bars(NAMES, list(range(20)), "importance"),
    "pairs of long names": lambda: plots.pairs(
        NAMES[:4], [0.6] * 4, [0.7] * 4, ("challenger", "champion"), "auc"
    ),
}


def texts_of(figure: Figure) -> list[Text]:
    """Return the texts that are drawn: ticks beyond an axis' ends are not."""
    ticks: set[Text] = set()
    for axes in figure.axes:
        for axis, ends in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not min(ends) <= tick.get_loc() <= max(ends):
                    ticks |= {tick.label1, tick.label2}
    return [
        text
        for text in figure.findobj(Text)
        if isinstance(text, Text) and text.get_visible() and text.get_text() and text not in ticks
    ]


@pytest.mark.parametrize("draw", PICTURES.values(), ids=list(PICTURES))
def test_every_text_is_whole_and_free(draw: Draw, drawn: list[Figure]) -> None:
    markdown = draw().value

    (figure,) = drawn
    shown = figure.bbox.padded(1)
    texts = {text: text.get_window_extent() for text in texts_of(figure)}
    turned = {text for text in texts if text.get_rotation()}  # their boxes overlap, they don't
    assert len(texts) > 2
    for text, box in texts.items():
        assert shown.x0 <= box.x0, text.get_text()
        assert box.x1 <= shown.x1, text.get_text()
        assert shown.y0 <= box.y0, text.get_text()
        assert box.y1 <= shown.y1, text.get_text()
    for one, other in combinations(texts.keys() - turned, 2):
        said = (one.get_text(), other.get_text())
        assert not texts[one].padded(-1).overlaps(texts[other].padded(-1)), said
    for axes in figure.axes:
        legend = axes.get_legend()
        if legend is not None:  # it stands beside what is drawn
            assert not legend.get_window_extent().padded(-1).overlaps(axes.bbox)
    assert len(markdown) < 130_000


def test_names_that_differ_at_their_ends_stay_apart() -> None:
    assert plots.shortened("dep_delay") == "dep_delay"
    assert plots.shortened("x" * 32) == "x" * 32
    assert plots.shortened("abcdefghij", 5) == "ab…ij"
    assert plots.shortened("abcdefghij", 6) == "abc…ij"
    assert len({plots.shortened(name) for name in NAMES}) == len(NAMES)


def test_the_newest_windows_are_shown_of_a_long_history(drawn: list[Figure]) -> None:
    panels(520, marked=(0, 515))()

    (figure,) = drawn
    assert all(len(line.get_xdata()) == plots.MOST_WINDOWS for line in figure.axes[0].lines[:2])
    # and of two marks the one that is among them, named once
    handles, labels = figure.axes[0].get_legend_handles_labels()
    assert (len(handles), labels.count(SERVES)) == (4, 1)
    assert figure.axes[0].lines[2].get_xdata()[0] == 515 - (520 - plots.MOST_WINDOWS) - 0.5


def test_a_limit_is_seen_at_a_single_window(drawn: list[Figure]) -> None:
    markdown = heat_map(1, ["dep_delay"])().value

    (figure,) = drawn
    (limit,) = figure.axes[0].patches
    assert limit.get_window_extent().width > 300  # pixels
    picture = base64.b64decode(markdown.split("base64,")[1].rstrip(")"))
    assert struct.unpack(">II", picture[16:24]) == (560, 264)
