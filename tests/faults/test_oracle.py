"""The oracle knows no product code, and sees what it is there to see."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.oracle import folds
from tests.faults.oracle.events import place

ORACLE = Path(folds.__file__).parent
MINE = ("tests.faults.oracle",)
PRODUCT = ("app", "schemas", "models", "tests")
DAY = folds.DAY_MS


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: say whole names"
            yield node.module or ""


@pytest.mark.parametrize("path", sorted(ORACLE.glob("*.py")), ids=lambda path: path.stem)
def test_the_oracle_imports_nothing_of_the_product(path: Path) -> None:
    names = list(imported(path))
    assert names
    foreign = [name for name in names if name.split(".")[0] in PRODUCT and not name.startswith(MINE)]
    assert foreign == []


def test_keys_are_placed_as_kafka_places_them() -> None:
    """From Kafka's own tests of murmur2, whose hashes are 32 bits with a sign."""
    hashes = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"a-little-bit-longer-string": -1486304829,
        b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    }
    for key, signed in hashes.items():
        assert place(key, 1 << 31) == signed & 0x7FFFFFFF


def test_a_window_takes_in_its_newest_moment_and_not_its_oldest() -> None:
    customers = folds.Partition(30 * DAY)
    for at, cents in ((10 * DAY, 100), (11 * DAY - 1, 200), (11 * DAY, 700)):
        series, late = customers.fold("c", at, cents)
        assert not late
    assert folds.of_customer(series, 11 * DAY) == [2.0, 4.5, 3.0, 1000 / 3 / 100, 3.0, 1000 / 3 / 100]


def test_a_payment_is_late_behind_its_customers_newest_and_does_not_stay_beyond_the_lateness() -> None:
    customers = folds.Partition(30 * DAY)
    customers.fold("other", 10 * DAY, 1)
    series, late = customers.fold("c", 10 * DAY - folds.LATENESS_MS, 1)
    assert (late, series.times) == (False, [10 * DAY - folds.LATENESS_MS])
    seen, late = customers.fold("c", 10 * DAY - folds.LATENESS_MS - 1, 1)
    assert (late, len(seen.times)) == (True, 2)
    assert customers.series["c"] is series
    assert len(series.times) == 1


def test_what_comes_beyond_the_lateness_sees_what_others_within_it_may_see() -> None:
    customers = folds.Partition(30 * DAY)
    oldest = 10 * DAY
    newest = oldest + 30 * DAY + folds.LATENESS_MS
    for at in (oldest, oldest + 1, newest):
        customers.fold("c", at, 100)
    series, late = customers.fold("c", oldest + 30 * DAY - 1, 100)  # within 30 days of both that are old
    assert (late, series.times) == (True, [oldest + 1, oldest + 30 * DAY - 1, newest])


def test_an_outcome_counts_from_when_it_was_known_and_once() -> None:
    outcomes = folds.Outcomes()
    label = {"terminal_id": "t", "payment_id": "p", "payment_time_ms": 10 * DAY, "known_at_ms": 18 * DAY, "fraud": True}
    for one in (label, {**label, "known_at_ms": 19 * DAY, "fraud": False}):
        outcomes.fold(one)
    assert outcomes.of_terminal("t", 17 * DAY) == [0.0] * 6
    assert outcomes.of_terminal("t", 18 * DAY - 1) == [0.0] * 6
    assert outcomes.of_terminal("t", 18 * DAY) == [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]
