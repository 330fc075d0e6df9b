"""Kafka's classes, loaded once and kept in the form that the Java machine maps into memory (class data sharing).

A broker then starts with half the CPU time. It is only that: without the archive, or with
one that Java does not accept, everything works as well. `python -m app.local.archive` fetches the jars where they are
missing and makes the archive where it is missing; a few seconds, once for each Java.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from app.errors import StreamInferError, Unavailable
from app.local import kafka
from app.local.broker import Broker, new_cluster_id
from app.local.jars import Kafka, ensure_jars
from app.local.leash import Leash
from app.local.lock import locked
from app.local.ports import free_ports
from app.local.process import wait_until

_START_TIMEOUT_S = 60.0
_WRITE_TIMEOUT_S = 120.0


def ensure_archive(fetched: Kafka) -> None:
    """Makes it where it is missing. A Java that cannot is not asked again."""
    archive = kafka.archive(fetched)
    given_up = archive.with_suffix(".none")
    if archive.is_file() or given_up.is_file():
        return
    busy = "Another process has been preparing Kafka for long: wait for it, or end it, and run ops/setup again."
    with locked(fetched.root / "archive.lock", timeout_s=_START_TIMEOUT_S + _WRITE_TIMEOUT_S, busy=busy):
        if archive.is_file() or given_up.is_file():
            return
        print("Preparing Kafka for faster starts, once.", file=sys.stderr)
        made = archive.with_suffix(".new")
        made.unlink(missing_ok=True)
        with Leash() as leash, tempfile.TemporaryDirectory(prefix="streaminfer-") as folder:
            _train(fetched, Path(folder), made, leash)
        if made.is_file():
            made.replace(archive)
        else:
            given_up.touch()


def _train(fetched: Kafka, folder: Path, made: Path, leash: Leash) -> None:
    """Runs a broker that writes at its end which classes it has loaded. Without success there is no file."""
    client, controller = free_ports(2)
    broker = Broker(1, folder, client, controller)
    with suppress(Unavailable):
        kafka.format_data(fetched, [broker], cluster_id=new_cluster_id(), register=leash.hold)
        options = [f"-XX:ArchiveClassesAtExit={made.name}"]
        trained = kafka.start_broker(fetched, broker, [broker], register=leash.hold, options=options)
        wait_until(
            lambda: trained.poll() is not None or kafka.answers(broker, brokers=1),
            timeout_s=_START_TIMEOUT_S,
        )
        trained.terminate()
        with suppress(subprocess.TimeoutExpired):
            trained.wait(_WRITE_TIMEOUT_S)


def main() -> int:
    try:
        ensure_archive(ensure_jars())
    except StreamInferError as error:
        print(error, file=sys.stderr)
        return 3 if isinstance(error, Unavailable) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
