"""Two topics of answers, written by hand, for each test of the join."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.diff.sides import Sides


@pytest.fixture
def sides(kafka: str, tmp_path: Path, topic_name: Callable[..., str]) -> Sides:
    return Sides(kafka, tmp_path, topic_name)
