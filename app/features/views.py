"""Views: what a pipeline remembers of each entity of its own topic, as pure functions of the log.

`fold` takes one event into a state, `read` gives the features as of an event's time. Both know no clock but event
time and are deterministic, so that a state can be folded again from the log and come out the same.
"""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

FOLD_VERSION = 2  # part of every digest: raise it when a fold or a blob's layout changes
PRUNE_AT = 64  # entries out of the horizon before a list is cut: cutting costs as much as folding a few events


class State(Protocol):
    """What a view remembers of one entity. `next_offset` is the first offset that is not folded in yet."""

    next_offset: int


class View(Protocol):
    """A declaration of folded state. A state of one view is made, changed, read and packed by that view only.

    `fields` are the event's fields that a fold reads. `repeat` says in one word why an event must not be folded
    because the state has it already; a view that does not look for repeats gives None always.
    """

    @property
    def name(self) -> str: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def fields(self) -> tuple[str, ...]: ...
    @property
    def lateness_ms(self) -> int: ...
    @property
    def within_ms(self) -> int: ...
    @property
    def digest(self) -> str: ...
    def new(self) -> Any: ...
    def repeat(self, state: Any, event: Any) -> str | None: ...
    def fold(self, state: Any, event: Any, time_ms: int) -> bool: ...
    def read(self, state: Any, time_ms: int) -> tuple[Any, ...]: ...
    def pack(self, state: Any) -> bytes: ...
    def unpack(self, body: bytes) -> Any: ...
    def describe(self, state: Any) -> dict[str, object]: ...


def digest_of(*words: object) -> str:
    """Names what a state means, by the words that say it. Another digest is another build of the state."""
    return hashlib.blake2b(repr((FOLD_VERSION, *words)).encode(), digest_size=8).hexdigest()
