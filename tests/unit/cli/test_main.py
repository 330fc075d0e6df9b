"""The command line as a whole: what it exits with, what it never shows, and how soon it answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from confluent_kafka import KafkaError, KafkaException
from typer.testing import CliRunner

from app.cli import stack
from app.cli.main import cli, exit_code
from app.errors import BatchAborted, Fatal, Fenced, Refused, Unavailable
from tests.progress import without_progress

COMMANDS = (
    "up", "down", "status", "topics apply", "topics list", "produce", "run", "tail", "features get", "features load",
    "audit", "lag", "health",
)  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A home where nothing was ever started, and no setting."""
    for name in ("KAFKA", "REDIS", "SETTINGS"):
        monkeypatch.delenv(f"STREAMINFER_{name}", raising=False)
    monkeypatch.setenv("STREAMINFER_HOME", str(tmp_path / "home"))


def ran(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, and standard error without progress."""
    result = CliRunner().invoke(cli, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, without_progress(result.stderr)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_shows_an_example(command: str) -> None:
    code, told, _ = ran(*command.split(), "--help")

    assert code == 0
    assert f"  streaminfer {command}" in told


def test_the_help_lists_every_command() -> None:
    _, told, _ = ran("--help")

    assert {command.split()[0] for command in COMMANDS} <= set(told.split())


def test_help_is_not_kept_waiting_by_what_it_does_not_need() -> None:
    heavy = ("numpy", "confluent_kafka", "redis", "onnxruntime", "pydantic_settings")
    program = f"import sys, app.cli.main; print([name for name in {heavy!r} if name in sys.modules])"

    assert subprocess.check_output([sys.executable, "-c", program]) == b"[]\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unavailable("x"), 3),
        (Refused("x"), 1),
        (Refused("x", exit_code=2), 2),
        (Fatal("x"), 1),
        (Fenced("x"), 1),
        (BatchAborted("x"), 1),
    ],
)
def test_the_exit_code_says_whether_the_user_the_service_or_the_answer_is_wrong(error: Unavailable, code: int) -> None:
    assert exit_code(error) == code


@pytest.mark.parametrize(
    "arguments",
    [
        "nonsense",
        "run",
        "run fraud --workers 0",
        "run fraud --instance ../x --kafka 127.0.0.1:1 --redis redis://127.0.0.1:1",
        "run nonsense",
        "audit nonsense",
        "topics apply nonsense",
        "features get nonsense 1",
        "features load customer --file x.csv",
        "up --brokers 2",
        "tail payments --limit 0",
        "tail payments --from yesterday",
        "tail payments --from 2026-01-31T12:00:00",
        "produce payments --simulate --raw",
        "produce payments --simulate --file x",
        "produce payments --count 1",
        "produce payments --seconds 1",
        "produce payments --seed 1",
        "produce payments --start-day 1",
        "produce nonsense --kafka 127.0.0.1:1",
        "produce payments.scored --simulate --kafka 127.0.0.1:1",
        "features get terminal 1 --kafka 127.0.0.1:1 --redis nonsense",
        "health --url nonsense",
        "run fraud --observe nonsense --kafka 127.0.0.1:1 --redis redis://127.0.0.1:1",
        "run fraud --log-format nonsense --kafka 127.0.0.1:1 --redis redis://127.0.0.1:1",
    ],
)
def test_wrong_use_is_told_and_exits_with_2(arguments: str) -> None:
    code, told, why = ran(*arguments.split())

    assert (code, told) == (2, "")
    assert why


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        ("topics apply", "kafka"),
        ("tail payments", "kafka"),
        ("produce payments", "kafka"),
        ("audit fraud", "kafka"),
        ("lag fraud", "kafka"),
        ("health", "kafka"),
        ("run fraud", "kafka and redis"),
        ("features get terminal 1", "kafka and redis"),
        ("features get customer 1", "kafka and redis"),
    ],
)
def test_a_service_that_nothing_names_is_told_with_the_command_that_starts_it(arguments: str, missing: str) -> None:
    code, told, why = ran(*arguments.split())

    assert (code, told) == (3, "")
    assert f"find {missing}. Run `streaminfer up`" in why


def test_status_of_a_home_where_nothing_was_started_says_so_and_exits_with_1() -> None:
    assert ran("status")[0] == 1
    code, told, _ = ran("status", "--json")

    found = json.loads(told)
    assert (code, found["well"], found["servers"]) == (1, False, [])
    assert "Run `streaminfer up`" in found["wrong"][0]


def test_down_where_nothing_runs_is_no_mistake() -> None:
    assert ran("down", "--json") == (0, '{"stopped": []}\n', "")


@pytest.mark.parametrize(
    ("error", "exits", "words"),
    [
        (KafkaException(KafkaError(KafkaError._TRANSPORT)), 3, "Kafka does not answer"),
        (KafkaException(KafkaError(KafkaError._INVALID_ARG)), 2, "The setting kafka or kafka_options is wrong"),
        (redis.ConnectionError("Error 111 connecting"), 3, "Redis does not answer"),
        (PermissionError(13, "Permission denied", "/there"), 2, "/there: Permission denied."),
        (OSError(28, "No space left on device", "/there"), 1, "/there: No space left on device."),
    ],
)
def test_what_no_room_has_put_into_words_becomes_a_sentence(
    monkeypatch: pytest.MonkeyPatch, error: Exception, exits: int, words: str
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(stack, "_stack", fail)
    code, told, why = ran("status")

    assert (code, told) == (exits, "")
    assert why.startswith(words)


def test_a_mistake_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(stack, "_stack", fail)
    with pytest.raises(ZeroDivisionError):
        ran("status")


def test_an_interrupted_command_says_nothing_and_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stack, "_stack", interrupt)

    assert ran("status") == (130, "", "")
