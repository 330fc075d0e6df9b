"""Every command where Kafka or Redis is away, the home cannot be, or the settings are broken: a sentence and a code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.local.leash import Leash
from tests.contract.cli.shell import Shell
from tests.progress import PROGRESS, without_progress
from tests.unit.cli.commands import LEAVES, arguments, flags

NOWHERE = ("--kafka", "127.0.0.1:1", "--redis", "redis://127.0.0.1:1")
ASK = {"status", "health"}  # whether all is well: that Kafka is away is their answer, which is no
WAITS = {"run", "monitor"}  # for a service that is away, as long as one lets it
WORDS = {"PIPELINE": "fraud", "TOPIC": "payments", "VIEW": "customer", "LOOKUP": "terminal", "NAME": "shop"}
WORDS |= {"PLAN": "1f0c2a9b", "--from": "beginning"}
ASKS_NOBODY = {"settings", "acls"}
WITH_KAFKA = [path for path, command in LEAVES.items() if "--kafka" in flags(command) and path not in ASKS_NOBODY]
# This project has no lookup that could be loaded, which is told before a setting is looked at.
WITH_SETTINGS = [
    path for path, command in LEAVES.items() if {"--kafka", "--redis"} & flags(command) and path != "features load"
]
WITH_HOME = [path for path, command in LEAVES.items() if "--home" in flags(command)]


def words(path: str) -> list[str]:
    """The command with arguments that name what this project has."""
    command, given = LEAVES[path], path.split()
    given += [WORDS.get(it.metavar or "", "1") for it in arguments(command) if it.required]
    for param in command.params:
        if param.param_type_name == "option" and param.required:
            given += [param.opts[0], WORDS.get(param.opts[0], __file__)]
    return given


def serviced(path: str) -> list[str]:
    """The flags of NOWHERE that the command has."""
    return [word for pair in (NOWHERE[:2], NOWHERE[2:]) if pair[0] in flags(LEAVES[path]) for word in pair]


class Many:
    """Commands that are all started at once: each waits for most of its time."""

    def __init__(self, leash: Leash, environment: dict[str, str], commands: dict[str, list[str]]) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMINFER_")}
        self._running = {
            path: leash.popen(
                [sys.executable, "-m", "app.cli.main", *argv],
                env=kept | environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for path, argv in commands.items()
        }

    def __getitem__(self, path: str) -> tuple[int, str, str]:
        process = self._running[path]
        out, why = process.communicate(timeout=120)
        return process.returncode, out.decode(), why.decode()

    def end(self) -> None:
        for process in self._running.values():
            process.kill()
            process.communicate()


Start = Callable[[dict[str, str], dict[str, list[str]]], Many]


@pytest.fixture(scope="module")
def start(leash: Leash) -> Iterator[Start]:
    started: list[Many] = []

    def make(environment: dict[str, str], commands: dict[str, list[str]]) -> Many:
        started.append(Many(leash, environment, commands))
        return started[-1]

    yield make
    for many in started:
        many.end()


@pytest.fixture(scope="module")
def kafka_away(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Many:
    home = tmp_path_factory.mktemp("home")
    commands = {path: [*words(path), *serviced(path)] for path in WITH_KAFKA if path not in WAITS}
    return start({"STREAMINFER_HOME": str(home)}, commands)


@pytest.mark.parametrize("path", [path for path in WITH_KAFKA if path not in WAITS])
def test_a_command_whose_kafka_is_away_ends_and_says_so(kafka_away: Many, path: str) -> None:
    code, out, why = kafka_away[path]

    assert "Traceback" not in why
    if path in ASK:
        assert code == 1, why
        return
    assert (code, out) == (3, ""), why
    assert "Kafka" in why.splitlines()[-1]
    assert why.rstrip().endswith(".")


def test_a_run_whose_kafka_is_away_waits_until_it_is_told_to_stop(start: Start, tmp_path: Path) -> None:
    many = start({"STREAMINFER_HOME": str(tmp_path)}, {"run": ["run", "fraud", *NOWHERE]})
    process = many._running["run"]
    assert process.stderr is not None
    said = next(line for line in map(bytes.decode, process.stderr) if not PROGRESS.match(line))
    process.send_signal(signal.SIGINT)
    code, _, why = many["run"]

    assert "Waiting for it." in said
    assert (code, "Traceback" in why) == (130, False)


@pytest.fixture(scope="module")
def with_topics(new_shell: Callable[[], Shell]) -> Shell:
    shell = new_shell()
    shell.run("topics", "apply")
    return shell


@pytest.mark.broker
@pytest.mark.parametrize("path", ["features get", "features rebuild"])
def test_a_command_whose_redis_is_away_ends_with_3_and_says_so(with_topics: Shell, path: str) -> None:
    out, why = with_topics.run(*words(path), "--redis", "redis://127.0.0.1:1", code=3)

    assert out == ""
    assert why.startswith("Redis does not answer (")


@pytest.mark.broker
def test_a_run_whose_redis_is_away_waits_until_it_is_told_to_stop(with_topics: Shell) -> None:
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = with_topics.start("run", "fraud", "--redis", "redis://127.0.0.1:1", **options)
    assert process.stderr is not None
    said = b""
    while b"Waiting for it." not in said and (line := process.stderr.readline()):
        said += line
    process.send_signal(signal.SIGINT)
    _, why = process.communicate(timeout=60)

    assert b"Redis does not answer" in said
    assert process.returncode == 0
    assert b"Traceback" not in said + why


@pytest.fixture(scope="module")
def home_cannot_be(start: Start) -> Many:
    commands = {path: [*words(path), "--home", f"{__file__}/home"] for path in WITH_HOME}
    return start({}, commands)


@pytest.mark.parametrize("path", WITH_HOME)
def test_a_home_that_cannot_be_is_wrong_use(home_cannot_be: Many, path: str) -> None:
    code, out, why = home_cannot_be[path]

    assert (code, out) == (2, ""), why
    (sentence,) = without_progress(why).splitlines()
    assert sentence.endswith(".")


@pytest.fixture(scope="module")
def broken_settings(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Many:
    home = tmp_path_factory.mktemp("home")
    (home / "settings.toml").write_text("kafka = 'k:1'\nredis = 'redis://r:1'\nbatch_recrods = 5\n")
    return start({"STREAMINFER_HOME": str(home)}, {path: words(path) for path in WITH_SETTINGS})


@pytest.mark.parametrize("path", WITH_SETTINGS)
def test_a_settings_file_with_a_mistake_is_wrong_use_for_every_command(broken_settings: Many, path: str) -> None:
    code, out, why = broken_settings[path]

    assert (code, out) == (2, ""), why
    assert why.endswith("settings.toml, is no setting; did you mean batch_records?\n")
