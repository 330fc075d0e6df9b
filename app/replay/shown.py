"""A record as programs and people see it: an object of JSON, or a line. Whatever its bytes are, both can be printed."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any, NoReturn

from app.record import Headers, Record

CUT = 2_000  # characters of a value in a line for people


def as_object(record: Record) -> dict[str, Any]:
    """For JSON: topic, partition, offset, timestamp (milliseconds since 1970, UTC), key, headers, value.

    Key and value are text, or null where there is none. A value that is a JSON object is that object. Bytes that are
    not UTF-8 are null, and in base64 under `key_base64` or `value_base64`. `headers` maps each name to its value, and
    a name that comes more than once to the list of its values in order; a value that is not UTF-8 is an object
    {"base64": ...}.
    """
    value = _text(record.value)
    parsed = _object(value)
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp_ms,
        **_field("key", record.key),
        "headers": _headers(record.headers or []),
        **({"value": parsed} if parsed is not None else _field("value", record.value)),
    }


def as_line(record: Record) -> str:
    """For people: where and when, key, value, and why a dead letter was refused. May hold control characters."""
    when = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
    key = _words(record.key, "no key")
    value = _words(record.value, "(tombstone)")
    if len(value) > CUT:
        value = f"{value[:CUT]} … ({len(record.value or b''):,} bytes)"
    reasons = [words for name, words in record.headers or [] if name == "reason"]
    why = f"  <- {_words(reasons[-1], '')}" if reasons else ""
    return f"{record.source.decode()}  {when:%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03d}Z  {key}  {value}{why}"


def _field(name: str, value: bytes | None) -> dict[str, str | None]:
    text = _text(value)
    if value is not None and text is None:
        return {name: None, f"{name}_base64": base64.b64encode(value).decode()}
    return {name: text}


def _headers(headers: Headers) -> dict[str, Any]:
    by_name: dict[str, list[Any]] = {}
    for name, value in headers:
        text = _text(value)
        whole = text if value is None or text is not None else {"base64": base64.b64encode(value).decode()}
        by_name.setdefault(name, []).append(whole)
    return {name: values[0] if len(values) == 1 else values for name, values in by_name.items()}


def _text(value: bytes | None) -> str | None:
    try:
        return value.decode() if value is not None else None
    except UnicodeDecodeError:
        return None


def _object(text: str | None) -> dict[str, Any] | None:
    """The object, if the text is one in JSON. Repeated names have their last value."""
    if text is None or not text.lstrip().startswith("{"):
        return None
    try:
        value: dict[str, Any] = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _words(value: bytes | None, nothing: str) -> str:
    return nothing if value is None else value.decode(errors="backslashreplace")
