"""One pipeline that was run live, for all the tests of replays."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from app.local.leash import Leash
from app.local.stack import Stack
from tests.contract.cli.shell import Shell
from tests.contract.replay.world import World


@pytest.fixture(scope="package")
def world(new_stack: Callable[[], Stack], leash: Leash, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    stack = new_stack()
    stack.up(leash=leash)
    world = World(Shell(stack, leash), tmp_path_factory.mktemp("own"), "shop")
    world.run_live()
    yield world
    stack.down()
