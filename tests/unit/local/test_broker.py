from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import Refused
from app.local.broker import Broker, Outer, new_cluster_id, render, settings


def a_cluster(count: int, folder: Path = Path("/home/x")) -> list[Broker]:
    return [Broker(n, folder / str(n), 21000 + n, 22000 + n) for n in range(1, count + 1)]


def test_three_brokers_replicate_everything_three_times_and_need_two() -> None:
    cluster = a_cluster(3)
    of_second = settings(cluster[1], cluster)
    assert of_second["node.id"] == "2"
    assert of_second["controller.quorum.voters"] == "1@127.0.0.1:22001,2@127.0.0.1:22002,3@127.0.0.1:22003"
    assert {value for key, value in of_second.items() if key.endswith("replication.factor")} == {"3"}
    assert {value for key, value in of_second.items() if key.endswith(("min.isr", "min.insync.replicas"))} == {"2"}
    assert of_second["unclean.leader.election.enable"] == "false"


def test_one_broker_needs_no_other() -> None:
    (broker,) = cluster = a_cluster(1)
    alone = settings(broker, cluster)
    assert {value for key, value in alone.items() if key.endswith(("replication.factor", "min.isr"))} == {"1"}
    assert alone["listeners"] == "CLIENT://127.0.0.1:21001,CONTROLLER://127.0.0.1:22001"


def test_old_event_times_cannot_make_records_old() -> None:
    (broker,) = cluster = a_cluster(1)
    told = settings(broker, cluster)
    assert told["log.message.timestamp.type"] == "LogAppendTime"
    assert told["log.retention.ms"] == "-1"


def test_a_directory_is_told_in_ascii_whatever_it_is_called() -> None:
    (broker,) = cluster = a_cluster(1, Path("/höme 1/a\\b/\N{GRINNING FACE}"))
    assert "log.dirs=/h\\u00f6me 1/a\\\\b/\\ud83d\\ude00/1/data\n" in render(settings(broker, cluster))


def test_a_comma_in_the_home_is_refused_because_kafka_would_split_it() -> None:
    (broker,) = cluster = a_cluster(1, Path("/home/a,b"))
    with pytest.raises(Refused, match=r"comma .* set STREAMINFER_HOME"):
        render(settings(broker, cluster))


def test_cluster_ids_are_ids_to_kafka_and_never_look_like_an_option() -> None:
    ids = {new_cluster_id() for _ in range(200)}
    assert len(ids) == 200
    assert {len(one) for one in ids} == {22}
    assert {one[0] for one in ids} == {"B"}


def test_one_more_listener_tells_its_clients_another_address_than_its_own() -> None:
    broker = Broker(1, Path("/home/x"), 21001, 22001, Outer(23001, "127.0.0.1:24001"))
    told = settings(broker, [broker])
    assert told["listeners"] == "CLIENT://127.0.0.1:21001,CONTROLLER://127.0.0.1:22001,OUTER://127.0.0.1:23001"
    assert told["advertised.listeners"] == "CLIENT://127.0.0.1:21001,OUTER://127.0.0.1:24001"
    assert told["listener.security.protocol.map"] == "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,OUTER:PLAINTEXT"
