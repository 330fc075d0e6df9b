"""What is produced as load is what the contracts say."""

from __future__ import annotations

from itertools import islice

from app.contracts.compile import compile_contract
from app.simulate.events import label_events, payment_events
from app.simulate.payments import Payments
from schemas.payments import Payment, PaymentLabel


def test_a_payment_is_spelled_as_the_wire_has_it(payments: Payments) -> None:
    key, value = next(payment_events(payments))
    assert key == b"596"
    assert value == (
        b'{"payment_id":"0","customer_id":"596","terminal_id":"3156","amount_cents":5716,"time_ms":1522540831000}'
    )


def test_an_outcome_is_known_seven_days_after_its_payment(payments: Payments) -> None:
    key, value = next(label_events(payments))
    assert key == b"3156"
    assert value == (
        b'{"payment_id":"0","terminal_id":"3156","payment_time_ms":1522540831000,"known_at_ms":1523145631000,'
        b'"fraud":false}'
    )


def test_events_go_on_from_any_row(payments: Payments) -> None:
    for events in (payment_events, label_events):
        from_the_start = list(islice(events(payments), 20_000))
        assert list(islice(events(payments, 8_190), 20_000 - 8_190)) == from_the_start[8_190:]
        assert list(events(payments, len(payments))) == []
        assert len(list(events(payments, len(payments) - 3))) == 3


def test_every_payment_of_a_day_and_its_outcome_fit_the_contracts(payments: Payments) -> None:
    day = payments.first_days(1)
    paid, outcome = compile_contract(Payment), compile_contract(PaymentLabel)
    rows = zip(payment_events(day), label_events(day), strict=True)
    for row, ((customer, payment), (terminal, label)) in enumerate(rows):
        event, known = paid.decode(payment), outcome.decode(label)
        assert (event.payment_id, known.payment_id) == (str(row), str(row))
        assert (event.customer_id.encode(), known.terminal_id.encode()) == (customer, terminal)
        assert (event.amount_cents, event.time_ms) == (day.cents[row], day.time_ms[row])
        assert (known.payment_time_ms, known.fraud) == (day.time_ms[row], day.fraud[row])
    assert row == len(day) - 1
