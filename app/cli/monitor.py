"""`monitor`: watches what the pipelines answer, and serves the page."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.connection import Home, Json, Kafka, settings
from app.cli.naming import PipelinesOrAll
from app.cli.terminal import note, say, say_json
from app.errors import Refused

if TYPE_CHECKING:
    from app.settings import Settings

FIRST_PORT = 9570
PORTS = 50
LEAVE_S = 5.0
AGAIN_S = 1.0
LONG_S = 60.0  # a process that lived for so long does not die at once
DEATHS = 5
FATAL = 64
PLACED_ANEW = 75  # its partitions were given out anew: it goes on in a new process
COMMAND = (sys.executable, "-m", "app.monitor")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
INSTALL = "pip install 'streaminfer[monitor]'"


def add_to(cli: typer.Typer) -> None:
    cli.command("monitor")(monitor)


def monitor(
    pipelines: PipelinesOrAll = None,
    web: Annotated[
        str | None,
        typer.Option("--web", metavar="HOST:PORT", help="Where the page is. Default: the first free port from 9570."),
    ] = None,
    kafka: Kafka = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Watch what is answered, and show it on a page: rates, lateness, lag, drift, quality, dead letters, alerts.

    Reads committed records only, and writes nothing but its own counts (topics that begin with the setting
    monitor_name) and the topic monitor.alerts. Nothing needs it: it may be stopped and started at any time, and goes
    on where it was. Topics that are not there yet, and a Kafka that is away, are waited for.

    The page is on loopback. Beyond it, it needs a token: STREAMINFER_MONITOR_TOKEN, 16 characters or more.

    With --json one object a line: the page's address, and each start of the process that counts. Runs until Ctrl-C.

    \b
    Examples:
      streaminfer monitor
      streaminfer monitor fraud --web 127.0.0.1:9570
      streaminfer monitor --json
    """
    from app.pipelines import PIPELINES, lasting, pipeline_named

    _refuse_missing()
    names = pipelines or list(PIPELINES)
    for name in names:
        pipeline_named(name)
    where = settings(kafka=kafka, home=home, needs="kafka", monitor_web=web)
    where.home.mkdir(parents=True, exist_ok=True)
    host, port = _place(where)
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    if as_json:
        say_json({"event": "page", "url": url, "pipelines": names})
    else:
        token = " It asks for the token." if where.monitor_token else ""
        say(f"Watching {', '.join(names)} on {where.kafka}, until Ctrl-C. The page is at {url}{token}")
    sys.stdout.flush()
    job = {
        "pipelines": [lasting(name) for name in names],
        "settings": json.loads(where.model_dump_json()),
        "host": host,
        "port": port,
    }
    raise typer.Exit(_keep(json.dumps(job).encode() + b"\n", as_json=as_json))


def _refuse_missing() -> None:
    import importlib.util

    missing = [name for name in ("faust", "aiokafka", "river") if importlib.util.find_spec(name) is None]
    if missing:
        raise Refused(
            f"The monitor needs {', '.join(missing)}, which a scoring worker does not: `{INSTALL}`, or ops/setup in a "
            "clone.",
            exit_code=2,
        )


def _place(where: Settings) -> tuple[str, int]:
    """Host and port of the page. Raises Refused where it would be open to strangers, or the port is taken."""
    if where.monitor_web == "auto":
        for port in range(FIRST_PORT, FIRST_PORT + PORTS):
            if _is_free("127.0.0.1", port):
                return "127.0.0.1", port
        raise Refused(f"No port from {FIRST_PORT} to {FIRST_PORT + PORTS - 1} is free: name one by --web HOST:PORT.")
    named, _, number = where.monitor_web.rpartition(":")
    host, port = named.strip("[]"), int(number)
    if host not in LOOPBACK and not where.monitor_token:
        raise Refused(
            f"At {host} the page would be open to everybody: set a token of 16 characters or more in "
            "STREAMINFER_MONITOR_TOKEN, or stay on 127.0.0.1.",
            exit_code=2,
        )
    if not _is_free(host, port):
        raise Refused(f"The page cannot be at {host}:{port}: the port is taken, or the host is not this machine's.")
    return host, port


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _keep(job: bytes, *, as_json: bool) -> int:
    """Start the process, and start it again when it dies: it goes on where it was. Gives the exit code."""
    deaths = 0
    while True:
        begun = time.monotonic()
        # Standard output is this command's: its libraries write control characters there.
        process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=sys.stderr)
        if as_json:
            say_json({"event": "process", "pid": process.pid})
            sys.stdout.flush()
        try:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(job)
                process.stdin.flush()
            code = process.wait()
        except KeyboardInterrupt:
            _end(process)
            return 0
        if code == FATAL:
            return 1
        if code == PLACED_ANEW:
            continue
        deaths = 1 if time.monotonic() - begun > LONG_S else deaths + 1
        if deaths >= DEATHS:
            note(f"The monitor's process died {DEATHS} times in a row; the lines above say of what.")
            return 1
        note("The monitor's process died; it is started again and goes on where it was.")
        time.sleep(AGAIN_S)


def _end(process: subprocess.Popen[bytes]) -> None:
    """It may be ended at any moment: what it has not written is read again."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(LEAVE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
