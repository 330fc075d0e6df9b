"""Monitors that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.monitor.rig import Monitored


@pytest.fixture(scope="module")
def new_monitored(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Monitored]]:
    made: list[Monitored] = []

    def make(**settings: object) -> Monitored:
        home: Path = tmp_path_factory.mktemp("monitor")
        made.append(Monitored(kafka, home, **settings))
        return made[-1]

    yield make
    for one in made:
        one.kill()
