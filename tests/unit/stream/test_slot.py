"""Names of instances: held by one process of this machine at a time, and such that Kafka takes them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from app.errors import Refused
from app.settings import host
from app.stream import slot as slot_room
from app.stream.slot import NAME, instance, slot

HOLD = """
import sys
from app.stream.slot import instance
with instance("kafka:1", "fraud", "mine"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Not this machine's own: a run that is going on here keeps its names."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_first_of_a_host_is_number_nought_and_the_next_the_next_that_is_free() -> None:
    with instance("kafka:1", "fraud") as first:
        assert first == f"{host()}-0"
        with instance("kafka:1", "fraud") as second:
            assert second == f"{host()}-1"
        with instance("kafka:1", "fraud") as again:
            assert again == second
    with instance("kafka:1", "fraud") as later:
        assert later == first


def test_a_name_that_is_taken_is_refused_with_what_to_do() -> None:
    with instance("kafka:1", "fraud", "mine") as name:
        assert name == "mine"
        with pytest.raises(Refused, match=r"fraud already runs here as mine; .*another --instance"):
            instance("kafka:1", "fraud", "mine").__enter__()
    with instance("kafka:1", "fraud", "mine"):
        pass


def test_other_pipelines_and_other_kafkas_have_names_of_their_own() -> None:
    with (
        instance("kafka:1", "fraud", "mine"),
        instance("kafka:1", "other", "mine"),
        instance("kafka:2", "fraud", "mine"),
    ):
        pass


def test_a_name_is_free_again_when_its_block_fails() -> None:
    with pytest.raises(ZeroDivisionError), instance("kafka:1", "fraud", "mine"):
        raise ZeroDivisionError
    with instance("kafka:1", "fraud", "mine"):
        pass


def test_a_name_is_free_again_when_its_process_was_killed(locks: Path) -> None:
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env(locks)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(Refused):
            instance("kafka:1", "fraud", "mine").__enter__()
        process.kill()
        process.wait()
        with instance("kafka:1", "fraud", "mine"):
            pass


def env(locks: Path) -> dict[str, str]:
    return {"TMPDIR": str(locks), "PYTHONPATH": ":".join(filter(None, sys.path))}


@pytest.mark.parametrize("name", ["", "a/b", "../a", "a b", "é", "a" * 101, "a\n", "a:b"])
def test_a_name_that_kafka_would_not_take_is_refused(name: str, locks: Path) -> None:
    with pytest.raises(Refused, match="instance") as refusal:
        instance("kafka:1", "fraud", name).__enter__()
    assert refusal.value.exit_code == 2
    assert list(locks.iterdir()) == []


def test_when_all_names_are_taken_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_room, "MOST", 2)
    with instance("kafka:1", "fraud"), instance("kafka:1", "fraud"), pytest.raises(Refused, match="as 2 instances"):
        instance("kafka:1", "fraud").__enter__()


def test_a_slot_is_named_by_pipeline_instance_and_number() -> None:
    assert slot("fraud", "host-0", 2) == "fraud.host-0-2"


def test_this_machine_s_own_name_is_one_that_kafka_takes() -> None:
    assert NAME.fullmatch(f"{host()}-999")
