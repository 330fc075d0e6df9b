"""Contracts: a pydantic model made fast. Bytes to events, events to bytes, and why some bytes are no event.

A model of the closed list (app/contracts/fields.py) is compiled to an equal msgspec struct; any other is decoded by
pydantic, which is several times slower and said once in the log. Either way the verdict on some bytes is a function
of the bytes alone, so that a replay refuses what the live run refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec
from pydantic import BaseModel
from pydantic_core import SchemaValidator, core_schema

from app.contracts.fields import NotCompiledError, struct_of
from app.contracts.refusal import refuse
from app.errors import RecordError

_log = logging.getLogger(__name__)

Event = TypeVar("Event", bound=BaseModel)

# Pydantic's parser goes no deeper. Nor must we: msgspec goes as deep as Python's stack has room, which differs from
# caller to caller. A value with no more brackets than this, or no more bytes, cannot be deeper.
DEPTH = 200

# Parses the whole value, so that depth and digits are judged, and looks at none of it.
_any_object = SchemaValidator(core_schema.typed_dict_schema({}, extra_behavior="ignore"))


@dataclass(frozen=True, slots=True)
class Contract(Generic[Event]):
    """How the events of one model are read and written.

    Events are typed as the model, whose attributes they have; what they are is `struct`: a frozen msgspec struct with
    the model's fields in their order, or the model itself where it could not be compiled.

    decode(value)  the event. Raises ValueError (msgspec's, pydantic's and UnicodeDecodeError are such) on whatever is
                   no event, None and b"" too; then ask `refusal` why.
    encode(event)  UTF-8 JSON, no spaces, fields in the model's order. It checks nothing: a float that is not finite
                   becomes null, so the caller must have looked (`isfinite`) before.
    struct(...)    makes an event of what is known to fit; it checks no types and no bounds.
    """

    model: type[Event]
    struct: Callable[..., Event]
    decode: Callable[[bytes | None], Event]
    encode: Callable[[Event], bytes]
    compiled: bool

    def refusal(self, value: bytes | None) -> RecordError:
        """Why `decode` refused these bytes, in a sentence that names declared fields and quotes no payload.

        `code` is one of app.contracts.refusal.CODES. Never raises on any bytes.
        """
        return refuse(self.model, value)


def compile_contract(model: type[Event]) -> Contract[Event]:
    """The contract of a model, made once at start.

    Raises Refused for a list without a largest length: one hostile record of 10 MB could make it cost half a minute.
    """
    try:
        struct = struct_of(model)
    except NotCompiledError as why:
        _log.warning("The contract %s is read by pydantic, which is slower, because %s.", model.__name__, why)
        return Contract(model, model, partial(_decode_slowly, model), _encode_slowly, compiled=False)
    encode = msgspec.json.Encoder().encode
    # The struct stands in for the model: mypy cannot know that they have the same attributes, a test does.
    made: Any = struct
    return Contract(model, made, _decoder(struct), encode, compiled=True)


def _decoder(struct: type[msgspec.Struct]) -> Callable[[bytes | None], Any]:
    read: Callable[[bytes], Any] = msgspec.json.Decoder(struct).decode

    def decode(value: bytes | None) -> Any:
        # Nearly every value is short ASCII: it has no room to be deep, and no bytes to be wrong UTF-8.
        if value and len(value) <= DEPTH and value.isascii():
            return read(value)
        return read(_examined(value))

    return decode


def _examined(value: bytes | None) -> bytes:
    """The value, if it has none of the faults that msgspec overlooks in fields that it skips. Raises ValueError."""
    if not value:
        raise ValueError("there are no bytes")
    if not value.isascii():
        value.decode()
    # What is no object is refused by msgspec at its first byte.
    if value.count(b"[") + value.count(b"{") > DEPTH and value.lstrip().startswith(b"{"):
        _any_object.validate_json(value)
    return value


def _decode_slowly(model: type[Event], value: bytes | None) -> Event:
    if not value:
        raise ValueError("there are no bytes")
    return model.model_validate_json(value, strict=True)


def _encode_slowly(event: BaseModel) -> bytes:
    return event.model_dump_json().encode()
