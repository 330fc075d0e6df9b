"""The demo's frames: they fit, they do not jump, and they say what was seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.cli.demo_frame import (
    ALERTS,
    Happening,
    PartitionSeen,
    PipelineSeen,
    Seen,
    alert_in_one_line,
    frame,
    in_one_line,
)
from app.pipelines.fraud import FRAUD

SIZES = [(80, 24), (80, 23), (160, 50), (160, 24)]


def alert(customer: str = "4163", **features: float) -> dict[str, Any]:
    given = {"amount": 1_796.25, "terminal_risk_1d": 0.5, "terminal_count_1d": 4.0, "night": 1.0} | features
    return {"customer_id": customer, "score": 0.832, "features": dict.fromkeys(FRAUD.features, 0.0) | given}


def recommended(user: str = "276") -> dict[str, Any]:
    return {"user_id": user, "items": [{"item_id": str(1000 + i), "score": 1.0} for i in range(10)]}


SEEN = Seen(
    "500 payments a second on two machines, one is killed",
    23.4,
    60.0,
    [
        PipelineSeen("fraud", 498.2, 1_711_456, 12.4, 38.1, 0.001, 12_345),
        PipelineSeen("fraud-labels", 502.0, 1_734_152, lag=0),
        PipelineSeen("recommendation", 20.0, 1_150, 14.0, 6_158.0, lag=3),
    ],
    {p: PartitionSeen(10_000 * p, "a-0" if p < 3 else "b-0") for p in range(6)},
    [Happening(float(i), f"something number {i} happened") for i in range(9)],
    [alert(str(i)) for i in range(20)],
    86,
    [recommended(str(i)) for i in range(20)],
)
NOTHING = replace(SEEN, pipelines=[PipelineSeen("fraud", 0.0, 0), *SEEN.pipelines[1:]], happenings=[], alerts=[])


def texts(seen: Seen, width: int = 80, height: int = 24) -> list[str]:
    return [line.plain for line in frame(seen, width, height)]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_frame_fits_and_cuts_no_number(width: int, height: int) -> None:
    lines = texts(SEEN, width, height)

    assert len(lines) < height
    assert max(map(len, lines)) < width
    assert "…" not in "".join(lines)
    for number in ("1,711,456", "6,158", "0.1%", "12,345", "50,000", "0:23 of 1:00"):
        assert any(number in line for line in lines)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_frame_of_one_size_has_always_as_many_lines(width: int, height: int) -> None:
    without_owner = replace(SEEN, partitions={p: PartitionSeen(None, None) for p in range(6)})

    assert len({len(texts(seen, width, height)) for seen in (SEEN, NOTHING, without_owner)}) == 1


@pytest.mark.parametrize("height", range(1, 30))
def test_a_low_or_narrow_terminal_gets_what_fits(height: int) -> None:
    for width in (1, 20, 60):
        lines = texts(SEEN, width, height)
        assert len(lines) <= max(0, height - 1)
        assert all(len(line) < width for line in lines)


def test_numbers_end_in_one_column() -> None:
    lines = texts(SEEN)
    start = next(i for i, line in enumerate(lines) if line.startswith("PIPELINE"))
    rows = lines[start : start + 4]
    assert len({len(row) for row in rows}) == 1
    lags, owned = (next(line for line in lines if line.startswith(name)) for name in ("lag", "scored by"))
    assert [lags.index(f"{lag:,}") + len(f"{lag:,}") for lag in (10_000, 50_000)] == [
        owned.index("a-0", owned.index("a-0") + 3) + 3,
        len(owned),
    ]


def test_what_is_not_known_is_a_dash() -> None:
    lines = texts(replace(SEEN, partitions={0: PartitionSeen(None, None)}))
    assert next(line for line in lines if line.startswith("fraud-labels")).split()[3:] == ["-", "-", "-", "0"]
    assert next(line for line in lines if line.startswith("lag")).split() == ["lag", "-"]
    assert next(line for line in lines if line.startswith("scored by")).split() == ["scored", "by", "nobody"]


def test_the_newest_happenings_and_alerts_stay_and_the_newest_alert_is_first() -> None:
    lines = texts(SEEN, 160, 50)
    assert [line.split()[3] for line in lines if "something number" in line] == ["5", "6", "7", "8"]
    alerts = [line.split()[1] for line in lines if line.startswith("customer")]
    assert alerts == [str(19 - i) for i in range(ALERTS)]


def test_reasons_are_whole_clauses_where_there_is_room_and_never_half_of_one() -> None:
    three = alert(customer_mean_30d=905.0, customer_count_30d=2.0)
    assert alert_in_one_line(three, 79).endswith("  130.6 times the usual; a large amount")  # no room for the terminal
    assert alert_in_one_line(alert(), 79).endswith("  a large amount; 2 of 4 fraud at terminal")
    assert alert_in_one_line(alert(), 200).endswith(" a week before turned out to be fraud; at night")
    assert alert_in_one_line(alert(terminal_risk_1d=0.0, amount=1.0, night=0.0), 79).endswith("  no single feature")


def test_words_and_not_only_colour_tell_that_an_owner_is_dead_which_kafka_still_names() -> None:
    dead = replace(SEEN, partitions={0: PartitionSeen(3, "a-0"), 1: PartitionSeen(3, "b-0", alive=False)})
    owned = next(line for line in frame(dead, 80, 24) if line.plain.startswith("scored by"))
    assert owned.plain.endswith("b-0 dead")


def test_an_id_cannot_move_the_cursor() -> None:
    seen = replace(SEEN, alerts=[alert("\x1b[2J")], recommended=[recommended("\r9")])
    assert all(line.isprintable() for line in texts(seen))


def test_one_line_tells_the_same() -> None:
    line = in_one_line(SEEN)
    assert line.startswith("0:23  fraud 498/s, p50 12 ms, p99 38 ms, 0.1% marked behind, lag 12,345; ")
    assert line.endswith("a-0 has 0 1 2; b-0 has 3 4 5")
