"""Files that a lookup is filled from, judged before anything is written."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from app.errors import Refused
from app.features.files import RowFile
from app.features.lookups import Field, Lookup

LOOKUP = Lookup("shop", key="shop_id", fields=(Field("size"), Field("risk")))
GOOD = "shop_id,size,risk\n1,2,0.5\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rows.csv"


def read(file: Path, content: str | bytes) -> list[tuple[str, tuple[float | None, ...] | None]]:
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return [(entity, LOOKUP.unpack(row)) for entity, row in RowFile(file).rows(LOOKUP)]


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        "shop_id,risk,size\n1,0.5,2\n",
        "\ufeffshop_id,size,risk\r\n1,2,0.5\r\n",
        'shop_id, size ,risk\n"1", 2 ,5e-1\n\n',
    ],
)
def test_columns_may_come_in_any_order_after_the_entity(file: Path, content: str) -> None:
    assert read(file, content) == [("1", (2.0, 0.5))]


@pytest.mark.parametrize(
    "header",
    [
        "shop_id,size",
        "shop_id,size,risk,more",
        "shop_id,size,risk,risk",
        "size,shop_id,risk",
        "shop,size,risk",
        "shop_id,size,Risk",
        "",
    ],
)
def test_other_columns_than_the_lookups_are_refused_and_both_lists_shown(file: Path, header: str) -> None:
    with pytest.raises(Refused, match="needs shop_id first, and then, in any order, size, risk") as refused:
        read(file, f"{header}\n1,2,0.5\n")

    assert f"has the columns {header.replace(',', ', ') or '(none)'};" in str(refused.value)


@pytest.mark.parametrize("number", ["nan", "inf", "-Infinity", "", "x", "1_000", "1e39", "0,5", "0x10"])
def test_what_is_no_finite_number_of_32_bits_is_refused_with_its_line(file: Path, number: str) -> None:
    with pytest.raises(Refused, match="line 3: risk is not a finite number") as refused:
        read(file, f'{GOOD}2,3,"{number}"\n')

    assert "Nothing was loaded" in str(refused.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("2,3", "it has 2 columns, the header has 3"),
        ("2,3,4,5", "it has 4 columns, the header has 3"),
        (",3,4", "it has no shop_id"),
        ('"2,3,4', "line 3"),
    ],
)
def test_a_line_of_another_shape_is_refused_with_its_number(file: Path, line: str, words: str) -> None:
    with pytest.raises(Refused, match="line 3: ") as refused:
        read(file, f"{GOOD}{line}\n")

    assert words in str(refused.value)


def test_bytes_that_are_no_text_are_refused(file: Path) -> None:
    with pytest.raises(Refused, match="not UTF-8"):
        read(file, GOOD.encode() + b"\xff,1,1\n")


def test_a_file_that_is_not_there_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be read") as refused:
        list(RowFile(tmp_path / "absent.csv").rows(LOOKUP))

    assert refused.value.exit_code == 2


# -- whose format ------------------------------------------------------------------------------------------------------


def test_a_file_whose_name_says_nothing_is_refused_with_what_to_add(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text(GOOD)
    with pytest.raises(Refused, match="add --format csv, jsonl or parquet") as refused:
        list(RowFile(tmp_path / "rows").rows(LOOKUP))

    assert refused.value.exit_code == 2
    assert len(list(RowFile(tmp_path / "rows", "csv").rows(LOOKUP))) == 1


def test_packed_text_is_read_as_text(tmp_path: Path) -> None:
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(GOOD.encode()))
    assert len(list(RowFile(tmp_path / "rows.csv.gz").rows(LOOKUP))) == 1
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(GOOD.encode())[:-4])
    with pytest.raises(Refused, match="cannot be read"):
        list(RowFile(tmp_path / "cut.csv.gz").rows(LOOKUP))


# -- JSON lines --------------------------------------------------------------------------------------------------------

LINE = '{"shop_id":"1","size":2,"risk":0.5}\n'


def lines(folder: Path, content: str | bytes) -> list[tuple[str, tuple[float | None, ...] | None]]:
    file = folder / "rows.jsonl"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return [(entity, LOOKUP.unpack(row)) for entity, row in RowFile(file).rows(LOOKUP)]


@pytest.mark.parametrize(
    "content", [LINE, "\ufeff" + LINE + "\n", '{"risk":5e-1,"shop_id":1,"size":2.0}', "\r\n" + LINE.strip() + "\r\n"]
)
def test_a_line_is_an_object_with_the_entity_and_every_field(tmp_path: Path, content: str) -> None:
    assert lines(tmp_path, content) == [("1", (2.0, 0.5))]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "it is not a JSON object"),
        ("[]", "it is not a JSON object"),
        ("[" * 100_000, "it is not a JSON object"),
        ("\xff", "it is not a JSON object"),
        ('{"shop_id":"2","size":1}', "it has no risk"),
        ('{"size":1,"risk":1}', "it has no shop_id"),
        ('{"shop_id":"2","size":1,"risk":1,"more":1}', "it has other fields than shop_id, size, risk"),
        ('{"shop_id":"","size":1,"risk":1}', "its shop_id is not a text or a whole number"),
        ('{"shop_id":true,"size":1,"risk":1}', "its shop_id is not a text or a whole number"),
        ('{"shop_id":"2","size":"1","risk":1}', "size is not a finite number"),
        ('{"shop_id":"2","size":null,"risk":1}', "size is not a finite number"),
        ('{"shop_id":"2","size":NaN,"risk":1}', "it is not a JSON object"),
        ('{"shop_id":"2","size":1e39,"risk":1}', "size is not a finite number"),
        ('{"shop_id":"2","size":true,"risk":1}', "size is not a finite number"),
    ],
)
def test_an_object_with_anything_wrong_is_refused_with_its_line(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(Refused, match="line 2: ") as refused:
        lines(tmp_path, LINE.encode() + line.encode("latin-1") + b"\n")

    assert words in str(refused.value)


# -- Parquet -----------------------------------------------------------------------------------------------------------


def table(folder: Path, columns: dict[str, Any], **options: Any) -> list[tuple[str, tuple[float | None, ...] | None]]:
    file = folder / "rows.parquet"
    parquet.write_table(pyarrow.table(columns), file, **options)
    return [(entity, LOOKUP.unpack(row)) for entity, row in RowFile(file).rows(LOOKUP)]


def test_a_tables_columns_may_come_in_any_order_and_any_kind_of_number(tmp_path: Path) -> None:
    risk = pyarrow.array([0.5, 0.25], pyarrow.float32())
    size = pyarrow.array([2, 3], pyarrow.uint8())
    assert table(tmp_path, {"risk": risk, "shop_id": ["1", "2"], "size": size}) == [
        ("1", (2.0, 0.5)),
        ("2", (3.0, 0.25)),
    ]
    assert table(tmp_path, {"shop_id": [7], "size": [1], "risk": [0.0]}) == [("7", (1.0, 0.0))]


def test_row_groups_are_read_one_after_the_other(tmp_path: Path) -> None:
    count = 25_000
    risks = [i / 2 for i in range(count)]
    columns = {"shop_id": list(range(count)), "size": [1] * count, "risk": risks}
    found = table(tmp_path, columns, row_group_size=700)
    assert found == [(str(i), (1.0, i / 2)) for i in range(count)]
    risks[20_000] = float("inf")
    with pytest.raises(Refused, match="row 20001: risk is not a finite number"):
        table(tmp_path, columns, row_group_size=700)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"shop_id": ["1"], "size": [1]}, "has the columns shop_id, size; shop needs shop_id first"),
        ({"size": [1], "risk": [1.0]}, "has no column shop_id"),
        ({"shop_id": ["1"], "size": [1], "risk": [1], "more": [1]}, "has the columns shop_id, size, risk, more"),
        ({"shop_id": ["1", None], "size": [1, 1], "risk": [1, 1]}, "row 2: its shop_id is not"),
        ({"shop_id": ["1", "2"], "size": [1, None], "risk": [1, 1]}, "row 2: size is not a finite number"),
        ({"shop_id": ["1"], "size": ["x"], "risk": [1]}, "row 1: size is not a finite number"),
        ({"shop_id": ["1"], "size": [[1]], "risk": [1]}, "row 1: size is not a finite number"),
    ],
)
def test_a_table_with_anything_wrong_is_refused_with_its_row(
    tmp_path: Path, columns: dict[str, Any], words: str
) -> None:
    with pytest.raises(Refused, match=words):
        table(tmp_path, columns)


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 it is not")
    with pytest.raises(Refused, match="is no Parquet file that can be read"):
        list(RowFile(tmp_path / "rows.parquet").rows(LOOKUP))


def test_without_pyarrow_the_refusal_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(Refused, match=r"pip install 'streaminfer\[parquet\]'") as refused:
        list(RowFile(tmp_path / "rows.parquet").rows(LOOKUP))

    assert refused.value.exit_code == 2


def test_fields_of_other_types_are_judged_by_their_type(tmp_path: Path) -> None:
    lookup = Lookup("shop", key="shop_id", fields=(Field("size", type="int"), Field("open", type="bool")))
    file = tmp_path / "rows.csv"
    file.write_text("shop_id,size,open\n1,2,true\n")
    assert [lookup.unpack(row) for _, row in RowFile(file).rows(lookup)] == [(2.0, 1.0)]
    for line, words in (("2,2.5,true", "size is not a whole number"), ("2,2,yes", "open is not true or false")):
        file.write_text(f"shop_id,size,open\n1,2,true\n{line}\n")
        with pytest.raises(Refused, match=f"line 3: {words}"):
            list(RowFile(file).rows(lookup))
