"""The commands over state, as a user runs them: what they print and what they exit with."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from app.features.store import PREFIX
from app.local.leash import Leash
from app.local.stack import Stack
from app.settings import home_folder
from app.simulate.payments import Payments
from tests.contract.cli.shell import Shell

pytestmark = [pytest.mark.broker, pytest.mark.redis]


@pytest.fixture(scope="module")
def shell(new_stack: Callable[[], Stack], leash: Leash, payments: Payments) -> Iterator[Shell]:
    """Two thousand payments, scored."""
    stack = new_stack()
    (stack.home / "cache").symlink_to(home_folder() / "cache")
    stack.up(leash=leash)
    shell = Shell(stack, leash)
    shell.environment["STREAMINFER_STATIC_MEMBERS"] = "false"  # a static one is missed only after its session
    shell.run("topics", "apply")
    shell.run("produce", "payments", "--simulate", "--count", "2000")
    shell.run("run", "fraud", "--until-end")
    yield shell
    stack.down()


def test_state_is_verified_harmed_shown_rebuilt_and_verified_again(shell: Shell) -> None:
    out, _ = shell.run("features", "verify", "fraud")
    assert "from 2,000 events: every one is as the log says." in out
    endpoints = shell.stack.endpoints()
    assert endpoints is not None
    with redis.Redis.from_url(endpoints.redis) as client:
        key = next(key for key in client.scan_iter(match="{fraud/customer/*", count=1000) if b"marker" not in key)
        client.set(key, PREFIX.pack(1))
    out, _ = shell.run("features", "verify", "fraud", code=1)
    assert "1 difference." in out
    assert (
        out.index("Redis has:") < out.index("events: 0") < out.index("the log says:") < out.index("customer_mean_30d:")
    )
    assert "`streaminfer features rebuild customer`" in out
    found = shell.json("features", "verify", "fraud", code=1)
    assert (found["ok"], found["views"][0]["differences"]) == (False, 1)
    assert found["views"][0]["examples"][0]["entity"] == key.decode().rpartition("/")[2]

    done = shell.json("features", "rebuild", "customer")
    assert sum(part["events"] for part in done["partitions"]) == 2000
    assert shell.json("features", "verify", "fraud")["ok"]
    assert shell.json("features", "verify", "fraud", "--sample", "10")["one_in"] == 10
    assert shell.json("features", "clean", "--old")["customer"] == {"builds": 0, "blobs": 0, "markers": 0, "drafts": 0}


def test_a_group_is_recovered(shell: Shell) -> None:
    out, _ = shell.run("offsets", "recover", "fraud", "--dry-run")
    assert "Nothing is set" in out
    found = shell.json("offsets", "recover", "fraud")
    assert sum(part["offset"] for part in found["partitions"]) == 2000
    assert all(part["before"] == part["offset"] for part in found["partitions"])


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("features verify nonsense", 2),
        ("features verify fraud --sample 0", 2),
        ("features verify fraud-labels", 0),  # nothing is sent, nothing is folded, nothing is wrong
        ("features rebuild nonsense", 2),
        ("features rebuild terminal", 1),
        ("features clean nonsense", 2),
        ("offsets recover nonsense", 2),
        ("features verify fraud --redis redis://127.0.0.1:1/0", 3),
        ("features rebuild customer --redis redis://127.0.0.1:1/0", 3),
        ("features clean --redis redis://127.0.0.1:1/0", 3),
    ],
)
def test_what_cannot_be_done_is_told(shell: Shell, command: str, code: int) -> None:
    out, why = shell.run(*command.split(), code=code)
    assert why or out


@pytest.mark.parametrize("command", ["features verify", "features rebuild", "features clean", "offsets recover"])
def test_help_has_examples(shell: Shell, command: str) -> None:
    out, _ = shell.run(*command.split(), "--help")
    assert f"streaminfer {command}" in out
