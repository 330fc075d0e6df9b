"""Each kind of record is judged as the table says; the same table is in the reference, and a broker sees it too."""

from __future__ import annotations

from collections import Counter

import pytest
from confluent_kafka import murmur2

from app.contracts.admission import Admission
from app.errors import RecordError
from app.pipelines.fraud import FRAUD
from app.record import Record
from tests.hostile import KINDS, SCORED, START_MS, Kind

TAKEN_MS = START_MS + 3_600_000
PARTITIONS = 6
admission = Admission(FRAUD)
admission.width = PARTITIONS


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_record_of_each_kind_is_judged_as_the_table_says(kind: Kind) -> None:
    sent = kind.make(5)
    partition = (murmur2(sent.key or b"", PARTITIONS) + sent.misplaced) % PARTITIONS
    found = admission.admit(Record("payments", partition, 7, TAKEN_MS, sent.key, sent.value, sent.headers))
    told = ("", "") if not isinstance(found, RecordError) else (found.stage.value, found.code)
    assert told == (kind.stage, kind.code), getattr(found, "reason", "")


def test_the_table_names_each_kind_once_and_has_both_verdicts() -> None:
    assert [name for name, count in Counter(kind.name for kind in KINDS).items() if count > 1] == []
    assert len(KINDS) >= 40
    assert all((kind.verdict == SCORED) == (not kind.stage) == (not kind.code) for kind in KINDS)
