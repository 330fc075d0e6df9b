"""What readers outside see of a group: an offset that a new coordinator does not know yet has not gone back."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from tests.faults import seen
from tests.faults.oracle import reading


class Asked:
    """A consumer that gives one offset after the other; None: its coordinator is away."""

    def __init__(self, offsets: list[int | None]) -> None:
        self._offsets = iter(offsets)

    def committed(self, places: list[TopicPartition], _: float) -> list[TopicPartition]:
        offset = next(self._offsets)
        if offset is None:
            raise KafkaException(KafkaError(KafkaError.NOT_COORDINATOR))
        return [TopicPartition(place.topic, place.partition, offset) for place in places]


def watched(monkeypatch: pytest.MonkeyPatch, latest: list[int | None], stable: list[int | None]) -> seen.Offsets:
    of = {"read_uncommitted": latest, "read_committed": stable}
    monkeypatch.setattr(reading, "consumer", lambda _kafka, isolation, _group: Asked(of[isolation]))
    offsets = seen.Offsets("nowhere", {"fraud": "payments"}, 1)
    for _ in latest:
        offsets._ask("fraud", "payments")
    return offsets


@pytest.mark.parametrize("stable", [[15], [16], [None]])
def test_what_is_stable_decides_whether_an_offset_went_back(
    monkeypatch: pytest.MonkeyPatch, stable: list[int | None]
) -> None:
    offsets: Any = watched(monkeypatch, [13, 15, 13, 17], stable)

    assert offsets.went_back == {}
    assert offsets.stands["fraud", 0].last == 17


def test_an_offset_that_did_go_back_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    offsets = watched(monkeypatch, [13, None, 15, 13], [13])

    assert offsets.went_back == {"fraud": ["payments/0 from 15 to 13"]}
