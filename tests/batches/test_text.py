"""CSV, Parquet and folders as people and programs write them."""

from __future__ import annotations

import gzip
import random
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl
import pytest

from mlops_assets.batches.reading import Opened, columns_of, ending, read, scan, stem
from mlops_assets.declaration.sections import Files
from mlops_assets.errors import BatchRefusedError


class Visit(dy.Schema):
    id = dy.Int64()
    spend = dy.Float64(nullable=True)
    note = dy.String(nullable=True)


ROWS = [(1, 2.5, "café"), (2, None, None)]
TEXT = "id,spend,note\n1,2.5,café\n2,,\n"


def opened(file: Path, **files: Any) -> Opened:
    return read(file, Visit, Files(**files))


def rows(file: Path, **files: Any) -> list[tuple[Any, ...]]:
    found = opened(file, **files)
    assert found.problems == {}
    return found.frame.collect().rows()


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(),
        TEXT.replace(",", "\t").encode(),
        TEXT.replace(",", ";").encode(),
        TEXT.replace(",", "|").encode(),
        TEXT.replace(",", ";").replace(".", ",").encode(),
        ("sep=;\r\n" + TEXT.replace(",", ";").replace("\n", "\r\n")).encode(),
        ("\n" + TEXT + "\n  \n,,\n\n").encode(),
        (TEXT + '"",\t,\n').encode(),
        TEXT.replace("id,spend,note", '"ID"," Spend",NOTE').encode(),
        TEXT.replace("1,2.5", "1.0,2.50").encode(),
        TEXT.replace("\n1,", '\n"1",').encode(),
    ],
    ids=str,
)
def test_however_a_csv_is_written_it_has_the_same_rows(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    (tmp_path / "a.CSV.gz").write_bytes(gzip.compress(content))

    assert rows(tmp_path / "a.csv") == ROWS
    assert rows(tmp_path / "a.CSV.gz") == ROWS


def test_what_is_declared_is_not_told_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes("id;spend;note\n1;2.500,5;café\n2;n/a;n/a\n".encode("cp1252"))
    declared = {"encoding": "cp1252", "decimal": ",", "thousands": ".", "nulls": ["n/a"]}

    assert rows(file, separator=";", **declared) == [(1, 2500.5, "café"), (2, None, None)]
    file.write_text("id;spend;note\n1;2;a\n")
    assert opened(file, separator=",").frame.collect_schema().names() == ["id;spend;note"]


def test_quoted_fields_keep_their_line_breaks_separators_and_emptiness(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('id,spend,note\n1,,"a\n""b"", c"\n2,"",""\n')

    assert rows(file) == [(1, None, 'a\n"b", c'), (2, None, "")]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("id,spend,note,spend\n1,2.5,a,3.5\n")

    with pytest.raises(BatchRefusedError, match=r"a\.csv can't be read: .*more than one .*`spend`"):
        opened(file)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
def test_a_file_beyond_the_declared_limits_is_refused(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    frame = pl.DataFrame({"id": [1] * 5000, "spend": [1.0] * 5000, "note": ["a"] * 5000})
    if name == "a.parquet":
        frame.write_parquet(file)
    else:
        text = frame.write_csv().encode()
        file.write_bytes(gzip.compress(text) if name.endswith("gz") else text)

    assert opened(file, max_rows=5000).problems == {}
    with pytest.raises(
        BatchRefusedError, match=r"it has 5,000 rows; files\.max_rows declares 4,999"
    ):
        opened(file, max_rows=4999)
    with pytest.raises(BatchRefusedError, match=r"files\.max_bytes declares"):
        opened(file, max_bytes=file.stat().st_size - 1)
    if name == "a.csv.gz":  # small as it is, it unpacks to much
        with pytest.raises(BatchRefusedError, match="unpacks to more than 4,000 bytes"):
            opened(file, max_bytes=4000)


def test_a_line_with_fewer_fields_than_the_header_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(TEXT[:-2])
    with pytest.raises(BatchRefusedError, match="has 2 of 3 fields: the file may be cut off there"):
        opened(file)
    packed = tmp_path / "a.csv.gz"
    packed.write_bytes(gzip.compress(TEXT[:-2].encode()))
    with pytest.raises(BatchRefusedError, match="has 2 of 3 fields: the file may be cut off there"):
        opened(packed)
    # in the middle too, where Polars would fill it with nulls
    file.write_text('sep=;\n\nid;spend;note\n1;2;"a\nb"\n2;3\n3;4;c\n')
    with pytest.raises(BatchRefusedError, match=r"line 6 has 2 of 3 fields$"):
        opened(file)
    # but names that a header lacks at its end need no field, and what is empty is null
    file.write_text("id,spend,note,,\n1,2,a\n3,4,\n")
    assert [row[:3] for row in rows(file)] == [(1, 2.0, "a"), (3, 4.0, None)]
    # and a blank line is none, and a field may be long
    file.write_text("id,spend,note\n1,2," + "a" * 200_000 + "\n3,4,\n")
    assert len(rows(file)[0][2]) == 200_000
    assert opened(file, max_bytes=2**70).problems == {}
    file.write_text('id,spend,note\n1,2,\n\n2,3,"x,y"\n,,\n')
    assert rows(file) == [(1, 2.0, None), (2, 3.0, "x,y")]
    file.write_text(TEXT.removesuffix("\n"))
    assert rows(file) == ROWS
    file.write_text('id,spend,note\n1,2,"a\nb"')
    assert rows(file) == [(1, 2.0, "a\nb")]


def test_a_packed_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(TEXT.encode() * 100)[:-20])

    with pytest.raises(BatchRefusedError, match=r"a\.csv\.gz can't be read"):
        opened(tmp_path / "a.csv.gz")


def test_columns_in_the_names_of_folders_are_read_if_the_contract_has_them(tmp_path: Path) -> None:
    folder = tmp_path / "year=2026" / "note=a%2Fb" / "spend=2.5"
    folder.mkdir(parents=True)
    pl.DataFrame({"id": [1]}).write_parquet(folder / "a.parquet")
    (folder / "a.csv").write_text("id\n1\n")

    for name in ("a.parquet", "a.csv"):
        found = opened(folder / name)
        assert found.frame.select("id", "spend", "note").collect().rows() == [(1, 2.5, "a/b")]
        assert found.frame.collect_schema().names() == ["id", "note", "spend"]
        assert found.notes[:2] == (
            "`note` taken from the folder note=a%2Fb",
            "`spend` taken from the folder spend=2.5",
        )
    # what the file says itself counts
    pl.DataFrame({"id": [1], "spend": [1.0], "note": ["x"]}).write_parquet(folder / "b.parquet")
    assert opened(folder / "b.parquet").as_is
    nothing = tmp_path / "note=__HIVE_DEFAULT_PARTITION__"
    nothing.mkdir()
    pl.DataFrame({"id": [1], "spend": [1.0]}).write_parquet(nothing / "a.parquet")
    assert rows(nothing / "a.parquet") == [(1, 1.0, None)]


#: what patterns, addresses and escapes are made of
ODD = ["x[1]", "a*b", "a?b", "a#b", "a%41b", "a b", "{a,b}", "s3:", "ü", "~", "$HOME", "a'b"]


@pytest.mark.parametrize("name", ODD)
def test_a_file_is_the_one_that_is_named_whatever_its_name(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    # what it would match, were it a pattern
    for place in (tmp_path, folder):
        for other in ("x1", "aXb", "aAb", "a", "b"):
            (place / f"{other}.csv").write_text("id,spend,note\n9,9,9\n")
    pl.DataFrame(ROWS, ["id", "spend", "note"], orient="row").write_parquet(
        folder / f"{name}.parquet"
    )
    (folder / f"{name}.csv").write_text(TEXT)
    (folder / f"{name}.csv.gz").write_bytes(gzip.compress(TEXT.encode()))

    assert rows(folder / f"{name}.parquet") == ROWS
    assert rows(folder / f"{name}.csv") == ROWS
    assert rows(folder / f"{name}.csv.gz") == ROWS
    assert scan(str(folder / f"{name}.parquet")).collect().rows() == ROWS


def test_the_names_of_columns_are_told_by_the_first_bytes(tmp_path: Path) -> None:
    packed = gzip.compress(random.Random(1).randbytes(1 << 20).hex().encode())
    file = tmp_path / "a.csv.gz"
    file.write_bytes(gzip.compress(TEXT.encode()) + packed[:-9])  # cut off far behind the header

    assert columns_of(file, Files(), Visit.column_names()) == ["id", "spend", "note"]
    with pytest.raises(BatchRefusedError, match="ended before"):
        opened(file)


def test_endings_are_told_whatever_their_case() -> None:
    assert [ending(Path(name)) for name in ("a.b.csv.gz", "a.PQ", "a.gz", "csv", "a.tsv")] == [
        ".csv.gz",
        ".pq",
        None,
        None,
        ".tsv",
    ]
    assert [stem(Path(name)) for name in ("2026-01-22.csv.gz", "x/a.b.PQ", "a.txt")] == [
        "2026-01-22",
        "a.b",
        "a.txt",
    ]
