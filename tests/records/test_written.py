"""Files that homes hold: `written/` is as the code of November 2026 wrote it, a few files a kind."""

from __future__ import annotations

import json
from datetime import datetime, tzinfo
from pathlib import Path

import pytest

from mlops_assets.records import file as files
from mlops_assets.records import kinds
from mlops_assets.records.record import fields_of
from mlops_assets.records.store import Store

FILES = sorted((Path(__file__).parent / "written").iterdir())


def test_there_is_one_of_every_kind() -> None:
    assert {json.loads(file.read_bytes())["kind"] for file in FILES} == set(kinds.KINDS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name[:8])
def test_a_file_is_read_and_the_same_record_makes_the_same_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a file in a home
    written = json.loads(file.read_bytes())
    kind, follows = kinds.KINDS[written["kind"]], written.get("follows")
    content = written.get("record") or written["records"]
    store = Store(tmp_path / "store")
    (store.root / "incoming").mkdir(parents=True)
    (store.root / "incoming" / file.name).write_bytes(file.read_bytes())

    # when it is read
    rows = store.rows(kind)
    assert store.set_aside() == []

    # then its fields are what it says, those that came later are null
    several = content if isinstance(content, list) else [content]
    for row, record in zip(rows, several, strict=True):
        assert files.file_of(row.record_id) == file.stem
        said = {field.name: record.get(field.name) for field in fields_of(kind)}
        assert row.content == said

    # and the same record, added anew at the same moment, is the same file
    if follows or any(set(record) < set(said) for record in several):
        return  # it would say which it follows, or have its later fields as well

    class Then(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Then:
            return cls.fromisoformat(written["recorded_at"]).replace(tzinfo=tz)

    monkeypatch.setattr(files, "datetime", Then)
    anew = Store(tmp_path / "anew")
    records = [kind(**record) for record in several]
    name = anew.add_many(records) if "records" in written else anew.add(records[0])
    assert name == file.stem
    assert (anew.root / "incoming" / file.name).read_bytes() == file.read_bytes()
