"""Log lines for a person and for a program."""

from __future__ import annotations

import ast
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from app.settings import PROJECT, Settings
from app.telemetry.logs import MOST, begin_logs
from app.telemetry.masking import forget

log = logging.getLogger("app.stream.keeping")


@pytest.fixture(autouse=True)
def _root() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    forget()


def begin(**settings: Any) -> None:
    values = {"kafka": "k:1", "redis": "redis://:hunter22@r:1"} | settings
    begin_logs(Settings(**values), pipeline="fraud", slot="fraud.here-0")


def fail() -> None:
    raise ConnectionError("no way to redis://:hunter22@r:1 with sesame-1")


def test_a_line_for_a_program_has_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    begin(log_format="json")
    log.warning("Redis does not answer (%s).", "TimeoutError", extra={"event": "redis-away"})
    log.debug("A thing that nobody wants to know.")

    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert told.pop("time").endswith("+00:00")
    assert told == {
        "level": "warning", "pipeline": "fraud", "slot": "fraud.here-0", "event": "redis-away",
        "message": "Redis does not answer (TimeoutError).",
    }  # fmt: skip


def test_a_line_that_names_no_event_is_named_by_where_it_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    begin(log_format="json")
    log.info("Something.")

    event = json.loads(capsys.readouterr().err)["event"]
    assert event == "test_logs.test_a_line_that_names_no_event_is_named_by_where_it_was_written"


def test_a_line_for_a_person_has_who_and_what(capsys: pytest.CaptureFixture[str]) -> None:
    begin()
    log.info("Redis answers again.")

    assert capsys.readouterr().err.rstrip().endswith(" fraud.here-0 INFO Redis answers again.")


@pytest.mark.parametrize("form", ["human", "json"])
def test_no_secret_is_in_a_line_nor_in_its_traceback(capsys: pytest.CaptureFixture[str], form: str) -> None:
    begin(log_format=form, kafka_options={"sasl.password": "sesame-1"}, otlp_url="http://u:let-me-in@c:4318/v1/traces")
    try:
        fail()
    except ConnectionError:
        log.critical("It failed with %s at %s.", "sesame-1", "http://u:let-me-in@c:4318", exc_info=True)

    told = capsys.readouterr().err
    assert "ConnectionError" in told
    assert told.count("***") >= 4
    for secret in ("hunter22", "sesame-1", "let-me-in"):
        assert secret not in told


@pytest.mark.parametrize("form", ["human", "json"])
def test_a_line_has_an_end(capsys: pytest.CaptureFixture[str], form: str) -> None:
    begin(log_format=form)
    log.info("x" * 10 * MOST)

    assert len(capsys.readouterr().err) < MOST + 1000


def test_a_program_gets_one_line_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    begin(log_format="json")
    log.info("first\nsecond \x1b[31m \u2028 é")

    assert json.loads(capsys.readouterr().err)["message"] == "first\nsecond \x1b[31m \u2028 é"


def test_beginning_again_does_not_tell_things_twice(capsys: pytest.CaptureFixture[str]) -> None:
    begin()
    begin()
    log.info("Once.")

    assert len(capsys.readouterr().err.splitlines()) == 1


def lines_logged() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted((PROJECT / "app" / "stream").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "log":
                assert isinstance(node, ast.Call)
                yield f"{path.name}:{node.lineno}", node


@pytest.mark.parametrize("call", [pytest.param(call, id=place) for place, call in lines_logged()])
def test_each_line_of_the_loop_has_a_word_that_outlives_its_sentence(call: ast.Call) -> None:
    """What alerts and searches are built on: add `extra={"event": "a-word"}` to the call."""
    extra = next((keyword.value for keyword in call.keywords if keyword.arg == "extra"), None)
    assert isinstance(extra, ast.Dict)
    (word,) = extra.values
    assert isinstance(word, ast.Constant)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", str(word.value))
