"""Where `tail` starts."""

from __future__ import annotations

import pytest

from app.cli.tail import moment_of
from app.errors import Refused


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("beginning", "beginning"),
        ("end", "end"),
        ("1970-01-01T00:00:01Z", 1_000),
        ("2018-04-01T01:00:00.250+01:00", 1_522_540_800_250),
        ("2018-03-31T19:00:00-05:00", 1_522_540_800_000),
    ],
)
def test_a_start_is_a_word_or_a_moment_with_its_zone(text: str, moment: str | int) -> None:
    assert moment_of(text) == moment


@pytest.mark.parametrize("text", ["2018-04-01T01:00:00", "2018-04-01"])
def test_a_moment_without_a_zone_is_refused_with_how_to_write_it(text: str) -> None:
    with pytest.raises(Refused, match="Z for UTC") as refused:
        moment_of(text)

    assert refused.value.exit_code == 2


@pytest.mark.parametrize("text", ["", "now", "1522540800", "\x1b[2J", "2018-13-01T00:00Z"])
def test_what_is_no_moment_is_refused_without_being_echoed_raw(text: str) -> None:
    with pytest.raises(Refused, match="neither beginning nor end") as refused:
        moment_of(text)

    assert str(refused.value).isprintable()
