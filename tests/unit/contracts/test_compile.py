"""The compiled contract against pydantic: the same verdict on every declared field, and the same values."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from app.contracts.compile import DEPTH, compile_contract
from schemas import TOPICS, FraudPrediction, Payment, PaymentLabel

PAYMENT = b'{"payment_id":"1","customer_id":"596","terminal_id":"3156","amount_cents":5716,"time_ms":1522540831000}'
LABEL = (
    b'{"payment_id":"1","terminal_id":"3156","payment_time_ms":1522540831000,"known_at_ms":1523145631000,"fraud":false}'
)
PREDICTION = (
    b'{"id":"a1","event_id":"1","customer_id":"596","time_ms":1522540831000,"score":0.0123,"threshold":0.5,'
    b'"decision":"pass","model":{"name":"fraud","version":1},"features":{"amount":57.16,"weekend":1.0,"night":0.0,'
    b'"customer_count_1d":1.0,"customer_mean_1d":57.16,"customer_count_7d":1.0,"customer_mean_7d":57.16,'
    b'"customer_count_30d":1.0,"customer_mean_30d":57.16,"terminal_count_1d":0.0,"terminal_risk_1d":0.0,'
    b'"terminal_count_7d":0.0,"terminal_risk_7d":0.0,"terminal_count_30d":0.0,"terminal_risk_30d":0.0},"marks":[]}'
)
EXAMPLES: list[tuple[type[BaseModel], bytes]] = [
    (Payment, PAYMENT),
    (PaymentLabel, LABEL),
    (FraudPrediction, PREDICTION),
]
CONTRACTS = {model: compile_contract(model) for model, _ in EXAMPLES}

BOUNDS = [0, 10**12, 946_684_800_000, 4_102_444_800_000, 2**31, 2**53, 2**63, 2**64, 10**25]
NUMBERS = [str(sign * (bound + step)) for bound in BOUNDS for step in (-1, 0, 1) for sign in (1, -1)]
TOKENS = [
    *NUMBERS,
    *(
        "-0",
        "-0.0",
        "0.0",
        "1.0",
        "1.5",
        "1e2",
        "1E2",
        "100e-2",
        "1e-400",
        "5e-324",
        "1e308",
        "1e309",
        "1e999",
        "-1e999",
    ),
    *("9" * 309, "9" * 400, "9" * 4300, "9" * 4301, "0." + "3" * 5000, "01", "+1", "1.", ".5", "-", "NaN", "-Infinity"),
    *("true", "false", "null", '""', '"1"', '"true"', "[]", "{}", '[""]', '["late"]', "[1]", "[[]]", '{"name":"a"}'),
    *('"' + letter * length + '"' for letter in ("x", "é", "😀", r"\ud83d\ude00", r"\u0000") for length in (64, 65)),
    *(r'"\ud800"', r'"\udc00"', r'"\ud800x"', r'"\x"', r'"\/"', '"\x01"', '"pass"', r'"p\u0061ss"', '"Pass"', "'a'"),
    *("[" * depth + "]" * depth for depth in (100, 20_000)),
    "[" + ",".join(['"late"'] * 32) + "]",
    "[" + ",".join(['"late"'] * 33) + "]",
]
# In a field that is not declared, msgspec decides alone: what is put there is well-formed.
ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
).map(json.dumps)
UNKNOWN = st.text(max_size=8).map(lambda name: json.dumps("_" + name))


@st.composite
def _mutants(draw: st.DrawFn, valid: dict[str, Any]) -> str:
    """A JSON object that was an event before fields were dropped, replaced, added, and put into another order."""
    fields = {json.dumps(name): json.dumps(value) for name, value in valid.items()}
    for name, value in valid.items():
        if isinstance(value, dict) and draw(st.booleans()):
            fields[json.dumps(name)] = draw(_mutants(value))
    for name in draw(st.lists(st.sampled_from(sorted(fields)), max_size=2, unique=True)):
        if draw(st.integers(0, 3)):
            fields[name] = draw(st.sampled_from(TOKENS) | ANY_JSON)
        else:
            del fields[name]
    fields |= draw(st.dictionaries(UNKNOWN, ANY_JSON, max_size=1))
    return "{" + ",".join(f"{name}:{value}" for name, value in draw(st.permutations(list(fields.items())))) + "}"


@pytest.mark.parametrize(("model", "example"), EXAMPLES)
def test_pydantic_and_the_compiled_contract_give_the_same_verdict_and_the_same_values(
    model: type[BaseModel], example: bytes
) -> None:
    contract = CONTRACTS[model]

    @settings(max_examples=1000)
    @given(_mutants(json.loads(example)))
    def check(text: str) -> None:
        value = text.encode()
        try:
            expected = model.model_validate_json(value)
        except ValidationError:
            with pytest.raises(ValueError):  # noqa: PT011  # any ValueError: that is what callers catch
                contract.decode(value)
            return
        event = contract.decode(value)
        assert repr(msgspec.to_builtins(event)) == repr(expected.model_dump())
        assert contract.decode(contract.encode(event)) == event

    check()


@pytest.mark.parametrize(("model", "example"), EXAMPLES)
def test_the_examples_of_the_wire_decode_and_encode_to_the_same_bytes(model: type[BaseModel], example: bytes) -> None:
    contract = CONTRACTS[model]
    assert contract.compiled
    assert contract.encode(contract.decode(example)) == example


@pytest.mark.parametrize("contract", TOPICS.values(), ids=TOPICS)
def test_every_topic_is_compiled_and_its_key_time_and_id_are_fields_of_the_right_type(contract: Any) -> None:
    compiled = compile_contract(contract.model)
    assert compiled.compiled
    fields = contract.model.model_fields
    assert [fields[name].annotation for name in (contract.key, contract.time, contract.id)] == [str, int, str]
    assert compiled.struct.__struct_fields__ == tuple(fields)  # type: ignore[attr-defined]


def test_an_event_cannot_be_changed() -> None:
    event = CONTRACTS[Payment].decode(PAYMENT)
    with pytest.raises(AttributeError):
        event.amount_cents = 1  # type: ignore[attr-defined]


def test_unknown_fields_are_ignored_coming_in_and_refused_going_out() -> None:
    grown = PAYMENT[:-1] + b',"currency":"EUR"}'
    assert CONTRACTS[Payment].decode(grown) == CONTRACTS[Payment].decode(PAYMENT)
    with pytest.raises(ValueError, match="unknown field"):
        CONTRACTS[FraudPrediction].decode(PREDICTION[:-1] + b',"currency":"EUR"}')
    with pytest.raises(ValueError, match="unknown field"):
        CONTRACTS[FraudPrediction].decode(PREDICTION.replace(b'"version":1', b'"version":1,"sha":1'))


@pytest.mark.parametrize("value", [b"", None, b" ", b"null", b"[]", b"\xef\xbb\xbf" + PAYMENT, PAYMENT + PAYMENT])
def test_what_is_not_one_object_raises_value_error(value: bytes | None) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        CONTRACTS[Payment].decode(value)


def test_wrong_utf8_is_refused_even_in_a_field_that_is_ignored() -> None:
    with pytest.raises(UnicodeDecodeError):
        CONTRACTS[Payment].decode(PAYMENT[:-1] + b',"note":"\xff"}')
    assert CONTRACTS[Payment].decode(PAYMENT[:-1] + ',"note":"é"}'.encode())


def _nested(depth: int) -> bytes:
    return PAYMENT[:-1] + b',"note":' + b"[" * depth + b"]" * depth + b"}"


def _from_deep_down(frames: int, call: Callable[[], object]) -> object:
    return _from_deep_down(frames - 1, call) if frames else call()


@pytest.mark.parametrize(("depth", "accepted"), [(DEPTH - 1, True), (DEPTH + 1, False), (900, False), (20_000, False)])
def test_how_deep_a_value_may_be_does_not_depend_on_who_asks(depth: int, accepted: bool) -> None:
    decode = CONTRACTS[Payment].decode

    def verdict() -> bool:
        try:
            decode(_nested(depth))
        except ValueError:
            return False
        return True

    room = sys.getrecursionlimit() // 2
    with pytest.raises(ValueError):  # noqa: PT011
        decode(b"\n" + _nested(900))
    assert verdict() is _from_deep_down(room, verdict) is accepted


def test_many_brackets_that_are_not_deep_are_accepted() -> None:
    assert CONTRACTS[Payment].decode(PAYMENT[:-1] + b',"note":"' + b"[" * 1000 + b'"}')
    assert CONTRACTS[Payment].decode(PAYMENT[:-1] + b',"note":[' + b"{}," * 1000 + b"{}]}")


def test_a_float_that_is_not_finite_is_encoded_as_null_so_that_the_caller_must_look_first() -> None:
    contract = CONTRACTS[FraudPrediction]
    event: Any = contract.decode(PREDICTION)
    spoilt = contract.encode(msgspec.structs.replace(event, score=float("nan")))
    assert b'"score":null' in spoilt
    with pytest.raises(ValueError, match="got `null`"):
        contract.decode(spoilt)
