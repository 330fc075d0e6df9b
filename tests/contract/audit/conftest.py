"""A hand-made log for each test of the audit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.audit.handmade import HandmadeLog


@pytest.fixture
def log(kafka: str, tmp_path: Path, topic_name: Callable[..., str]) -> HandmadeLog:
    return HandmadeLog(kafka, tmp_path, topic_name)
