"""Which slot a process fills: the name that the broker fences by.

A slot is `<instance>-<i>`, the same string in the transactional ids and as the group's static member. The default
instance is this host and the first number whose lock file is free, so that a second `run` beside the first shares the
partitions instead of fencing it. The locks are the machine's, whatever home a process has: it is Kafka that fences.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import Refused
from app.settings import host

MOST = 1000
NAME = re.compile(r"[a-zA-Z0-9._-]{1,100}")  # what Kafka takes in a member's name


@contextmanager
def instance(kafka: str, pipeline: str, name: str | None = None) -> Iterator[str]:
    """Hold an instance's name for as long as the block runs, also against a second process that names it.

    `kafka` are the bootstrap servers: the same name beside another Kafka fences nobody. Raises Refused where the named
    one is taken on this machine.
    """
    if name is not None and not NAME.fullmatch(name):
        raise Refused(
            f"The instance {name!r} must be up to 100 of the letters a-z, digits, '.', '_' and '-'.", exit_code=2
        )
    folder = slots(kafka)
    folder.mkdir(parents=True, exist_ok=True)
    names = [name] if name is not None else [f"{host()}-{i}" for i in range(MOST)]
    for candidate in names:
        handle = (folder / f"{pipeline}.{candidate}.lock").open("w")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.close()
            continue
        try:
            yield candidate
        finally:
            handle.close()
        return
    raise Refused(
        f"The pipeline {pipeline} already runs here as {name or f'{MOST} instances'}; stop it, or give this one "
        "another --instance."
    )


def slots(kafka: str) -> Path:
    """Where this machine keeps what its instances beside this Kafka hold."""
    cluster = hashlib.blake2b(kafka.encode(), digest_size=6).hexdigest()
    return Path(tempfile.gettempdir()) / f"streaminfer-{os.getuid()}" / "slots" / cluster


def slot(pipeline: str, instance_name: str, i: int) -> str:
    """The name of one worker. Transactional ids are the cluster's, not the group's, so the pipeline is part of it."""
    return f"{pipeline}.{instance_name}-{i}"
