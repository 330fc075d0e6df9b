"""Counting: the same whatever comes again, in whatever batches, after whatever restart."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest

from app.monitor.bins import Spread
from app.monitor.counts import TEN_MS, TENS, Answers, DeadLetters
from app.monitor.hits import Hits
from app.monitor.watched import watched
from app.pipelines.recommendation import RECOMMENDATION
from app.record import Headers, Record
from app.settings import PROJECT
from tests.unit.monitor.made import FRAUD_WATCHED, TIME_MS, answer

RECORDS = [answer(number, score=0.9 if number % 7 == 0 else 0.2) for number in range(600)]


def answers(arrived: int = 0) -> Answers:
    return Answers(FRAUD_WATCHED, lambda _: arrived)


def cells(of: Any) -> dict[str, dict[str, Any]]:
    """All but the last digits of sums, which depend on how the records were batched."""
    for day in of.days.of.values():
        day.sums = [round(total, 6) for total in day.sums]
    return {name: dict(getattr(of, name).of) for name in ("totals", "tens", "days")}


def test_what_is_delivered_again_counts_nothing_twice() -> None:
    once = answers()
    once.see(RECORDS)
    for seed in range(5):
        chance, again, at = random.Random(seed), answers(), 0
        while at < len(RECORDS):
            end = at + chance.randint(1, 90)
            again.see(RECORDS[max(0, at - chance.randint(0, 60)) : end])  # some of the batch before comes again
            at = end
        assert cells(again) == cells(once)


def test_a_batch_that_holds_a_record_twice_counts_it_once() -> None:
    """As it does where the consumer was sought back while a part of it was under way."""
    once, back = answers(), answers()
    once.see(RECORDS)
    back.see([*RECORDS[:300], *RECORDS[290:400], RECORDS[399], *RECORDS[100:]])
    assert cells(back) == cells(once)


def test_a_restart_goes_on_from_what_was_written_wherever_it_was_cut_off() -> None:
    once = answers()
    once.see(RECORDS)
    for cut in (0, 1, 5, 9, 13):
        before, after = answers(), answers()
        before.see(RECORDS[:300])
        written = _written(before)
        before.see(RECORDS[300:450])
        # Of the second batch only a beginning was written; totals, which come last, say nothing of it then.
        written |= dict(list(_written(before).items())[:cut])
        for key, value in written.items():
            assert value is None or after.restore(key.decode(), value)
        counted = min(after.goes_on(partition) for partition in after.totals.of)
        after.see([record for record in RECORDS if record.offset >= counted])
        assert cells(after) == cells(once), cut


def _written(of: Answers) -> dict[bytes, bytes | None]:
    return {**dict(of.changes()), **dict(of.totals.changes())}


def test_what_is_no_answer_is_counted_as_malformed_and_as_nothing_else() -> None:
    one = answers()
    bad = [b"", b"{", b"\xff", b"[" * 10_000, None]
    one.see([Record("payments.scored", 0, at, TIME_MS, None, value, None) for at, value in enumerate(bad)])
    one.see([answer(30, offset=9, time_ms=4_000_000_000_000)])  # weeks ahead of Kafka's clock
    total = one.totals.of["0"]
    assert (total.read, total.malformed, total.models, one.tens.of) == (6, 6, {}, {})


def test_lateness_is_from_kafka_taking_the_event_to_kafka_taking_the_answer() -> None:
    came = RECORDS[0].timestamp_ms - 250
    one = answers(arrived=came)
    one.see(RECORDS[:1])
    (cell,) = one.tens.of.values()
    counts = Spread.counts([250.0])  # type: ignore[arg-type]
    assert cell.late == {int(counts.argmax()): 1}


def test_ten_seconds_are_forgotten_after_half_an_hour() -> None:
    one = answers()
    for ten in range(TENS + 50):
        record = answer(0, offset=ten)
        moved = Record(*[*_fields(record)[:3], TIME_MS + ten * TEN_MS, *_fields(record)[4:]])
        one.see([moved])
    assert len(one.tens.of) == TENS
    assert one.totals.of["0"].read == TENS + 50
    assert sum(value is None for _, value in one.changes()) == 50


def _fields(record: Record) -> Any:
    return [getattr(record, name) for name in Record.__struct_fields__]


def test_dead_letters_are_counted_by_stage_and_code_and_strangers_cannot_fill_memory() -> None:
    letters = DeadLetters("payments.dead")

    def letter(offset: int, code: str) -> Record:
        # The record's own headers come first, and may say anything; ours are the last.
        said: Headers = [("stage", b"theirs"), ("stage", b"decode"), ("code", code.encode()), ("reason", b"why")]
        return Record("payments.dead", 0, offset, TIME_MS, None, b"x", said)

    letters.see([letter(0, "json"), letter(1, "json"), letter(2, "time")])
    assert {name: found[0] for name, found in letters.totals.of["0"].reasons.items()} == {
        "decode|json": 2,
        "decode|time": 1,
    }
    letters.see([letter(3 + n, f"c{n}") for n in range(500)])
    assert len(letters.totals.of["0"].reasons) <= 101
    assert sum(found[0] for found in letters.totals.of["0"].reasons.values()) == 503


@pytest.mark.parametrize("again", [False, True])
def test_a_recommendation_hits_if_the_next_item_is_among_its_items(again: bool) -> None:
    hits = Hits(watched(RECOMMENDATION, PROJECT / "models"))
    users = [user for user in map(str, range(50)) if hits._followed(user, hits._met)][:10]
    events: list[Record] = []
    told: list[tuple[Record, Any]] = []
    for user in users:
        for step, item in enumerate(("a", "b", "c")):
            events.append(_interaction(len(events), user, f"{user}-{step}", item))
            items = ["b"] if step == 0 else ["x"]  # the first answer is right, the second is not
            told.append((_interaction(len(told), user, "", ""), _Ranking(user, f"{user}-{step}", items)))
    for _ in range(2 if again else 1):
        hits.see(events)
        hits.tell(0, told)
    (day,) = hits.days()
    assert (day.followed, day.hits, day.rate) == (20, 10, 0.5)


def _interaction(offset: int, user: str, event_id: str, item: str) -> Record:
    value = f'{{"interaction_id":"{event_id}","user_id":"{user}","item_id":"{item}","time_ms":{TIME_MS}}}'
    return Record("interactions", 0, offset, TIME_MS, user.encode(), value.encode(), None)


class _Item:
    def __init__(self, item_id: str) -> None:
        self.item_id = item_id


class _Ranking:
    """An answer, as its contract's struct has it."""

    def __init__(self, user_id: str, event_id: str, items: Iterable[str]) -> None:
        self.user_id, self.event_id = user_id, event_id
        self.items = [_Item(item) for item in items]
