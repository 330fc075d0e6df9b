"""One stack for all that is harmed here: its Redis may go."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from app.local.leash import Leash
from app.local.stack import Stack
from tests.contract.states.harmed import Harmed, rig_on


@pytest.fixture(scope="module")
def frail(new_stack: Callable[[], Stack], leash: Leash) -> Iterator[Stack]:
    stack = new_stack()
    stack.up(leash=leash)
    yield stack
    stack.down()


@pytest.fixture(scope="module")
def module_rig(frail: Stack) -> Iterator[Callable[..., Harmed]]:
    """Makes a rig that lives as long as the module's stack."""
    rigs: list[Harmed] = []

    def make(kind: str, **settings: object) -> Harmed:
        rigs.append(rig_on(frail, kind, **settings))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.stop()


@pytest.fixture
def new_rig(frail: Stack) -> Iterator[Callable[..., Harmed]]:
    """Makes a rig of a kind; settings may be given by name."""
    rigs: list[Harmed] = []

    def make(kind: str, **settings: object) -> Harmed:
        rigs.append(rig_on(frail, kind, **settings))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.stop()
