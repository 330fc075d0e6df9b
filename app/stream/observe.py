"""The steps that a record's answer goes through, in order, and the one place where they are told."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class Step(StrEnum):
    """A point between two effects: where a process can die, and what was done must be told from what was not."""

    STARTED = "started"  # both producers are initialised
    ASSIGNED = "assigned"  # inside the callback
    REVOKED = "revoked"  # inside the callback, before anything is settled
    RESOLVED = "resolved"  # a partition's committed offset and markers are read
    CAUGHT_UP = "caught-up"  # a partition's state has folded up to the committed offset
    POLLED = "polled"
    LOADED = "loaded"  # features are in memory, nothing is folded
    PREPARED = "prepared"  # folded, scored, encoded
    BEGUN = "begun"  # a transaction is open
    PRODUCED = "produced"
    OFFSETS_SENT = "offsets-sent"
    COMMITTED = "committed"  # the broker said so, on the thread of the transactions
    CONFIRMED = "confirmed"  # the loop knows it
    FLUSHING = "flushing"  # before a partition's state is written
    FLUSHED = "flushed"
    RECOVERED = "recovered"  # after an unclean commit: both producers are initialised again
    LEAVING = "leaving"


Observer = Callable[[Step], None]


def nobody(_: Step) -> None:
    """The observer of every process that no test watches."""
