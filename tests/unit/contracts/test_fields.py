"""What is compiled, and that whatever is not still keeps its contract."""

from __future__ import annotations

import logging
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, create_model, field_validator

from app.contracts.compile import compile_contract
from app.errors import Refused
from schemas.fields import INPUT, OUTPUT


class Node(BaseModel):
    model_config = INPUT
    x: int = 0
    inner: Annotated[list[Node], Field(max_length=2)]


class Whole(RootModel[int]):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class Finished(BaseModel):
    model_config = INPUT
    x: int

    def model_post_init(self, context: Any) -> None:
        if context or self.x > 5:
            raise ValueError


class Upper(BaseModel):
    model_config = INPUT
    name: str

    @field_validator("name")
    @classmethod
    def _upper(cls, name: str) -> str:
        if not name.isupper():
            raise ValueError(name)
        return name


def _model(field: Any, **config: Any) -> type[BaseModel]:
    merged: Any = {**INPUT, **config}
    return create_model("Made", __config__=merged, x=field)


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        (int, b"5", b"5.0"),
        (Annotated[int, Field(gt=4, lt=6)], b"5", b"6"),
        (Annotated[float, Field(gt=0.5)], b"1", b"0.5"),
        (bool, b"true", b"1"),
        (Literal["a", "b"], b'"b"', b'"c"'),
        (
            Annotated[list[Annotated[str, Field(max_length=2)]], Field(min_length=1, max_length=2)],
            b'["ab"]',
            b'["abc"]',
        ),
        ((str, "EUR"), b'"USD"', b"null"),
    ],
)
def test_the_closed_list_is_compiled(field: Any, good: bytes, bad: bytes) -> None:
    contract = compile_contract(_model(field if isinstance(field, tuple) else (field, ...)))
    assert contract.compiled
    assert contract.encode(contract.decode(b'{"x":%b}' % good)).startswith(b'{"x":')
    with pytest.raises(ValueError):  # noqa: PT011
        contract.decode(b'{"x":%b}' % bad)


class Leaf(BaseModel):
    model_config = OUTPUT
    name: Annotated[str, Field(min_length=1, max_length=3)]
    weight: Annotated[float, Field(ge=0)]


def test_a_list_of_models_is_compiled_with_the_bounds_of_both() -> None:
    contract = compile_contract(_model((Annotated[list[Leaf], Field(max_length=2)], ...)))
    assert contract.compiled
    value = b'{"x":[{"name":"a","weight":0.5},{"name":"b","weight":1.0}]}'
    event: Any = contract.decode(value)
    assert [(leaf.name, leaf.weight) for leaf in event.x] == [("a", 0.5), ("b", 1.0)]
    assert contract.encode(event) == value
    for bad in (
        b'{"x":[{"name":"a","weight":0.5},{"name":"b","weight":1.0},{"name":"c","weight":1.0}]}',
        b'{"x":[{"name":"a","weight":-0.5}]}',
        b'{"x":[{"name":"abcd","weight":0.5}]}',
        b'{"x":[{"name":"a"}]}',
        b'{"x":[{"name":"a","weight":0.5,"more":1}]}',
        b'{"x":{"name":"a","weight":0.5}}',
    ):
        with pytest.raises(ValueError):  # noqa: PT011
            contract.decode(bad)
        assert contract.refusal(bad).code in ("wrong-type", "missing-field", "out-of-range", "invalid")
    assert contract.refusal(b'{"x":[{"name":"abcd","weight":0.5}]}').reason.startswith("The field x[0].name ")


def test_a_list_of_models_without_a_largest_length_is_refused() -> None:
    with pytest.raises(Refused, match="needs a max_length"):
        compile_contract(_model((list[Leaf], ...)))


def test_a_field_that_is_left_out_takes_its_default_and_is_written() -> None:
    contract = compile_contract(_model((str, "EUR")))
    assert contract.encode(contract.decode(b"{}")) == b'{"x":"EUR"}'


@pytest.mark.parametrize(
    "model",
    [
        Node,
        Upper,
        Whole,
        Finished,
        _model((dict[str, int], ...)),
        _model((int | None, None)),
        _model((Literal[1], ...)),
        _model((Annotated[str, Field(pattern="^a")], ...)),
        _model((Annotated[float, Field(multiple_of=0.5)], ...)),
        _model((Annotated[int, Field(ge=1.0)], ...)),
        _model((Annotated[int, Field(ge=1, gt=2)], ...)),
        _model((Annotated[int, Field(le=2**63)], ...)),
        _model((int, Field(alias="y"))),
        _model((int, Field(default_factory=lambda: 1))),
        _model((str, ...), str_strip_whitespace=True),
        _model((float, ...), allow_inf_nan=True),
        _model((int, ...), strict=False),
        _model((int, ...), extra="allow"),
        create_model("Made", __config__=INPUT, x=(int, 1), y=(int, ...)),
    ],
)
def test_whatever_is_not_on_the_list_is_left_to_pydantic_and_said_once(
    model: type[BaseModel], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        contract = compile_contract(model)
    assert not contract.compiled
    assert contract.struct is model
    assert [record.name for record in caplog.records] == ["app.contracts.compile"]
    with pytest.raises(ValueError):  # noqa: PT011
        contract.decode(b'{"x":[]}')
    assert contract.refusal(b'{"x":[]}').code in ("wrong-type", "missing-field", "out-of-range", "invalid")


def test_what_pydantic_reads_is_strict_too_and_has_the_same_attributes() -> None:
    contract = compile_contract(_model((int | None, None), strict=False))
    assert contract.encode(contract.decode(b'{"x":5}')) == b'{"x":5}'
    assert contract.refusal(b'{"x":"5"}').code == "wrong-type"
    with pytest.raises(ValueError):  # noqa: PT011
        contract.decode(b'{"x":"5"}')
    with pytest.raises(ValueError):  # noqa: PT011
        contract.decode(None)


def test_a_validator_of_ones_own_refuses_without_its_words() -> None:
    refusal = compile_contract(Upper).refusal(b'{"name":"secret"}')
    assert (refusal.code, refusal.reason) == ("invalid", "The field name does not fit the contract.")


def test_a_key_that_came_with_the_payload_is_not_a_part_of_the_path() -> None:
    refusal = compile_contract(_model((dict[str, int], ...))).refusal(b'{"x":{"secret":"a"}}')
    assert refusal.reason == "The field x should be a whole number, and is of another type."


def test_a_field_is_named_as_the_wire_names_it() -> None:
    refusal = compile_contract(_model((int, Field(alias="y")))).refusal(b'{"y":"a"}')
    assert refusal.reason == "The field y should be a whole number, and is of another type."


def test_a_fault_far_down_is_told_in_a_short_sentence() -> None:
    refusal = compile_contract(Node).refusal(b'{"inner":[' * 50 + b"7" + b"]}" * 50)
    assert refusal.reason == "The field inner[0].inner[0].inner[0] should be an object, and is of another type."


def test_a_list_without_a_largest_length_is_refused() -> None:
    with pytest.raises(Refused, match=r"the field Made\.x needs a max_length"):
        compile_contract(_model((list[str], ...)))
