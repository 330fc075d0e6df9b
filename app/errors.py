"""Errors are named by what is to be done about them.

StreamInferError
├── RecordError     this record cannot be scored: dead-letter it, go on
├── BatchAborted    the batch did not commit: drop it, rewind, try again
├── Unavailable     a service does not answer: wait, say so once, go on (a command exits with 3)
├── Refused         the user asked for what cannot be done: one sentence, exit with 1 or 2
└── Fatal           nothing that this process can do helps: exit non-zero, with a sentence
    └── Fenced      another live process has this slot: exit, and do not restart
"""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """Where on its way a record was refused. A header of the dead letter and a metric label."""

    DECODE = "decode"
    VALIDATE = "validate"
    FEATURES = "features"
    SCORE = "score"
    ENCODE = "encode"
    DELIVER = "deliver"


class StreamInferError(Exception):
    """The root. Its text is a whole sentence for a person."""


class RecordError(StreamInferError):
    """This record cannot be scored. `code` is a word for metrics; `reason` is a sentence and quotes no payload."""

    def __init__(self, stage: Stage, code: str, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage
        self.code = code
        self.reason = reason


class BatchAborted(StreamInferError):
    """The transaction did not commit, or nobody knows whether it did. Truth is what the group has committed."""


class Unavailable(StreamInferError):
    """Kafka or Redis does not answer now."""


class Refused(StreamInferError):
    """What was asked for cannot be done; the text says what to do instead."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Fatal(StreamInferError):
    """This process cannot go on, and a restart would not help."""


class Fenced(Fatal):
    """The broker gave this slot to another process."""
