"""Why some bytes are no event: asked of pydantic, said in our own words.

Nothing of the payload reaches the words: they are made of declared field names, declared bounds and positions only.
Pydantic's own messages are not passed on, for some of them quote the input.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, get_args

import msgspec
from pydantic import BaseModel, ValidationError

from app.errors import RecordError, Stage

CODES: Final = (
    "tombstone",
    "empty",
    "not-utf8",
    "not-json",
    "wrong-type",
    "missing-field",
    "out-of-range",
    "invalid",
)

# Above this many faults (hostile lists, or thousands of unknown fields) listing them costs more than it tells.
MANY = 1000
# A path into nested models is cut here: a sentence has an end.
PATH_LENGTH = 6

_WRONG_TYPE: Final = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
}

_OUT_OF_RANGE: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "greater_than": lambda bound: f"more than {bound['gt']}",
    "greater_than_equal": lambda bound: f"at least {bound['ge']}",
    "less_than": lambda bound: f"less than {bound['lt']}",
    "less_than_equal": lambda bound: f"at most {bound['le']}",
    "finite_number": lambda _: "a finite number",
    "string_too_short": lambda bound: f"at least {_counted(bound['min_length'], 'character')} long",
    "string_too_long": lambda bound: f"at most {_counted(bound['max_length'], 'character')} long",
    "too_short": lambda bound: f"a list of at least {_counted(bound['min_length'], 'item')}",
    "too_long": lambda bound: f"a list of at most {_counted(bound['max_length'], 'item')}",
    "literal_error": lambda bound: f"one of {bound['expected']}",
}

_POSITION: Final = re.compile(r" at line (\d+) column (\d+)$")


def refuse(model: type[BaseModel], value: bytes | None) -> RecordError:
    """The refusal of bytes that are no event of `model`. Never raises, whatever the bytes."""
    if value is None:
        return RecordError(Stage.DECODE, "tombstone", "The record is a tombstone: it has no value.")
    if not value:
        return RecordError(Stage.DECODE, "empty", "The record's value is empty.")
    try:
        value.decode()
    except UnicodeDecodeError as error:
        return RecordError(Stage.DECODE, "not-utf8", f"The value is not UTF-8 at byte {error.start + 1}.")
    try:
        model.model_validate_json(value, strict=True)
    except ValidationError as error:
        return _told(model, error)
    return _overlooked(value)


def _overlooked(value: bytes) -> RecordError:
    """What msgspec refuses and pydantic does not mind, both in places that it skips."""
    try:
        msgspec.json.decode(value, type=msgspec.Raw)
    except ValueError:
        return RecordError(Stage.DECODE, "not-json", "The value is not JSON: NaN and infinities are no numbers there.")
    return RecordError(Stage.VALIDATE, "invalid", "The value has a field twice, and the first of them does not fit.")


def _told(model: type[BaseModel], error: ValidationError) -> RecordError:
    faults = error.error_count()
    if faults > MANY:
        return RecordError(Stage.VALIDATE, "invalid", f"The value does not fit the contract in {faults} places.")
    first = error.errors(include_url=False, include_input=False)[0]
    kind, bounds = first["type"], first.get("ctx", {})
    if kind == "json_invalid":
        return _not_json(str(bounds.get("error", "")))
    if kind == "extra_forbidden":
        where = _where(model, first["loc"][:-1])
        return RecordError(Stage.VALIDATE, "invalid", f"{where} has a field that the contract does not declare.")
    where = _where(model, first["loc"])
    if kind == "missing":
        return RecordError(Stage.VALIDATE, "missing-field", f"{where} is missing.")
    if kind in _WRONG_TYPE:
        reason = f"{where} should be {_WRONG_TYPE[kind]}, and is of another type."
        return RecordError(Stage.VALIDATE, "wrong-type", reason)
    if kind in _OUT_OF_RANGE:
        return RecordError(Stage.VALIDATE, "out-of-range", f"{where} should be {_OUT_OF_RANGE[kind](bounds)}.")
    return RecordError(Stage.VALIDATE, "invalid", f"{where} does not fit the contract.")


def _not_json(told: str) -> RecordError:
    """`told` is the parser's own text; its kind and position are used, its words are not."""
    found = _POSITION.search(told)
    where = f" at line {found[1]}, column {found[2]}" if found else ""
    if told.startswith("number out of range"):
        return RecordError(Stage.VALIDATE, "out-of-range", f"The value has a number with too many digits{where}.")
    if told.startswith("recursion limit exceeded"):
        return RecordError(Stage.VALIDATE, "invalid", f"The value is nested too deep{where}.")
    return RecordError(Stage.DECODE, "not-json", f"The value is not JSON{where}.")


def _where(model: type[BaseModel], place: tuple[int | str, ...]) -> str:
    """The place of a fault as the start of a sentence. What is not declared, like a payload's own key, is left out."""
    declared = set(_declared(model, set()))
    path = ""
    for part in place[:PATH_LENGTH]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part in declared:
            path += f".{part}" if path else part
        else:
            break
    return f"The field {path}" if path else "The value"


def _declared(annotation: object, seen: set[object]) -> Iterator[str]:
    """The names of every field that can be met in a value of this type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation not in seen:
            seen.add(annotation)
            for name, field in annotation.model_fields.items():
                yield name
                yield from [alias for alias in (field.alias, field.validation_alias) if isinstance(alias, str)]
                yield from _declared(field.annotation, seen)
    else:
        for inner in get_args(annotation):
            yield from _declared(inner, seen)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
