"""The command: where its page may be, what it waits for, and how it ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.loop.rig import wait_for
from tests.contract.monitor.rig import free_port


def command(home: Path, *words: str, **environment: str) -> subprocess.Popen[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMINFER_")}
    return subprocess.Popen(
        [sys.executable, "-m", "app.cli.main", "monitor", *words],
        env={**kept, "STREAMINFER_HOME": str(home), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def end_of(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """What it said, once it has ended; one that does not end is killed, and leaves nothing."""
    try:
        return process.communicate(timeout=120)
    finally:
        process.kill()


@pytest.fixture
def without_kafka(tmp_path: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The page's port, and the command; nothing is left of it."""
    port = free_port()
    process = command(tmp_path, "fraud", "--kafka", "127.0.0.1:1", "--web", f"127.0.0.1:{port}", "--json")
    yield port, process
    process.kill()  # its child ends with it, by the pipe between them
    for pipe in (process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()
    process.wait(60)


def test_without_kafka_the_page_is_up_and_says_so_and_ctrl_c_ends_it(
    without_kafka: tuple[int, subprocess.Popen[bytes]],
) -> None:
    port, process = without_kafka
    assert process.stdout is not None
    said = json.loads(process.stdout.readline())
    assert said == {"event": "page", "url": f"http://127.0.0.1:{port}/", "pipelines": ["fraud"]}
    found: dict[str, Any] = {}

    def away() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("GET", "/api/seen")
            found.update(json.loads(connection.getresponse().read()))
        except OSError:
            return False
        finally:
            connection.close()
        return bool(found["monitor"]["kafka"] == "away")

    wait_for("a page that says that Kafka is away", away, within_s=150)
    assert "waits for it" in found["monitor"]["said"]
    process.send_signal(signal.SIGINT)
    _, why = process.communicate(timeout=60)
    assert (process.returncode, b"Traceback" in why) == (0, False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--web", "0.0.0.0:9570"), "open to everybody"),
        (("--web", "nonsense"), "HOST:PORT"),
        (("nobody",), "There is no pipeline 'nobody'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    process = command(tmp_path, *words, "--kafka", "127.0.0.1:1")
    out, why = end_of(process)
    assert (process.returncode, out) == (2, b""), why
    assert said in why.decode()
    assert b"Traceback" not in why


def test_a_token_that_is_too_short_is_refused_and_not_shown(tmp_path: Path) -> None:
    process = command(tmp_path, "--kafka", "127.0.0.1:1", STREAMINFER_MONITOR_TOKEN="short-one")
    out, why = end_of(process)
    assert (process.returncode, out) == (2, b""), why
    assert b"short-one" not in why
