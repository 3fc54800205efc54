"""docs/graph.png shows the stages as they are; `make graph` draws them anew."""

from __future__ import annotations

from pathlib import Path

from tests.docs.graph import FILE, PLACES, draw, drawn_from, stages


def test_the_picture_was_drawn_from_the_stages_that_there_are(tmp_path: Path) -> None:
    found = stages()
    assert drawn_from(FILE) == found, "run `make graph`"
    # and the command that draws it still can
    draw(found, tmp_path / "graph.png")
    assert drawn_from(tmp_path / "graph.png") == found
    assert set(PLACES) == set(found)
