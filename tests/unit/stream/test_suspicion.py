"""Which of librdkafka's lines make a producer suspect: those after which a request may still be on its way."""

from __future__ import annotations

import logging

import pytest

from app.stream.turn import _Suspicion


def suspected(line: str) -> bool:
    suspicion, logger = _Suspicion(), logging.Logger("librdkafka")
    logger.addHandler(suspicion)
    logger.warning(line)
    return suspicion.why is not None


@pytest.mark.parametrize(
    "line",
    [
        "REQTMOUT [p#producer-1] [thrd:127.0.0.1:1/1]: Timed out EndTxnRequest in flight (after 10000ms, timeout #0)",
        "FAIL [p#producer-1] [thrd:127.0.0.1:1/1]: Disconnected: receive 0 after POLLIN (after 6283ms in state UP)",
        "FAIL [p#producer-1] [thrd:127.0.0.1:1/1]: Disconnected (after 5ms in state APIVERSION_QUERY)",
    ],
)
def test_a_connection_that_carried_requests_makes_its_producer_suspect(line: str) -> None:
    assert suspected(line)


def test_a_connection_that_never_came_to_stand_does_not() -> None:
    assert not suspected(
        "FAIL [p#producer-1] [thrd:127.0.0.1:1/bootstrap]: 127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: "
        "Connection refused (after 0ms in state CONNECT)"
    )
