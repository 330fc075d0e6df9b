"""What commands say because a machine is slow: tests are about what they say anyway."""

from __future__ import annotations

import re

PROGRESS = re.compile(r".+ \.\.\. \d+ s(  .*)?$")  # from two seconds on


def without_progress(said: str) -> str:
    """What a command said, but for its progress."""
    return "".join(line for line in said.splitlines(keepends=True) if not PROGRESS.match(line))
