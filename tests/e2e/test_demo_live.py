"""The long demo as people watch it: on terminals of two sizes, without one, and ended in the middle."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.settings import PROJECT
from tests.contract.loop.rig import wait_for
from tests.e2e.test_demo import left
from tests.terminal import Screen, Terminal

pytestmark = [pytest.mark.broker, pytest.mark.redis]
DEMO: list[str | Path] = [PROJECT / "ops" / "demo", "--seconds", "3"]  # it takes longer, for it waits for the takeover
WITHIN_S = 400.0
NUMBERS = ("inputs", "predictions", "dead letters", "missing", "duplicated", "unexplained")


@contextmanager
def in_terminal(columns: int, rows: int, **more: str) -> Iterator[Terminal]:
    terminal = Terminal(DEMO, columns, rows, environment(TERM="xterm-256color", **more))
    try:
        yield terminal
    finally:
        if terminal.process.poll() is None:
            terminal.process.kill()
            terminal.process.wait()


def environment(**more: str) -> dict[str, str]:
    own = {"COLUMNS", "LINES", "TERM", "NO_COLOR", "FORCE_COLOR", "COLORTERM"}
    kept = {name: v for name, v in os.environ.items() if not name.startswith("STREAMINFER_") and name not in own}
    # Where somebody's own Kafka is must not decide where the demo writes.
    return kept | {"STREAMINFER_KAFKA": "127.0.0.1:1", "STREAMINFER_REDIS": "redis://127.0.0.1:1/0"} | more


def judge(told: str, pipelines: int) -> None:
    """The audits and the takeover, in what was told after the live part."""
    words = " ".join(told.split())
    found = [dict(zip(NUMBERS, numbers, strict=True)) for numbers in audits(words)]
    assert len(found) == pipelines
    for audit in found:
        assert audit["inputs"] == audit["predictions"] != "0"
        assert {audit[name] for name in NUMBERS[2:]} == {"0"}
    taken = re.search(r"b was killed; partitions 3, 4, 5 went to a and were scored again after ([\d.]+) s", words)
    assert taken is not None
    assert float(taken[1]) > 0
    assert re.search(r"p50 \d+ ms, p99 \d+ ms before the kill; [\d.]+ s at most", words)
    assert re.search(r"\d+ alerts?, the newest of them: customer +\d+ ", words)
    assert re.search(r"\d+\.\d% of the predictions are marked `behind`", words)
    assert "all is right" in words


def audits(words: str) -> list[tuple[str, ...]]:
    return re.findall(" ".join(rf"{name} ([\d,]+)" for name in NUMBERS), words)


def is_live(screen: Screen) -> bool:
    return "b is killed with -9" in screen.text


@pytest.mark.parametrize(("columns", "rows", "no_color"), [(80, 24, "1"), (160, 50, "")])
def test_the_table_fits_the_terminal_and_stays_in_its_place(columns: int, rows: int, no_color: str) -> None:
    with in_terminal(columns, rows, NO_COLOR=no_color) as terminal:
        terminal.until(is_live, within_s=WITHIN_S)
        code = terminal.end(within_s=WITHIN_S)

    screen = terminal.screen
    assert code == 0, screen.text
    assert screen.wrapped == 0
    assert screen.cursor_shown
    assert bool(screen.colours) is not bool(no_color)
    for once in ("PIPELINE ", "PARTITION ", "scored by ", "NEWEST ALERTS", "b is killed", "b is started again"):
        assert screen.text.count(once) == 1, screen.text
    rows_of = {line.split()[0]: line for line in screen.text.splitlines() if re.match(r"fraud|recommendation ", line)}
    assert int(rows_of["fraud"].split()[2].replace(",", "")) > 0
    assert rows_of["fraud-labels"].split()[3:6] == ["-", "-", "-"]
    assert len({len(line) for line in rows_of.values()}) == 1
    owners = next(line for line in screen.text.splitlines() if line.startswith("scored by")).split()[2:]
    assert (owners.count("a-0"), owners.count("b-0")) == (3, 3)
    judge(screen.text, pipelines=1 + ("recommendation" in rows_of))
    assert left() == []


def test_without_a_terminal_it_is_told_in_lines() -> None:
    done = subprocess.run(
        DEMO, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WITHIN_S, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    lines = [line for line in done.stdout.splitlines() if re.match(r"\d+:\d\d  ", line)]
    assert any(re.match(r"\d+:\d\d  fraud [\d,]+/s, .*; fraud-labels .* has ", line) for line in lines)
    order = ("b is killed", "a owns partitions 3, 4, 5", "b is started again", "back, ")
    places = [next(i for i, line in enumerate(lines) if what in line) for what in order]
    assert places == sorted(places)
    judge(done.stdout, pipelines=1 if "recommendation is left out" in done.stdout else 2)
    assert left() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_it_when_it_is_ended_while_a_machine_is_dead(number: signal.Signals) -> None:
    with in_terminal(80, 24) as terminal:
        terminal.until(is_live, within_s=WITHIN_S)
        assert left() != []
        terminal.process.send_signal(number)
        code = terminal.end(within_s=60)

    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 130), terminal.screen.text
    if number != signal.SIGKILL:
        assert terminal.screen.cursor_shown
        assert "Stopped; nothing is left running." in terminal.screen.text
    wait_for("the end of all that the demo started", lambda: left() == [])
