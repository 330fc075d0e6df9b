"""The guard answers in place of the processor where a record kills, or where Kafka does not take the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from app.contracts.admission import Admitted
from app.errors import Fatal
from app.record import Output, Record
from app.stream.guard import Guard
from app.stream.letters import source_of
from app.stream.processor import Processor
from app.stream.pulse import Note, Pulse, Suspected
from app.stream.quota import Quota
from app.stream.suspects import Verdict
from app.stream.transaction import Undelivered
from tests.payments import payment, record
from tests.unit.stream.answering import TERMINAL, StandIn, headers, processor, table_of, tenth_of_amount

PAYMENTS = [record(payment(payment_id=str(i), amount_cents=100 * i), offset=i) for i in range(8)]


def guard(
    made: Processor | None = None, *, note: Note | None = None, limit: float = 1.0, verdict: Verdict | None = None
) -> Guard:
    return Guard(made or processor(), pulse=Pulse(note or Note()), quota=Quota(limit), verdict=verdict)


def admitted(guarded: Guard, records: Sequence[Record]) -> tuple[list[Admitted], list[Any]]:
    """As the loop hands them over: states and rows are loaded."""
    known, refused = guarded.admit(records)
    for event in known:
        for held in guarded.memory.owned[event.partition].held:
            if event.entity not in held.states:
                held.take(event.entity, None)
        (table,) = guarded.memory.readers
        table.rows.setdefault("3156", TERMINAL)  # type: ignore[attr-defined]
    return known, refused


def answers(guarded: Guard, records: Sequence[Record]) -> dict[int, Output]:
    outputs = guarded.answer(*admitted(guarded, records))
    found = {int(source_of(output).rsplit(b"/", 1)[1]): output for output in outputs}
    assert len(found) == len(outputs) == len(records)
    return found


def values(outputs: dict[int, Output]) -> dict[int, bytes | None]:
    return {offset: output.value for offset, output in outputs.items()}


def test_what_is_scored_one_by_one_has_the_same_bytes_as_together() -> None:
    together = values(answers(guard(), PAYMENTS))
    assert values(answers(guard(verdict=Verdict({0: (2, 5)})), PAYMENTS)) == together


def test_a_condemned_record_is_not_scored_but_folded_and_the_others_do_not_see_a_difference() -> None:
    asked: list[float] = []

    def rule(rows: Any) -> Any:
        asked.extend(rows[:, 0].tolist())
        return tenth_of_amount(rows)

    together = values(answers(guard(), PAYMENTS))
    found = answers(guard(processor(StandIn(rule)), verdict=Verdict({0: (0, 8)}, [(0, 3)])), PAYMENTS)
    letter = headers(found.pop(3))
    assert (letter["stage"], letter["code"]) == (b"score", b"kills-worker")
    assert 3.0 not in asked
    assert values(found) == {offset: value for offset, value in together.items() if offset != 3}


def test_behind_what_was_suspected_all_is_scored_together() -> None:
    calls: list[int] = []

    def rule(rows: Any) -> Any:
        calls.append(len(rows))
        return tenth_of_amount(rows)

    answers(guard(processor(StandIn(rule)), verdict=Verdict({0: (0, 4)})), PAYMENTS[4:])
    assert calls == [4]


def test_the_note_says_what_is_being_scored_and_nothing_afterwards() -> None:
    note, seen = Note(), []

    def rule(rows: Any) -> Any:
        seen.append(note.read())
        return tenth_of_amount(rows)

    guarded = guard(processor(StandIn(rule)), note=note)
    answers(guarded, [*PAYMENTS[:3], record(b"{", offset=7), record(payment(), offset=4, partition=5)])
    assert seen == [Suspected({0: (0, 8), 5: (4, 5)})]
    assert note.read() == Suspected()
    guarded = guard(processor(StandIn(rule)), note=note, verdict=Verdict({0: (0, 2)}))
    seen.clear()
    answers(guarded, PAYMENTS[:2])
    assert seen == [Suspected({0: (0, 1)}, alone=True), Suspected({0: (1, 2)}, alone=True)]
    assert note.read() == Suspected()


def test_an_answer_that_was_refused_becomes_a_letter_then_a_stub_and_then_nothing_helps() -> None:
    guarded = guard()
    first = answers(guarded, PAYMENTS)
    assert guarded.undelivered([Undelivered(first[3], "MSG_SIZE_TOO_LARGE")])
    second = answers(guarded, PAYMENTS)
    assert [offset for offset, output in second.items() if output.topic == "payments.dead"] == [3]
    assert headers(second[3])["code"] == b"undeliverable"
    assert guarded.undelivered([Undelivered(second[3], "MSG_SIZE_TOO_LARGE")])
    third = answers(guarded, PAYMENTS)
    assert headers(third[3])["stub"] == b"true"
    assert not guarded.undelivered([Undelivered(third[3], "MSG_SIZE_TOO_LARGE")])
    guarded.committed({0: 3})
    assert headers(answers(guarded, PAYMENTS)[3]).get("stub") == b"true"
    guarded.committed({0: 4})
    assert answers(guarded, PAYMENTS)[3].topic == "payments.scored"


def test_a_letter_that_was_refused_becomes_a_stub_at_once() -> None:
    guarded = guard()
    (letter,) = answers(guarded, [record(b"{", offset=5)]).values()
    assert guarded.undelivered([Undelivered(letter, "MSG_SIZE_TOO_LARGE")])
    told = headers(answers(guarded, [record(b"{", offset=5)])[5])
    assert (told["stub"], told["code"]) == (b"true", b"not-json")


def test_a_batch_that_is_answered_again_does_not_count_twice_towards_the_limit() -> None:
    bad = [record(b"{", offset=i) for i in range(5)]
    good = [record(payment(payment_id=str(i)), offset=i) for i in range(5, 100)]
    guarded = guard(limit=0.05)
    for _ in range(5):
        answers(guarded, bad + good)
    with pytest.raises(Fatal):
        answers(guarded, [record(b"{", offset=100)])


def test_a_letter_that_a_second_try_brings_counts_towards_the_limit() -> None:
    guarded = guard(limit=0.0)
    records = [record(payment(payment_id=str(i)), offset=i) for i in range(100)]
    first = answers(guarded, records)
    guarded.undelivered([Undelivered(first[3], "MSG_SIZE_TOO_LARGE")])
    with pytest.raises(Fatal, match="deliver/undeliverable"):
        answers(guarded, records)


def test_letters_are_counted_whatever_they_are_for() -> None:
    made = processor()
    table_of(made)
    guarded = guard(made, verdict=Verdict({0: (0, 8)}, [(0, 3)]))
    answers(guarded, [*PAYMENTS[:5], record(b"{", offset=6)])
    assert guarded.letters == 2
