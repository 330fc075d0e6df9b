"""A worker whose connections to Kafka are dead and do not say so: those that it reads by.

Where one that it writes by is dead too, its transaction overruns and the process ends itself
(tests/unit/stream/test_committer.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.contract.loop.rig import Rig, wait_for
from tests.faults.conftest import Ground
from tests.faults.proxy import Weather

pytestmark = [pytest.mark.broker, pytest.mark.redis]

FETCH = 1  # the kind of request
FETCHED_S = 3.0  # a client asks for records twice a second, and waits for the answer before it asks again
MINUTE_S = 60.0  # the client's own time-out, which would be too long


def test_a_worker_gives_dead_connections_up_and_answers_what_came_meanwhile(
    new_rig: Callable[..., Rig], ground: Ground
) -> None:
    rig = new_rig(kafka=ground.kafka, redis=ground.direct.redis)
    rig.produce(300)
    member = rig.member()
    wait_for("some to be scored", lambda: member.progress["records"] == 300)
    before = ground.proxy.counts["reply lost"]
    with ground.proxy.during(Weather(loses_replies=True, to=FETCH, client=rig.pipeline.name)):
        time.sleep(FETCHED_S)  # the fault itself
    assert ground.proxy.counts["reply lost"] > before
    rig.produce(300)
    wait_for("the rest to be scored", lambda: member.progress["records"] == 600, within_s=MINUTE_S - 15)
    assert member.end() == 0
    rig.finish()
    rig.check()
