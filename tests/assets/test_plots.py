"""What is drawn can be read: nothing is cut, nothing lies on anything else, nothing grows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import combinations
from typing import Any

import dagster as dg
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from mlops_assets.assets import plots
from mlops_assets.drift.shapes import Shape

LONG = "a_name_that_says_in_full_what_the_feature_is_made_of"
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


def shapes(*names: str) -> Draw:
    numbers = Shape((0.04,) * 25, (0.04,) * 25, edges=tuple(1e6 * n for n in range(26)))
    airlines = tuple(f"American Airlines of Region {n}" for n in range(10))
    kinds = (numbers, Shape((0.1,) * 10, (0.1,) * 10, names=airlines))
    parts = [kinds[n % 2] for n in range(len(names))]
    title = "2013-01-07 against its reference (share of the score)"
    return lambda: plots.shapes(names, parts, ("reference", "this window"), title)


NAMES = [f"{LONG}_{n}" for n in range(20)]
PICTURES = {
    "histogram of probabilities": lambda: plots.histogram(
        list(range(20)), [n / 20 for n in range(21)], "rows by score, version 3"
    ),
    "histogram of large numbers": lambda: plots.histogram(
        [1e6] * 20, [-4e6 + 1e7 * n for n in range(21)], "rows by score, version 3"
    ),
    "shapes of names that look like formulas": shapes("$a_$", "a$b$ \\frac", "\x1b[31m^_{"),
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
    assert len(markdown) < (10_000 if "by score" in markdown or "reference" in markdown else 20_000)


def test_names_that_differ_at_their_ends_stay_apart() -> None:
    assert plots.shortened("dep_delay") == "dep_delay"
    assert plots.shortened("x" * 32) == "x" * 32
    assert plots.shortened("abcdefghij", 5) == "ab…ij"
    assert plots.shortened("abcdefghij", 6) == "abc…ij"
    assert len({plots.shortened(name) for name in NAMES}) == len(NAMES)


def test_text_is_drawn_as_it_is_written(drawn: list[Figure]) -> None:
    categories = Shape((0.5, 0.5), (0.5, 0.5), names=("$a_$", "b\x1b[31m"))
    plots.shapes(["$x$"], [categories], ("reference", "this window"), "$5 or $10")
    (figure,) = drawn
    said = {text.get_text() for text in texts_of(figure)}
    assert {"$a_$", "$x$", "$5 or $10", "b\\x1b[31m"} <= said


def test_what_cannot_be_drawn_is_a_note_and_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="dagster.builtin"):  # a replay makes it quiet
        found = plots.bars(["a", "b"], [1.0, 2.0, 3.0], "more values than names")
    assert found.value.startswith("no picture: ValueError: ")
    assert "no picture by bars" in caplog.text
