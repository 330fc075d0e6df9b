"""Lines of a file as events, or as reasons why they are none."""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import pytest

from app.contracts import lines
from app.contracts.lines import LARGEST, LONGEST, checked, opened, raw
from app.errors import RecordError, Refused
from schemas.topics import TOPICS
from tests.payments import payment

PAYMENTS = TOPICS["payments"]


def read(path: Path) -> list[bytes]:
    with opened(str(path)) as found:
        return list(found)


def test_a_line_that_is_an_event_is_kept_to_the_byte_and_keyed_by_the_contract() -> None:
    spaced = payment().replace(b",", b" , ") + b"\r"

    assert list(checked([payment(), spaced], PAYMENTS)) == [(1, b"596", payment()), (2, b"596", spaced)]


def test_a_line_that_is_no_event_comes_with_its_number_and_a_reason_that_quotes_nothing() -> None:
    bad = [b"secret", b"", payment(amount_cents="secret"), payment(customer_id=...), b"\xff", b"[" * 100_000]
    found = list(checked([payment(), *bad], PAYMENTS))[1:]

    assert [number for number, _, _ in found] == [2, 3, 4, 5, 6, 7]
    reasons = [value.reason for _, _, value in found if isinstance(value, RecordError)]
    assert len(reasons) == len(bad)
    assert not any("secret" in reason for reason in reasons)


def test_the_raw_way_takes_every_line_and_keys_what_it_can_read() -> None:
    given = [payment(amount_cents="wrong"), b"not json", b"", b'{"customer_id": 5}', b"\xff", b"[" * 100_000]

    assert [key for _, key, _ in raw(given, PAYMENTS)] == [b"596", None, None, None, None, None]
    assert [value for _, _, value in raw(given, PAYMENTS)] == given


def test_the_raw_way_knows_no_key_on_a_topic_without_a_contract() -> None:
    assert list(raw([payment()], None)) == [(1, None, payment())]


@pytest.mark.parametrize("content", [b"a\nb\n", b"a\nb"])
def test_the_end_of_the_last_line_may_be_missing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)

    assert read(tmp_path / "f") == [b"a", b"b"]


def test_empty_lines_are_lines(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\n\na\n")

    assert read(tmp_path / "f") == [b"", b"", b"a"]


def test_a_file_that_ends_in_gz_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "f.gz").write_bytes(gzip.compress(b"a\nb\n"))

    assert read(tmp_path / "f.gz") == [b"a", b"b"]


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\nb\n")))
    with opened("-") as found:
        assert list(found) == [b"a", b"b"]


@pytest.mark.parametrize("content", [b"plain", gzip.compress(b"a\n" * 10_000)[:-20]])
def test_a_gzip_file_that_is_damaged_is_refused_where_it_breaks(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f.gz").write_bytes(content)

    with pytest.raises(Refused, match="cannot be read to its end"):
        read(tmp_path / "f.gz")


@pytest.mark.parametrize("name", ["absent", "absent.gz", "."])
def test_a_file_that_is_not_there_is_wrong_use(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match="cannot be read") as refused:
        read(tmp_path / name)

    assert refused.value.exit_code == 2


def test_a_line_without_end_is_cut_and_refused_and_the_next_one_is_read(tmp_path: Path) -> None:
    endless = b"x" * (3 * LONGEST)
    (tmp_path / "f").write_bytes(endless + b"\n" + payment() + b"\n")
    found = read(tmp_path / "f")

    assert [len(line) for line in found] == [LONGEST, len(payment())]
    (_, _, why), (_, key, _) = checked(found, PAYMENTS)
    assert isinstance(why, RecordError)
    assert "longer than" in why.reason
    assert key == b"596"
    assert LONGEST > LARGEST + 64 * 1024, "a cut line must not be one that Kafka would take"


def test_a_line_of_exactly_the_longest_length_does_not_swallow_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LONGEST", 4)
    (tmp_path / "f").write_bytes(b"abc\nabcd\nabcdefghi\nx\n")

    assert read(tmp_path / "f") == [b"abc", b"abcd", b"abcd", b"x"]
