"""The verdicts: which part is named, and in which words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from app.stream.report import Place, Report
from app.telemetry.health import START_S, alive, ready
from app.telemetry.watch import Answer
from tests.unit.telemetry.fleets import LIVE, RUNNING, SLOT, member, owned, seen, wrong

AWAY: Answer[Any] = Answer(None, 0.0, "Kafka has not answered for 9 s.")


def reported(**changes: Any) -> Report:
    return msgspec.structs.replace(RUNNING, **changes)


def test_a_run_with_nothing_wrong_is_ready_and_alive() -> None:
    assert wrong(ready(seen(member()))) == {}
    assert wrong(alive(seen(member()))) == {}


def test_a_run_that_has_not_started_its_workers_says_what_it_waits_for() -> None:
    found = wrong(ready(seen(waits="Kafka does not answer.", kafka=AWAY)))

    assert found["workers"] == "No worker is started yet: Kafka does not answer."
    assert found["kafka"] == "Kafka has not answered for 9 s."
    assert set(found) == {"kafka", "workers", "model", "assigned", "caught-up"}
    assert wrong(alive(seen(waits="Kafka does not answer.", kafka=AWAY))) == {}


@pytest.mark.parametrize(
    ("silent_s", "started_s", "words"),
    [
        (7.0, 20.0, f"Worker {SLOT} has told nothing for 7 s."),
        (None, START_S + 1, f"Worker {SLOT} has told nothing for 91 s."),
    ],
)
def test_a_worker_that_tells_nothing_is_named_in_both_verdicts(
    silent_s: float | None, started_s: float, words: str
) -> None:
    still = member(silent_s=silent_s, started_s=started_s)

    assert wrong(alive(seen(still))) == {f"worker {SLOT}": words}
    assert wrong(ready(seen(still)))["workers"] == words


def test_a_worker_that_has_just_been_started_is_alive_and_not_ready() -> None:
    young = member(Report(), silent_s=None, started_s=3.0)

    assert wrong(alive(seen(young))) == {}
    assert wrong(ready(seen(young)))["workers"] == f"Worker {SLOT} is starting."


def test_a_worker_whose_thread_tells_and_whose_loop_stands_still_is_not_alive() -> None:
    assert wrong(alive(seen(member(reported(turn_s=61.0))))) == {
        f"worker {SLOT}": f"Worker {SLOT} has not turned its loop for 61 s."
    }


def test_a_supervisor_that_does_not_turn_is_not_alive() -> None:
    assert wrong(alive(seen(member(), turned_s=12.0))) == {"supervisor": "The supervisor has not turned for 12 s."}


def test_a_dead_worker_is_the_supervisors_matter_and_keeps_the_run_from_being_ready() -> None:
    dead = member(Report(), alive=False)

    assert wrong(alive(seen(dead))) == {}
    assert wrong(ready(seen(dead)))["workers"] == f"Worker {SLOT} has ended; it is started again."


def test_what_a_worker_waits_for_is_told() -> None:
    waits = member(Report(waits="Redis: Redis does not answer (TimeoutError)."))

    found = wrong(ready(seen(waits)))
    assert found["workers"] == f"Worker {SLOT} waits for Redis: Redis does not answer (TimeoutError)."
    assert found["model"] == f"Worker {SLOT} has not loaded its model."


def test_partitions_of_nobody_are_an_alarm_and_on_their_way_while_the_group_shares_out() -> None:
    apart = replace(member(), report=reported(places={0: LIVE}))

    assert wrong(ready(seen(apart, kafka=owned(0)))) == {"assigned": "Nobody owns partition 1 of payments."}
    found = wrong(ready(seen(apart, kafka=owned(0, rebalancing=True))))
    assert found == {"assigned": "payments is being shared out again: nobody has partition 1 yet."}


def test_what_the_group_gives_to_a_worker_that_has_not_taken_it_up_is_told() -> None:
    apart = member(reported(places={0: LIVE}))

    assert wrong(ready(seen(apart))) == {
        "assigned": f"Worker {SLOT} is to have partition 1 of payments, and has not taken it up."
    }


def test_a_worker_without_partitions_stands_by_and_is_ready() -> None:
    spare = member(reported(places={}), slot="fraud.here-1")

    assert wrong(ready(seen(member(), spare))) == {}


def test_partitions_of_another_run_are_no_matter_of_this_one() -> None:
    mine = member(reported(places={0: LIVE}))
    kafka = owned(0, 1)
    assert kafka.value is not None
    kafka.value.owners.of[1] = replace(kafka.value.owners.of[1], client_id="fraud.there-0")

    assert wrong(ready(seen(mine, kafka=kafka))) == {}


def test_each_kind_of_partition_that_is_not_scored_is_named_with_why() -> None:
    places = {
        0: Place("pending"),
        1: Place("catching up", left=1200),
        2: Place("live", waiting=True),
        3: LIVE,
    }
    why = "Kafka does not tell the committed offsets."
    told = member(reported(places=places, pending_why=why, redis_away=True))

    assert wrong(ready(seen(told, kafka=owned(0, 1, 2, 3, width=4)))) == {
        "caught-up": "Partition 0 waits to be started. Kafka does not tell the committed offsets. "
        "Partition 1 folds what is committed into the state: 1,200 offsets to go. Partition 2 waits for Redis."
    }


def test_a_partition_that_waits_for_another_pipeline_is_named_once_it_has_waited_for_long() -> None:
    def told(held_s: float) -> dict[str, str]:
        places = {0: LIVE, 1: Place("live", waiting=True, held_s=held_s)}
        return wrong(ready(seen(member(reported(places=places)), others=["fraud-labels"])))

    assert told(0.5) == {}
    assert told(6.0) == {"caught-up": "Partition 1 waits for what fraud-labels has not folded yet."}


def test_state_that_redis_does_not_take_is_told() -> None:
    assert wrong(ready(seen(member(reported(redis_away=True))))) == {
        "caught-up": "Redis takes no state; it stays in memory until it does."
    }


def test_a_worker_that_recovers_is_not_ready() -> None:
    assert wrong(ready(seen(member(reported(waits="Kafka to initialise its producers"))))) == {
        "workers": f"Worker {SLOT} waits for Kafka to initialise its producers."
    }


def test_a_sentence_has_an_end_however_many_partitions_there_are() -> None:
    many = member(reported(places={p: Place("pending") for p in range(500)}))

    assert len(wrong(ready(seen(many, kafka=owned(*range(500), width=500))))["caught-up"]) < 120
