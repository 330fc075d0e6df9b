"""Partitions that wait: none reads the same records again and again before what it waits for can be there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from app.stream import keeping
from app.stream.keeping import Keeping
from app.stream.limits import Limits
from app.stream.observe import nobody
from app.stream.shares import Phase, Share

AHEAD_MS = 1_000


class Readers:
    """How far they have come; a pace that is asked for."""

    def __init__(self) -> None:
        self.at_ms = 0

    def reaches(self, time_ms: int) -> bool:
        return time_ms <= self.at_ms


class Bench:
    """One live partition, what it reads from when it is started again, and its readers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, readers: Readers | None) -> None:
        monkeypatch.setattr(keeping, "AGAIN_S", 0.0)
        self.started: list[int] = []
        feed: Any = SimpleNamespace(pause=lambda _: None, start=self._start)
        memory: Any = SimpleNamespace(owned={0: SimpleNamespace(next_offset=7)}, pace=readers, dirty=lambda _: 0)
        self.shares = {0: Share(0, Phase.LIVE)}
        self.keeping = Keeping(feed, memory, self.shares, limits=Limits(redis_retry_s=0.0), observe=nobody)

    def _start(self, _: int, offset: int) -> bool:
        self.started.append(offset)
        return True


def test_a_writer_that_is_ahead_reads_nothing_before_its_readers_have_come(monkeypatch: pytest.MonkeyPatch) -> None:
    readers = Readers()
    bench = Bench(monkeypatch, readers=readers)
    bench.keeping.hold([0], {0: AHEAD_MS})
    bench.keeping.resume()
    assert (bench.shares[0].waiting, bench.started) == (True, [])

    readers.at_ms = AHEAD_MS
    bench.keeping.resume()
    assert (bench.shares[0].waiting, bench.started) == (False, [7])


def test_one_that_waits_for_redis_then_does_not_wait_for_readers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, readers=Readers())
    bench.keeping.hold([0], {0: AHEAD_MS})
    bench.keeping.wait([0], "Redis does not answer.")
    bench.keeping.resume()
    assert bench.started == [7]


def test_a_reader_looks_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, readers=None)
    bench.keeping.hold([0], {0: AHEAD_MS})
    bench.keeping.resume()
    assert bench.started == [7]
