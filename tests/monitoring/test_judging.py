from __future__ import annotations

from pathlib import Path

from mlops_assets.declaration import Declaration
from mlops_assets.drift.reference import Reference
from mlops_assets.monitoring.judging import RecordedWindows, Scorer, unjudged
from mlops_assets.records.store import Store
from mlops_assets.sketches.profile import profile
from tests.drift.weeks import IMPORTANCE
from tests.monitoring.test_retention import data, declared, week


def test_windows_are_counted_from_the_declarations_start_where_it_came_later(
    tmp_path: Path,
) -> None:
    # given a champion of a window that is declared no more
    declaration = declared()
    windows = declaration.windows.model_copy(update={"start": week(12)})
    later = declaration.model_copy(update={"windows": windows})
    champion = Scorer(1, week(9), Reference.build({week(9): profile(data(9))}, IMPORTANCE))

    def found(of: Declaration, window: str) -> list[tuple[str, str]]:
        return unjudged(
            of, RecordedWindows(of, Store(tmp_path / "store")), champion, window, [], {}
        )

    assert found(later, week(15)) == [(week(number), "never landed") for number in (12, 13, 14)]
    assert found(declaration, week(12)) == [(week(number), "never landed") for number in (10, 11)]
