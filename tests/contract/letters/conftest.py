"""Servers for all tests of dead letters here, with short sessions: what is killed is missed soon."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.local.leash import Leash
from app.local.stack import Stack
from tests.contract.cli.shell import Shell
from tests.contract.letters.refusing import Refusing


@pytest.fixture(scope="module")
def shell(new_stack: Callable[[], Stack], leash: Leash) -> Iterator[Shell]:
    stack = new_stack()
    stack.up(leash=leash)
    shell = Shell(stack, leash)
    shell.environment["STREAMINFER_SESSION_TIMEOUT_MS"] = "1000"
    yield shell
    stack.down()


@pytest.fixture
def world(shell: Shell, tmp_path: Path, request: pytest.FixtureRequest) -> Refusing:
    return Refusing(shell, tmp_path, f"w{abs(hash(request.node.name)) % 10**8}")
