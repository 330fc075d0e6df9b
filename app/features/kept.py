"""State in this process in place of Redis: for a list of events, and for nothing that must outlive the process.

Knows the few commands that a store sends. The contract tests of the store run on this and on a server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import redis

from app.features.store import FLUSH_NAME, PREFIX

Key = str | bytes


class Kept:
    """Values by key, and the fenced write."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.hashes: dict[bytes, dict[str, bytes]] = {}

    @property
    def client(self) -> redis.Redis:
        """For a store to be made on."""
        return cast("redis.Redis", self)

    def get(self, key: Key) -> bytes | None:
        return self.values.get(_bytes(key))

    def set(self, key: Key, value: Key) -> None:
        self.values[_bytes(key)] = _bytes(value)

    def hset(self, key: Key, row: Mapping[str, object]) -> None:
        self.hashes[_bytes(key)] = {name: str(value).encode() for name, value in row.items()}

    def many(self, commands: Sequence[tuple[Any, ...]]) -> list[list[bytes | None]]:
        """Values of keys, and fields of hashes."""
        return [self._answer(name, words) for name, *words in commands]

    def _answer(self, name: str, words: Sequence[Key]) -> list[bytes | None]:
        if name == "MGET":
            return [self.values.get(_bytes(key)) for key in words]
        assert name == "HMGET"
        row = self.hashes.get(_bytes(words[0]), {})
        return [row.get(str(field)) for field in words[1:]]

    def info(self) -> dict[str, str]:
        """As of a server that evicts nothing."""
        return {"maxmemory_policy": "noeviction"}

    def evalsha(self, name: str, count: int, *words: Key) -> bytes | int:
        assert name == FLUSH_NAME
        return self._flush(words[:count], words[count:])

    def _flush(self, keys: Sequence[Key], args: Sequence[Key]) -> bytes | int:
        """What the script does, line by line."""
        held = self.get(keys[0]) or b""
        if held != _bytes(args[0]):
            return held
        for key, blob in zip(keys[1:], map(_bytes, args[2:]), strict=True):
            old = self.get(key) or b""
            if len(old) < PREFIX.size or PREFIX.unpack_from(old) < PREFIX.unpack_from(blob):
                self.set(key, blob)
        if args[1]:
            self.set(keys[0], args[1])
        return 1


def _bytes(text: Key) -> bytes:
    return text.encode() if isinstance(text, str) else text
