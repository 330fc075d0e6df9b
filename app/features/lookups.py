"""Lookups: features that somebody else wrote, by entity, and what stands for those that are not as they should be.

Three layouts: packed rows that `features load` fills, hashes, and JSON objects under keys that others write. Whether
a value is too old is judged by the record's timestamp; no verdict looks at the wall clock.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from operator import attrgetter
from typing import Any, Literal

import msgspec

from app.errors import RecordError, Refused, Stage
from app.features.numbers import Kind, number_of_json, number_of_text
from app.features.reader import Ask

DEFAULTED = "defaulted"  # the mark of a prediction that used a declared default in place of a value
DEGRADED = "degraded"  # the same, where the declaration lets the field go: also when Redis does not answer
STALE = "stale"  # the mark beside one of those where there was a value, and it was too old

Missing = Literal["default", "degrade", "required"]
Values = tuple[float | None, ...]
Answer = tuple[tuple[float, ...], tuple[str, ...]]
Note = Callable[[str, str], None]  # told what is odd about a row, and in which field


def _silent(what: str, field: str) -> None:
    """For those who do not count."""


@dataclass(frozen=True)
class Field:
    """One number of a lookup: the model's name for it, and what stands for it where there is none that can be used.

    `missing` says what becomes of an event then. default: `default` stands for it, marked `defaulted`. degrade: the
    same, marked `degraded`, and where every field of a lookup says so, nobody waits for a Redis that does not answer.
    required: the record becomes a dead letter. A value that is older than `max_age_ms` is as good as none, and the
    prediction is marked `stale` too. `stored_as` is its name in the row, if that is another.
    """

    name: str
    default: float = 0.0
    missing: Missing = "default"
    max_age_ms: int | None = None
    type: Kind = "float"
    stored_as: str | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.default):
            raise Refused(f"The default of the field {self.name} must be a finite number: no model gets others.")
        if self.max_age_ms is not None and self.max_age_ms < 0:
            raise Refused(f"The field {self.name} cannot have an age below nothing.")

    @property
    def stored(self) -> str:
        return self.stored_as or self.name


@dataclass(frozen=True)
class Written:
    """What every layout has. `key` names the event's field that holds the entity."""

    name: str
    key: str
    fields: tuple[Field, ...]

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)

    @cached_property
    def entity(self) -> Callable[[Any], str]:
        getter: Callable[[Any], str] = attrgetter(self.key)
        return getter

    @cached_property
    def fresh_ms(self) -> int | None:
        """Up to which age every field may be used; None where age does not matter."""
        return min((field.max_age_ms for field in self.fields if field.max_age_ms is not None), default=None)

    @cached_property
    def degrades(self) -> bool:
        """Whether nobody waits for it."""
        return all(field.missing == "degrade" for field in self.fields)

    def answer(self, values: Values | None, age_ms: float) -> Answer:
        """What the model gets of a row, and the marks; `age_ms` is inf where nothing says when it was written.

        Raises RecordError where a required value is not there or too old.
        """
        row: list[float] = []
        marks: dict[str, None] = {}
        for field, value in zip(self.fields, values or (None,) * len(self.fields), strict=True):
            if value is not None and (field.max_age_ms is None or age_ms <= field.max_age_ms):
                row.append(value)
                continue
            if field.missing == "required":
                raise self._refused(field, is_old=value is not None)
            marks[DEFAULTED if field.missing == "default" else DEGRADED] = None
            if value is not None:
                marks[STALE] = None
            row.append(field.default)
        return tuple(row), tuple(marks)

    def _refused(self, field: Field, *, is_old: bool) -> RecordError:
        if is_old:
            why = f"The {field.name} of the lookup {self.name} is older than it may be."
            return RecordError(Stage.FEATURES, "too-old", why)
        return RecordError(Stage.FEATURES, "missing", f"The lookup {self.name} has no {field.name} for this event.")


@dataclass(frozen=True)
class Lookup(Written):
    """Packed float32 rows. A load writes a whole new build beside the one that serves, and then turns one pointer.

    So a reader never sees half of a load. How old a row is, is how old its build is.
    """

    @property
    def tag(self) -> str:
        """What the few keys beside the rows begin with: one slot of a cluster has them all."""
        return f"{{lookup/{self.name}}}"

    @property
    def pointer(self) -> str:
        """The key that names the build which serves."""
        return f"{self.tag}/current"

    @property
    def rows(self) -> str:
        """What the keys of all rows begin with."""
        return f"lookup/{self.name}/"

    def row_key(self, build: str, entity: str) -> str:
        return f"{self.rows}{build}/{entity}"

    def pack(self, values: Sequence[float]) -> bytes:
        return array("f", values).tobytes()

    def unpack(self, blob: bytes, note: Note = _silent) -> Values | None:
        """The row's values as float64, or None where the blob does not have this lookup's width."""
        if len(blob) != 4 * len(self.fields):
            note("wrong-width", "")
            return None
        values = tuple(array("f", blob))
        return values if all(map(math.isfinite, values)) else tuple(self._finite(values, note))

    def _finite(self, values: Sequence[float], note: Note) -> Sequence[float | None]:
        found: list[float | None] = []
        for field, value in zip(self.fields, values, strict=True):
            found.append(value if math.isfinite(value) else None)
            if found[-1] is None:
                note("not-a-number", field.name)
        return found


BUILD_TIME = "%Y%m%dT%H%M%SZ"


def loaded_ms(build: str) -> int | None:
    """When a build was loaded, as its name says; None where another program named it."""
    try:
        return int(datetime.strptime(build.split("-", 1)[0], BUILD_TIME).replace(tzinfo=UTC).timestamp()) * 1000
    except ValueError:
        return None


class Stored(msgspec.Struct, frozen=True, gc=False):
    """A row as it was read: None where there is none. `written_ms` is None where it does not say."""

    values: Values | None
    written_ms: int | None


NOTHING = Stored(None, None)


@dataclass(frozen=True)
class Keyed(Written, ABC):
    """Rows that others change where they lie: `rows` is the key's pattern, with `{entity}` where the entity goes.

    `written_at` names the row's field with the time it was written, in milliseconds since 1970. What was read serves
    for `keep_s` seconds before it is read again.
    """

    rows: str
    written_at: str | None = None
    keep_s: float = 1.0

    def __post_init__(self) -> None:
        if self.rows.count("{entity}") != 1:
            raise Refused(
                f"The rows of the lookup {self.name} need one {{entity}} in their key, as in feature:{{entity}}."
            )
        if self.fresh_ms is not None and self.written_at is None:
            raise Refused(
                f"The lookup {self.name} declares a maximum age: say in which field its rows tell their time."
            )
        if self.keep_s < 0:
            raise Refused(f"The lookup {self.name} cannot keep its rows for less than no time.")

    def row_key(self, entity: str) -> str:
        return self.rows.replace("{entity}", entity)

    @cached_property
    def stored(self) -> tuple[str, ...]:
        """The names of what is read of a row, each once."""
        time = () if self.written_at is None else (self.written_at,)
        return tuple(dict.fromkeys((*(field.stored for field in self.fields), *time)))

    @abstractmethod
    def ask(self, entities: Sequence[str]) -> Ask:
        """What to read of Redis."""

    @abstractmethod
    def parse(self, found: Any, note: Note = _silent) -> Stored:
        """One entity's row. What cannot be used of it is None, and noted."""

    def _stored(self, read: dict[str, Any], number: Callable[[Any, Kind], float | None], note: Note) -> Stored:
        values: list[float | None] = []
        for field in self.fields:
            raw = read[field.stored]
            value = None if raw is None else number(raw, field.type)
            if value is None:
                note("no-field" if raw is None else "not-a-number", field.name)
            values.append(value)
        if self.written_at is None:
            return Stored(tuple(values), None)
        raw = read[self.written_at]
        time = None if raw is None else number(raw, "int")
        if time is None:
            note("no-time", self.written_at)
        return Stored(tuple(values), None if time is None else int(time))


@dataclass(frozen=True)
class HashLookup(Keyed):
    """A Redis hash for each entity."""

    def ask(self, entities: Sequence[str]) -> Ask:
        return Ask([*map(self.row_key, entities)], self.stored)

    def parse(self, found: Any, note: Note = _silent) -> Stored:
        if found is None:
            note("wrong-type", "")
            return NOTHING
        if not any(value is not None for value in found):
            note("no-row", "")
            return NOTHING
        return self._stored(dict(zip(self.stored, found, strict=True)), number_of_text, note)


@dataclass(frozen=True)
class JsonLookup(Keyed):
    """A string with a JSON object for each entity; the fields stand in the object itself, not deeper."""

    def ask(self, entities: Sequence[str]) -> Ask:
        return Ask([*map(self.row_key, entities)])

    @cached_property
    def _decoder(self) -> Any:
        """Decodes what is declared and skips the rest."""
        names = {f"f{i}": name for i, name in enumerate(self.stored)}
        return msgspec.json.Decoder(msgspec.defstruct("Row", [(name, Any, None) for name in names], rename=names))

    def parse(self, found: Any, note: Note = _silent) -> Stored:
        if found is None:  # or a key of another type: Redis does not tell them apart
            note("no-row", "")
            return NOTHING
        try:
            read = msgspec.structs.astuple(self._decoder.decode(found))
        except (ValueError, RecursionError):
            note("not-json", "")
            return NOTHING
        return self._stored(dict(zip(self.stored, read, strict=True)), number_of_json, note)
