from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import Refused
from app.local.leash import Leash
from app.local.stack import Stack
from app.local.state import BrokerPorts, Running, State, read, write


def a_state(**running: Running) -> State:
    return State("BAAAAAAAAAAAAAAAAAAAAA", (BrokerPorts(client=21001, controller=21002),), 21003, running)


def test_where_nothing_was_started_there_is_nothing_to_see_or_to_stop(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "home")
    assert (stack.status(), stack.endpoints(), stack.down()) == ((), None, ())
    assert not (tmp_path / "home").exists()


def test_a_home_remembers_what_was_written(tmp_path: Path) -> None:
    state = a_state(redis=Running(pid=1, birth="boot:1", started_ms=1522540831000))
    write(tmp_path, state)
    assert read(tmp_path) == state
    assert [path.name for path in tmp_path.iterdir()] == ["stack.json"]


def test_servers_of_an_earlier_boot_are_dead_whoever_has_their_pids_now(tmp_path: Path) -> None:
    write(tmp_path, a_state(redis=Running(pid=1, birth="earlier boot:1", started_ms=0)))
    stack = Stack(tmp_path)
    assert [(server.name, server.alive, server.pid) for server in stack.status()] == [
        ("kafka-1", False, None),
        ("redis", False, None),
    ]
    assert stack.endpoints() is None
    assert stack.down() == ()


def test_a_damaged_state_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text('{"cluster_id": 1}')
    with pytest.raises(Refused, match=r"stack\.json cannot be read .* STREAMINFER_HOME"):
        Stack(tmp_path).status()


def test_a_home_keeps_its_number_of_brokers(tmp_path: Path) -> None:
    write(tmp_path, a_state())
    with Leash() as leash, pytest.raises(Refused, match=r"holds a cluster of 1, .* STREAMINFER_HOME"):
        Stack(tmp_path).up(brokers=3, leash=leash)


def test_only_one_or_three_brokers_are_offered(tmp_path: Path) -> None:
    with Leash() as leash, pytest.raises(Refused, match="take 1 or 3") as told:
        Stack(tmp_path).up(brokers=2, leash=leash)
    assert told.value.exit_code == 2


def test_a_home_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with Leash() as leash, pytest.raises(Refused, match=r"cannot be made .* STREAMINFER_HOME"):
        Stack(tmp_path / "file" / "home").up(leash=leash)
