"""Log lines, for a person or a program: one a state change, none a record, and no secret in any.

A line for a program has time, level, pipeline, slot, event and message. The event is a word that does not change when
its sentence does: the line's own, or else the module and function that wrote it.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.access.clients import secrets
from app.telemetry.masking import learn, mask

if TYPE_CHECKING:
    from app.settings import Settings

MOST = 20_000  # characters of one line: a traceback has an end


class _Human(logging.Formatter):
    """`2026-11-25 03:40:00,123 fraud.host-0 WARNING Redis does not answer.`"""

    def __init__(self, slot: str) -> None:
        who = f"{slot.replace('%', '%%')} " if slot else ""
        super().__init__(f"%(asctime)s {who}%(levelname)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))[:MOST]


class _Json(logging.Formatter):
    """One object a line, of ASCII."""

    def __init__(self, pipeline: str, slot: str) -> None:
        super().__init__()
        self._who = {"pipeline": pipeline, "slot": slot}

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            **self._who,
            "event": getattr(record, "event", f"{record.module}.{record.funcName.strip('_')}"),
            "message": mask(record.getMessage())[:MOST],
        }
        if record.exc_info:
            line["traceback"] = mask(self.formatException(record.exc_info))[-MOST:]
        return json.dumps(line)


def begin_logs(settings: Settings, *, pipeline: str = "", slot: str = "") -> None:
    """Lines of this process go to standard error from now on, in the form that the settings name."""
    learn([settings.redis, settings.kafka, settings.otlp_url], settings.kafka_options | secrets(settings))
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json(pipeline, slot) if settings.log_format == "json" else _Human(slot))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
