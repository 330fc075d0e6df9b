"""JSON lines to what can be sent: each line an event of one topic's contract, or the reason why it is none.

Also the raw way, for those who want to send what no contract allows. The bytes of a line are never changed.
"""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from app.contracts.compile import compile_contract
from app.errors import RecordError, Refused, Stage
from schemas.topics import TopicContract

LARGEST = 10 * 1024 * 1024  # bytes of one event
LONGEST = LARGEST + 1024 * 1024  # bytes of a line that are looked at

Line = tuple[int, bytes | None, bytes | RecordError]


def checked(lines: Iterable[bytes], contract: TopicContract) -> Iterator[Line]:
    """Each line's number from 1 on, its key, and its bytes; or None and why it is no event of the contract."""
    compiled = compile_contract(contract.model)
    decode = compiled.decode
    for number, value in enumerate(lines, start=1):
        if len(value) > LARGEST:
            why = f"The line is longer than {LARGEST // 2**20} MiB."
            yield number, None, RecordError(Stage.VALIDATE, "out-of-range", why)
            continue
        try:
            event = decode(value)
        except (ValueError, RecursionError):
            yield number, None, compiled.refusal(value)
            continue
        yield number, getattr(event, contract.key).encode(), value


def raw(lines: Iterable[bytes], contract: TopicContract | None) -> Iterator[Line]:
    """Each line as it is; its key is what the contract's field says, where that can be read, else none."""
    key_of = _key_reader(contract.key) if contract is not None else _no_key
    for number, value in enumerate(lines, start=1):
        yield number, key_of(value), value


def _no_key(_: bytes) -> bytes | None:
    return None


def _key_reader(field: str) -> Callable[[bytes], bytes | None]:
    struct = msgspec.defstruct("Keyed", [("key", str)], rename={"key": field})
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(struct).decode

    def read(value: bytes) -> bytes | None:
        try:
            return str(decode(value).key).encode()
        except (ValueError, RecursionError):
            return None

    return read


@contextmanager
def opened(name: str) -> Iterator[Iterator[bytes]]:
    """The lines of a file, of a gzip file where its name ends in .gz, or of standard input where it is `-`.

    Raises Refused where there is no such file, and at the line where it cannot be read on.
    """
    if name == "-":
        yield _lines(sys.stdin.buffer, name)
        return
    with _open(Path(name)) as file:
        yield _lines(file, name)


def _open(path: Path) -> BinaryIO | gzip.GzipFile:
    try:
        return gzip.open(path) if path.suffix == ".gz" else path.open("rb")
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror or error}.", exit_code=2) from None


def _lines(file: BinaryIO | gzip.GzipFile, name: str) -> Iterator[bytes]:
    """Without their ends. Of a line that no topic takes, only so much as shows that it is too long."""
    try:
        while line := file.readline(LONGEST):
            if len(line) == LONGEST and not line.endswith(b"\n"):
                while (rest := file.readline(LONGEST)) and not rest.endswith(b"\n"):
                    pass
            yield line.removesuffix(b"\n")
    except (EOFError, zlib.error, OSError):
        raise Refused(f"{name} cannot be read to its end: it is damaged, or no gzip file.") from None
