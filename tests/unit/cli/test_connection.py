"""Addresses of Redis, judged before anything connects."""

from __future__ import annotations

import pytest

from app.cli.connection import settings
from app.errors import Refused


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0",
        "rediss://user:pass@host",
        "unix:///run/redis.sock",
        "redis+cluster://one:7000,two:7001",
        "rediss+cluster://user:pass@one,[::1]:7001",
    ],
)
def test_one_server_or_some_nodes_of_a_cluster_are_addresses(url: str) -> None:
    assert settings(redis=url, needs="redis").redis == url


@pytest.mark.parametrize(
    "url",
    ["nonsense", "http://host", "redis://one:1,two:2", "redis+sentinel://host", "redis+://host", "redis+cluster://a:x",
     "unix+cluster:///run/redis.sock", "redis+cluster://one:1,two:0", "redis://host:0"],
)  # fmt: skip
def test_anything_else_is_wrong_use_and_told_with_examples(url: str) -> None:
    with pytest.raises(Refused, match=r"such as redis://127.*or redis\+cluster://") as refused:
        settings(redis=url, needs="redis")

    assert refused.value.exit_code == 2
