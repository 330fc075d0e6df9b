"""Lookups: features that somebody else wrote, one packed row of float32 for each entity.

A load writes a whole new build beside the one that serves and then turns one pointer, so that a reader never sees
half of a load. What was missing is answered by the declared default and marked on the prediction.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

DEFAULTED = "defaulted"  # the mark of a prediction that used a default in place of a value


@dataclass(frozen=True)
class Field:
    """One number of a lookup, and the value that stands for it when the entity is not there."""

    name: str
    default: float = 0.0


@dataclass(frozen=True)
class Lookup:
    """A table of float32 rows by entity. `key` names the event's field that holds the entity."""

    name: str
    key: str
    fields: tuple[Field, ...]

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)

    @cached_property
    def defaults(self) -> tuple[float, ...]:
        return tuple(field.default for field in self.fields)

    @cached_property
    def entity(self) -> Callable[[Any], str]:
        getter: Callable[[Any], str] = attrgetter(self.key)
        return getter

    @property
    def pointer(self) -> str:
        """The key that names the build which serves."""
        return f"lookup/{self.name}/current"

    def row_key(self, build: str, entity: str) -> str:
        return f"lookup/{self.name}/{build}/{entity}"

    def pack(self, values: tuple[float, ...]) -> bytes:
        return array("f", values).tobytes()

    def unpack(self, blob: bytes) -> tuple[float, ...] | None:
        """The row's values as float64, or None where the blob does not have this lookup's width."""
        return tuple(array("f", blob)) if len(blob) == 4 * len(self.fields) else None
