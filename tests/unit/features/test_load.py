"""CSV files that a lookup is filled from, judged before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import Refused
from app.features.load import rows
from app.features.lookups import Field, Lookup

LOOKUP = Lookup("shop", key="shop_id", fields=(Field("size"), Field("risk")))
GOOD = "shop_id,size,risk\n1,2,0.5\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rows.csv"


def read(file: Path, content: str | bytes) -> list[tuple[str, tuple[float, ...] | None]]:
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return [(entity, LOOKUP.unpack(row)) for entity, row in rows(file, LOOKUP)]


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
        list(rows(tmp_path / "absent", LOOKUP))

    assert refused.value.exit_code == 2
