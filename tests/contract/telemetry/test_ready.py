"""What /readyz and /healthz say in each wait that a run knows, on real servers that are stopped under it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from app.local.stack import Stack
from tests.contract.loop.rig import Rig, wait_for
from tests.contract.loop.servers import server
from tests.contract.telemetry.seen import SeenRun
from tests.processes import stands_still

pytestmark = [pytest.mark.broker, pytest.mark.redis]

NewRun = Callable[..., SeenRun]


@pytest.fixture
def hold(tmp_path: Path) -> Path:
    """While it is there, whoever comes by it stands still."""
    path = tmp_path / "hold"
    path.touch()
    return path


def test_a_run_is_ready_once_all_its_parts_are(rig: Rig, new_run: NewRun) -> None:
    rig.produce(300)
    run = new_run(workers=2)
    run.gets_ready()
    assert set(run.checks()) == {"kafka", "redis", "workers", "model", "assigned", "caught-up"}
    assert set(run.checks("/healthz")) == {
        "supervisor", *(f"worker {rig.pipeline.name}.seen-{i}" for i in range(2))
    }  # fmt: skip
    wait_for("all to be counted", lambda: run.metric("records_total", "prediction") > 0)


def test_a_worker_that_waits_for_redis_at_its_start_says_so(frail: Stack, rig: Rig, new_run: NewRun) -> None:
    os.kill(server(frail, "redis"), signal.SIGSTOP)
    run = new_run()
    told = run.says("workers", "waits for Redis: Redis does not answer")
    assert "has not loaded its model" in told["model"]
    assert "Nobody owns partitions 0, 1, 2" in run.says("assigned", "Nobody owns")["assigned"]
    run.says("redis", "Redis does not answer")
    assert run.checks()["kafka"] == "ok"
    assert all(words == "ok" for words in run.checks("/healthz").values()), "a Redis that is away needs no restart"
    assert run.metric("redis_up") == 0
    os.kill(server(frail, "redis"), signal.SIGCONT)
    run.gets_ready()
    assert run.metric("redis_up") == 1


def test_partitions_that_need_what_only_redis_has_are_named_while_it_is_away(
    frail: Stack, rig: Rig, new_run: NewRun
) -> None:
    rig.produce(300)
    run = new_run()
    run.gets_ready()
    os.kill(server(frail, "redis"), signal.SIGSTOP)
    rig.customers = 500
    rig.produce(300)
    told = run.says("caught-up", "for Redis")["caught-up"]
    assert told.startswith(("Partition ", "Partitions "))
    wait_for("them to be counted as waiting", lambda: run.metric("partitions", "waiting") > 0)
    run.says("redis", "Redis does not answer")
    os.kill(server(frail, "redis"), signal.SIGCONT)
    run.gets_ready()


def test_state_that_redis_does_not_take_is_told(frail: Stack, rig: Rig, new_run: NewRun) -> None:
    rig.produce(600, poison=False)
    run = new_run()
    run.gets_ready()
    wait_for("all to be scored", lambda: run.metric("records_total", "prediction") == 600)
    os.kill(server(frail, "redis"), signal.SIGSTOP)
    rig.produce(200, poison=False)  # of customers that are in memory
    run.says("caught-up", "Redis takes no state")
    wait_for("the state to be counted", lambda: run.metric("state_dirty_entities") > 0)
    os.kill(server(frail, "redis"), signal.SIGCONT)
    run.gets_ready()


def test_a_kafka_that_is_away_is_told_and_so_is_the_recovery_after_it(frail: Stack, rig: Rig, new_run: NewRun) -> None:
    run = new_run()
    run.gets_ready()
    rig.produce(3000)
    wait_for("work to begin", lambda: run.metric("records_total", "prediction") > 0)
    rig.produce(3000)  # so that a transaction is open, or will be
    os.kill(server(frail, "kafka"), signal.SIGSTOP)
    told = run.says("kafka", "Kafka ")
    assert told["redis"] == "ok"
    assert "not known" in told["assigned"]
    assert run.metric("kafka_up") == 0
    assert ("partitions_unowned",) not in run.metrics(), "what is not known is not said to be none"
    os.kill(server(frail, "kafka"), signal.SIGCONT)
    run.gets_ready()
    wait_for("all to be answered", lambda: _answered(run) == 6000, within_s=60)


def test_a_worker_whose_transaction_did_not_commit_is_not_ready_until_it_has_new_producers(
    frail: Stack, rig: Rig, new_run: NewRun
) -> None:
    rig.produce(500)
    run = new_run("begun", "3", "SIGSTOP")  # with a transaction open, beyond its time-out
    wait_for("it to stand still", lambda: bool(run.pids) and stands_still(run.pids[0]))
    run.says("workers", "has told nothing for")
    wait_for("the broker to end its transaction", lambda: _silent_s(run) > 8.0)
    os.kill(server(frail, "kafka"), signal.SIGSTOP)  # so that the recovery does not end
    os.kill(run.pids[0], signal.SIGCONT)
    run.says("workers", "waits for Kafka to initialise its producers")
    os.kill(server(frail, "kafka"), signal.SIGCONT)
    run.gets_ready()
    # The abort is counted; or a call hung until the watchdog ended the worker, whose last half second went with it.
    unclean = ("transactions_aborted_total", "worker_deaths_total")
    counted = {name: value for name, value in run.metrics().items() if name[0] in unclean}
    assert sum(counted.values()) >= 1, f"{counted}\n{run.log.decode()}"


def test_partitions_without_an_owner_are_named(rig: Rig, new_run: NewRun, hold: Path) -> None:
    run = new_run("started", "1", str(hold))  # before it asks for partitions
    run.says("workers", "ok")
    run.says("assigned", f"Nobody owns partitions 0, 1, 2 of {rig.pipeline.source.name}.")
    assert run.metric("partitions_unowned") == 3
    hold.unlink()
    run.gets_ready()
    assert run.metric("partitions_unowned") == 0


def test_a_partition_that_is_assigned_and_not_placed_is_named(rig: Rig, new_run: NewRun, hold: Path) -> None:
    rig.produce(100)
    run = new_run("resolved", "1", str(hold))
    run.says("caught-up", "Partitions 0, 1, 2 wait to be started.")
    assert run.metric("partitions", "pending") == 3
    hold.unlink()
    run.gets_ready()


def test_partitions_that_catch_up_are_named_with_what_is_left(rig: Rig, new_run: NewRun, hold: Path) -> None:
    rig.produce(1500)
    rig.settings = rig.settings.model_copy(update={"flush_every_s": 3600.0})
    first = rig.member("seen-0", step="confirmed", nth=10)  # dies with states that Redis does not have
    assert first.wait() == -signal.SIGKILL
    run = new_run("polled", "1", str(hold))
    told = run.says("caught-up", "offsets to go")["caught-up"]
    assert "what is committed into the state" in told
    assert run.metric("partitions", "catching-up") > 0
    hold.unlink()
    run.gets_ready()
    wait_for("the rest to be answered", lambda: run.metric("records_total", "prediction") > 0)


def test_a_worker_that_stands_still_is_named_as_not_alive(rig: Rig, new_run: NewRun) -> None:
    run = new_run(workers=2)
    run.gets_ready()
    slot = f"{rig.pipeline.name}.seen-1"
    os.kill(run.pids[1], signal.SIGSTOP)
    told = run.says(f"worker {slot}", f"Worker {slot} has told nothing for", path="/healthz")
    assert told[f"worker {rig.pipeline.name}.seen-0"] == "ok"
    assert f"Worker {slot} has told nothing" in run.checks()["workers"]
    os.kill(run.pids[1], signal.SIGCONT)
    run.gets_ready()
    assert all(words == "ok" for words in run.checks("/healthz").values())


def test_what_was_counted_stays_counted_when_a_worker_dies(rig: Rig, new_run: NewRun) -> None:
    rig.produce(1000)
    run = new_run()
    wait_for("all to be answered", lambda: _answered(run) == 1000)
    before = run.metrics()
    letters = sum(value for name, value in before.items() if name[0] == "dead_letters_total")
    assert letters == before["records_total", "dead_letter"] > 0
    os.kill(run.pids[0], signal.SIGKILL)
    wait_for("its death to be counted", lambda: run.metric("worker_deaths_total", "killed") == 1)
    run.gets_ready()
    rig.produce(500, poison=False)
    wait_for("the others to be answered", lambda: _answered(run) == 1500)
    after = run.metrics()
    counters = [name for name in before if name[0].endswith(("_total", "_count", "_bucket", "_sum"))]
    assert [name for name in counters if after.get(name, -1.0) < before[name]] == []
    assert after["latency_seconds_count",] == after["batch_records_sum",] == 1500
    assert {value for name, value in after.items() if name[0] == "partition_lag_records"} == {0.0}


def _answered(run: SeenRun) -> float:
    return run.metric("records_total", "prediction") + run.metric("records_total", "dead_letter")


def _silent_s(run: SeenRun) -> float:
    words = run.checks()["workers"]
    return float(words.rpartition(" for ")[2].removesuffix(" s.")) if "told nothing" in words else 0.0
