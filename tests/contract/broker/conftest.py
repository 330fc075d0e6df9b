from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from tests.contract.broker.clients import Clients


@pytest.fixture
def clients(kafka: str, make_topic: Callable[..., str], topic_name: Callable[..., str]) -> Iterator[Clients]:
    with closing(Clients(kafka, make_topic, topic_name)) as clients:
        yield clients
