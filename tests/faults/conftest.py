"""One broker behind a proxy for the tests of this folder, and fine weather when each begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from app.local.leash import Leash
from app.local.stack import Endpoints, Stack
from tests.contract.loop.conftest import new_rig, rig  # noqa: F401 - fixtures
from tests.faults.proxy import FINE, Proxy, routes


@dataclass(frozen=True)
class Ground:
    """A broker, Redis, and the proxy; `direct` is the way round it."""

    proxy: Proxy
    direct: Endpoints

    @property
    def kafka(self) -> str:
        return self.proxy.bootstrap


@pytest.fixture(scope="package")
def proxied(new_stack: Callable[[], Stack], leash: Leash) -> Iterator[Ground]:
    with Proxy(routes(1)) as proxy:
        stack = new_stack()
        yield Ground(proxy, stack.up(leash=leash, outer=proxy.outer))
        stack.down()


@pytest.fixture
def ground(proxied: Ground) -> Iterator[Ground]:
    yield proxied
    proxied.proxy.weather = FINE
    proxied.proxy.held.clear()
    failed = [what for what in proxied.proxy.counts if what.startswith("proxy failed")]
    assert failed == []
