"""How many workers are wanted: what drains the lag and keeps up, within bounds."""

from __future__ import annotations

import pytest

from app.replay.wanted import ARRIVED_S, arriving_per_s, workers_wanted
from app.settings import Settings

SETTINGS = Settings(kafka="k:1", redis="redis://r:1", worker_rate=1000, drain_s=10)


@pytest.mark.parametrize(
    ("lag", "arriving", "wanted"),
    [
        (0, 0.0, 1),  # a pipeline without a worker answers nothing
        (0, 1000.0, 1),
        (0, 1000.1, 2),
        (10_000, 0.0, 1),
        (10_001, 0.0, 2),
        (20_000, 1500.0, 4),  # 2,000 a second to drain, 1,500 to keep up
        (10**9, 0.0, 12),  # one without a partition has nothing to do
    ],
)
def test_the_number_drains_the_lag_in_time_and_keeps_up(lag: int, arriving: float, wanted: int) -> None:
    assert workers_wanted(SETTINGS, lag=lag, arriving=arriving, partitions=12) == wanted


def test_what_came_within_the_last_while_says_how_much_arrives() -> None:
    since = {0: 40, 1: None, 2: 7}
    assert arriving_per_s(since, {0: 100, 1: 9, 2: 7}) == 60 / ARRIVED_S


def test_an_end_that_an_open_transaction_holds_back_is_no_negative_arrival() -> None:
    assert arriving_per_s({0: 40}, {0: 30}) == 0.0
