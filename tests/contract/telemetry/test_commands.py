"""`run` as it is seen by `health`, `status` and a scraper, and that no secret is shown on the way."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import IO, Any

import pytest
import redis

from app.local.stack import Endpoints, Stack
from tests.contract.loop.rig import wait_for
from tests.contract.loop.servers import server

pytestmark = [pytest.mark.broker, pytest.mark.redis]

REDIS_SECRET, KAFKA_SECRET, OTLP_SECRET = "hunter22-of-redis", "sesame-of-kafka", "let-me-in-otlp"
PIPELINE = "fraud-labels"  # folds alone: it needs no other to go on


class Shell:
    """Commands with these variables and no others of ours. Keeps everything that they showed."""

    def __init__(self, endpoints: Endpoints, **variables: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMINFER_")}
        known = {"STREAMINFER_KAFKA": endpoints.kafka, "STREAMINFER_REDIS": endpoints.redis}
        self.environment = kept | known | variables
        self.shown = ""

    def run(self, *words: str, code: int = 0) -> str:
        argv = [sys.executable, "-m", "app.cli.main", *words]
        done = subprocess.run(argv, capture_output=True, text=True, env=self.environment, timeout=120, check=False)
        self.shown += done.stdout + done.stderr
        assert done.returncode == code, (words, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stdout

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self.run(*words, "--json", code=code))


class Started:
    """A `streaminfer run` in the background."""

    def __init__(self, shell: Shell, *words: str) -> None:
        self.shell = shell
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app.cli.main", "run", PIPELINE, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=shell.environment,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    def said(self, words: str) -> str:
        """Waits for a line with these words."""
        wait_for(f"{words!r} to be said", lambda: any(words in line for line in list(self.lines)), within_s=60)
        return next(line for line in self.lines if words in line)

    @property
    def url(self) -> str:
        found = re.search(r"http://[\d.]+:\d+", self.said("http://"))
        assert found is not None
        return found[0]

    def get(self, path: str) -> str:
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                body = answer.read().decode()
        except urllib.error.HTTPError as error:
            body = error.read().decode()
        self.shell.shown += body
        return str(body)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        assert self.process.wait(60) == 0, self.lines
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.shell.shown += "".join(self.lines)


@pytest.fixture
def endpoints(frail: Stack) -> Endpoints:
    found = frail.endpoints()
    assert found is not None
    return found


@pytest.fixture
def start() -> Iterator[Callable[..., Started]]:
    started: list[Started] = []

    def begin(shell: Shell, *words: str) -> Started:
        started.append(Started(shell, *words))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait(10)
        assert one.process.stdout is not None
        one.process.stdout.close()


def test_a_run_is_found_and_judged_by_health_and_status(endpoints: Endpoints, start: Callable[..., Started]) -> None:
    shell = Shell(endpoints)
    shell.run("topics", "apply")
    assert "No run of fraud-labels is on this machine" in shell.run("health", PIPELINE, code=1)
    run = start(shell, "--instance", "blue")
    wait_for("it to be ready", lambda: json.loads(run.get("/readyz"))["ready"], within_s=60)

    assert shell.run("health", PIPELINE) == f"{PIPELINE}.blue is ready.\n"
    assert shell.run("health", PIPELINE, "--alive") == f"{PIPELINE}.blue is alive.\n"
    assert shell.json("health", "--url", run.url)["well"]
    assert shell.run("health", "fraud", code=1).startswith("No run of fraud is")

    told = shell.json("status")
    assert (told["well"], told["wrong"]) == (True, [])
    assert told["missing_topics"] == []
    assert {"payments.labels", "payments.scored"} <= set(told["topics"])
    mine = next(one for one in told["pipelines"] if one["pipeline"] == PIPELINE)
    assert mine["workers"] == [f"{PIPELINE}.blue-0"]
    assert mine["runs_here"] == [{"run": f"{PIPELINE}.blue", "url": run.url, "ready": True, "wrong": {}}]
    assert (mine["unowned"], mine["model"], mine["unknown"]) == ([], None, [])
    assert {state["view"]: state["partitions"] for state in mine["state"]} == {
        state["view"]: 6 for state in mine["state"]
    }
    assert "All is well." in shell.run("status")
    run.stop()
    assert shell.run("health", PIPELINE, code=1)


def test_a_second_run_answers_beside_the_first_and_a_named_port_that_is_taken_is_refused(
    endpoints: Endpoints, start: Callable[..., Started]
) -> None:
    shell = Shell(endpoints)
    shell.run("topics", "apply")
    first, second = start(shell), start(shell)
    assert first.url != second.url
    address = first.url.removeprefix("http://")
    refused = start(shell, "--observe", address)
    assert f"The address {address}, which observe names, is taken" in refused.said("is taken")
    assert refused.process.wait(30) == 1
    first.stop()
    second.stop()


def test_a_run_that_waits_for_kafka_answers_meanwhile(
    frail: Stack, endpoints: Endpoints, start: Callable[..., Started]
) -> None:
    shell = Shell(endpoints)
    shell.run("topics", "apply")
    os.kill(server(frail, "kafka"), signal.SIGSTOP)
    try:
        run = start(shell, "--observe", "127.0.0.1:0", "--json")
        run.said("Waiting for it.")
        checks = json.loads(run.get("/readyz"))["checks"]
        assert checks["workers"].startswith("No worker is started yet: Kafka")
        assert checks["redis"] == "ok"
        assert json.loads(run.get("/healthz"))["alive"]
        told = shell.json("status", code=1)
        assert not told["kafka"]["answers"]
        assert any("is not ready" in line for line in told["wrong"])
    finally:
        os.kill(server(frail, "kafka"), signal.SIGCONT)
    wait_for("it to be ready", lambda: json.loads(run.get("/readyz"))["ready"], within_s=60)
    run.stop()


def test_lag_is_measured_again_and_again_also_over_an_outage(frail: Stack, endpoints: Endpoints) -> None:
    shell = Shell(endpoints)
    shell.run("topics", "apply")
    argv = [sys.executable, "-m", "app.cli.main", "lag", PIPELINE, "--watch", "--every", "0.5", "--json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=shell.environment) as watch:
        assert watch.stdout is not None
        assert watch.stderr is not None
        try:
            for _ in range(2):
                assert json.loads(watch.stdout.readline())["pipeline"] == PIPELINE
            os.kill(server(frail, "kafka"), signal.SIGSTOP)
            assert b"Kafka" in _sentence(watch.stderr)
            os.kill(server(frail, "kafka"), signal.SIGCONT)
            for _ in range(3):  # one of them may have been measured before
                assert json.loads(watch.stdout.readline())["pipeline"] == PIPELINE
        finally:
            os.kill(server(frail, "kafka"), signal.SIGCONT)
            watch.send_signal(signal.SIGINT)
    assert watch.returncode == 130


def _sentence(stderr: IO[bytes]) -> bytes:
    """The next line that is none of the patient kind."""
    while (line := stderr.readline()).startswith(b"Measuring"):
        pass
    return line


def test_no_secret_is_shown_in_logs_answers_or_pages(
    frail: Stack, endpoints: Endpoints, start: Callable[..., Started]
) -> None:
    """Planted in every setting that can hold one, and shown to whatever may fail on the way."""
    plain = redis.Redis.from_url(endpoints.redis)
    plain.config_set("requirepass", REDIS_SECRET)
    try:
        shell = Shell(
            endpoints,
            STREAMINFER_REDIS=endpoints.redis.replace("redis://", f"redis://:{REDIS_SECRET}@"),
            STREAMINFER_KAFKA_OPTIONS=json.dumps({"sasl.password": KAFKA_SECRET, "ssl.key.password": KAFKA_SECRET}),
            STREAMINFER_OTLP_URL=f"http://user:{OTLP_SECRET}@127.0.0.1:1/v1/traces",
        )
        shell.run("topics", "apply")
        for words in (["--json", "--log-format", "json"], ["--log-format", "human"]):
            run = start(shell, "--instance", "secret", *words)
            wait_for("it to be ready", lambda run=run: json.loads(run.get("/readyz"))["ready"], within_s=60)  # type: ignore[misc]
            plain.config_set("requirepass", "another")  # so that what connects now is refused, and says so
            plain.client_kill_filter(_type="normal", skipme=True)
            wait_for("the refusal", lambda run=run: "redis" in _wrong(run), within_s=60)  # type: ignore[misc]
            run.get("/metrics")
            shell.run("status", code=1)
            shell.run("status", "--json", code=1)
            shell.run("health", code=1)
            shell.run("features", "get", "customer", "1", code=2)
            plain.config_set("requirepass", REDIS_SECRET)
            wait_for("it to be ready", lambda run=run: json.loads(run.get("/readyz"))["ready"], within_s=60)  # type: ignore[misc]
            run.stop()
        shell.run("lag", PIPELINE, "--json")
    finally:
        plain.config_set("requirepass", "")
        plain.close()
    assert "Redis does not answer" in shell.shown
    assert "redis://***@" in shell.shown
    for secret in (REDIS_SECRET, KAFKA_SECRET, OTLP_SECRET):
        assert secret not in shell.shown


def _wrong(run: Started) -> set[str]:
    return {name for name, words in json.loads(run.get("/readyz"))["checks"].items() if words != "ok"}
