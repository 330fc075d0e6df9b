"""Why bytes are refused: one code and one sentence each, and never a word of the payload."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from app.contracts.compile import compile_contract
from app.contracts.refusal import CODES
from app.errors import Stage
from schemas import FraudPrediction, Payment, PaymentLabel

PAYMENT = {
    "payment_id": "1",
    "customer_id": "596",
    "terminal_id": "3156",
    "amount_cents": 5716,
    "time_ms": 1522540831000,
}
UNDECLARED = "has a field that the contract does not declare."
SECRET = "4929371650283746"
QUICK = settings(max_examples=400)

payments = compile_contract(Payment)
predictions = compile_contract(FraudPrediction)


def _with(**changed: object) -> bytes:
    return json.dumps(PAYMENT | changed).encode()


def _raw(field: str, value: str) -> bytes:
    """The payment, with one field's value written as it is given."""
    return _with(**{field: "@"}).replace(b'"@"', value.encode())


CASES = [
    (None, "tombstone", "The record is a tombstone: it has no value."),
    (b"", "empty", "The record's value is empty."),
    (b'{"a":"\xff"}', "not-utf8", "The value is not UTF-8 at byte 7."),
    (json.dumps(PAYMENT).encode("utf-16"), "not-utf8", "The value is not UTF-8 at byte 1."),
    (b"{'a':1}", "not-json", "The value is not JSON at line 1, column 2."),
    (b"\xef\xbb\xbf{}", "not-json", "The value is not JSON at line 1, column 1."),
    (b"  ", "not-json", "The value is not JSON at line 1, column 2."),
    (_with() + b"x", "not-json", "The value is not JSON at line 1, column 113."),
    (_raw("customer_id", r'"\ud800"'), "not-json", "The value is not JSON at line 1, column 43."),
    (_raw("note", "NaN"), "not-json", "The value is not JSON: NaN and infinities are no numbers there."),
    (b"[]", "wrong-type", "The value should be an object, and is of another type."),
    (_with(amount_cents="1"), "wrong-type", "The field amount_cents should be a whole number, and is of another type."),
    (_with(amount_cents=1.0), "wrong-type", "The field amount_cents should be a whole number, and is of another type."),
    (_with(customer_id=596), "wrong-type", "The field customer_id should be text, and is of another type."),
    (b'{"payment_id":"1"}', "missing-field", "The field customer_id is missing."),
    (_with(amount_cents=-1), "out-of-range", "The field amount_cents should be at least 0."),
    (_with(amount_cents=10**12 + 1), "out-of-range", "The field amount_cents should be at most 1000000000000."),
    (_with(time_ms=4_102_444_800_000), "out-of-range", "The field time_ms should be less than 4102444800000."),
    (_with(customer_id=""), "out-of-range", "The field customer_id should be at least 1 character long."),
    (_with(customer_id="x" * 65), "out-of-range", "The field customer_id should be at most 64 characters long."),
    (
        _raw("amount_cents", "9" * 10_000),
        "out-of-range",
        "The value has a number with too many digits at line 1, column 4383.",
    ),
    (_raw("note", "[" * 20_000), "invalid", "The value is nested too deep at line 1, column 322."),
    (b'{"time_ms":1,' + _with()[1:], "invalid", "The value has a field twice, and the first of them does not fit."),
]


@pytest.mark.parametrize(("value", "code", "reason"), CASES)
def test_each_fault_has_its_code_and_its_sentence(value: bytes | None, code: str, reason: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        payments.decode(value)
    refusal = payments.refusal(value)
    assert (refusal.code, refusal.reason) == (code, reason)
    early = code in ("tombstone", "empty", "not-utf8", "not-json")
    assert refusal.stage is (Stage.DECODE if early else Stage.VALIDATE)


def test_every_code_is_reached() -> None:
    assert {code for _, code, _ in CASES} == set(CODES)


@pytest.mark.parametrize(
    ("value", "code", "reason"),
    [
        ('"decision":"hold"', "out-of-range", "The field decision should be one of 'pass' or 'alert'."),
        ('"score":1e999', "out-of-range", "The field score should be a finite number."),
        ('"score":true', "wrong-type", "The field score should be a number, and is of another type."),
        ('"model":{"version":1}', "missing-field", "The field model.name is missing."),
        ('"model":{"name":"a","version":1,"amount":1}', "invalid", f"The field model {UNDECLARED}"),
        ('"marks":["a",1]', "wrong-type", "The field marks[1] should be text, and is of another type."),
        ('"marks":"a"', "wrong-type", "The field marks should be a list, and is of another type."),
        ('"extra":1', "invalid", f"The value {UNDECLARED}"),
    ],
)
def test_faults_inside_an_answer_are_found_by_their_path(value: str, code: str, reason: str) -> None:
    features = dict.fromkeys(FraudPrediction.model_fields["features"].annotation.model_fields, 0.5)  # type: ignore[union-attr]
    good = {
        "id": "a",
        "event_id": "1",
        "customer_id": "2",
        "time_ms": 1522540831000,
        "score": 0.5,
        "threshold": 0.5,
        "decision": "alert",
        "model": {"name": "fraud", "version": 1},
        "features": features,
        "marks": [],
    }
    predictions.decode(json.dumps(good).encode())
    good.pop(value.split('"')[1], None)
    refusal = predictions.refusal(json.dumps(good).encode()[:-1] + b"," + value.encode() + b"}")
    assert (refusal.code, refusal.reason) == (code, reason)


def test_thousands_of_faults_are_counted_and_not_listed() -> None:
    value = b"{" + b",".join(b'"%d":1' % number for number in range(5000)) + b"}"
    assert predictions.refusal(value).reason == "The value does not fit the contract in 5010 places."


def _planted(secret: str) -> st.SearchStrategy[bytes]:
    """Payments with the secret somewhere: as a value, a number, a key, a key below, cut off, or in another encoding."""
    fields = st.sampled_from([*PAYMENT, "note", secret])
    values = st.sampled_from(
        [
            secret,
            int(secret),
            float(secret),
            [secret],
            {secret: 1},
            {secret: {secret: secret}},
            secret * 10,
            "\ud800" + secret,
        ]
    )
    events = st.dictionaries(fields, values, min_size=1, max_size=3).map(lambda changed: json.dumps(PAYMENT | changed))
    events |= st.sampled_from(
        [secret, f'"{secret}"', f"[{secret}]", f'{{"{secret}', f"{{{secret}:1}}", f'{{"a":{secret}x}}']
    )
    whole = events.map(str.encode)
    cut = st.tuples(whole, st.integers(0, 200)).map(lambda pair: pair[0][: pair[1]])
    broken = st.tuples(whole, st.binary(min_size=1, max_size=3), st.integers(0, 200)).map(
        lambda parts: parts[0][: parts[2]] + parts[1] + parts[0][parts[2] :]
    )
    return whole | cut | broken


@pytest.mark.parametrize("model", [Payment, PaymentLabel, FraudPrediction])
def test_a_secret_in_the_payload_never_reaches_the_reason(model: type[BaseModel]) -> None:
    contract = compile_contract(model)

    @QUICK
    @given(_planted(SECRET))
    def check(value: bytes) -> None:
        try:
            contract.decode(value)
        except ValueError:
            refusal = contract.refusal(value)
            assert refusal.code in CODES
            assert SECRET[:6] not in str(refusal)
            assert refusal.reason.isascii()
            assert len(refusal.reason) < 200
        else:
            assume(False)

    check()


@QUICK
@given(st.binary(max_size=200) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_get_a_refusal(value: bytes) -> None:
    for contract in (payments, predictions):
        refusal = contract.refusal(value)
        assert refusal.code in CODES
        assert refusal.reason.endswith(".")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b'{"amount_cents":' + b"9" * 10_000_000 + b"}", id="a number of 10 MB"),
        pytest.param(b'{"time_ms":0.' + b"9" * 10_000_000 + b"}", id="a fraction of 10 MB"),
        pytest.param(b"[" * 10_000_000, id="brackets of 10 MB"),
        pytest.param(b'{"payment_id":"' + b"\\n" * 5_000_000 + b'"}', id="a text of 10 MB"),
        pytest.param(b'{"marks":[' + b"1," * 1_000_000 + b"1]}", id="a list of 2 MB"),
    ],
)
def test_records_of_megabytes_are_refused_too(value: bytes) -> None:
    for contract in (payments, predictions):
        with pytest.raises(ValueError):  # noqa: PT011
            contract.decode(value)
        assert contract.refusal(value).code in CODES
