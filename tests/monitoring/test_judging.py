from __future__ import annotations

from pathlib import Path

from mlops_assets.monitoring.judging import Bench
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Entry
from tests.monitoring.test_retention import declared, week


def test_windows_are_counted_from_the_declarations_start_where_it_came_later(
    tmp_path: Path,
) -> None:
    # given a champion of a window that is declared no more
    declaration = declared()
    windows = declaration.windows.model_copy(update={"start": week(12)})
    later = declaration.model_copy(update={"windows": windows})
    entry = Entry.model_construct(version=1, window=week(9))

    found = Bench(later, Store(tmp_path / "store")).unjudged(week(15), entry, [], {})

    assert found == [(week(number), "never landed") for number in (12, 13, 14)]
    since = Bench(declaration, Store(tmp_path / "store")).unjudged(week(12), entry, [], {})
    assert since == [(week(number), "never landed") for number in (10, 11)]
