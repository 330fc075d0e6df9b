"""Whatever is wrong in Redis is found, and shown from both sides; what only moves on is not taken for wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import msgspec
import pytest
import redis

from app.errors import Refused
from app.features.marker import decode_marker
from app.features.store import PREFIX
from app.features.window import Window
from app.replay import log
from app.replay.verify import Difference, Verdict, verify
from tests.contract.loop.rig import wait_for
from tests.contract.states.harmed import Copy, Harmed, marker_keys, state_keys

pytestmark = [pytest.mark.broker, pytest.mark.redis]
NewRig = Callable[..., Harmed]


@pytest.fixture(scope="module")
def folded(module_rig: NewRig) -> Harmed:
    rig = module_rig("fraud")
    rig.produce(1200)
    rig.finish()
    return rig


@pytest.fixture
def client(folded: Harmed) -> Iterator[redis.Redis]:
    """What a test does to Redis is undone."""
    copy = Copy(folded.settings.redis)
    with redis.Redis.from_url(folded.settings.redis) as client:
        yield client
    copy.restore()


def only(rig: Harmed) -> Difference:
    found = rig.verdict()
    assert not found.ok
    assert found.differences == 1, found.examples
    return found.examples[0]


def test_a_payment_too_few_is_shown_from_both_sides(folded: Harmed, client: redis.Redis) -> None:
    view = cast("Window", folded.pipeline.views[0])
    key = state_keys(folded)[0]
    blob = cast("bytes", client.get(key))
    state = view.unpack(blob[PREFIX.size :])
    state.drop(1)
    client.set(key, blob[: PREFIX.size] + view.pack(state))
    found = only(folded)
    assert (found.entity, found.what) == (key.decode().rpartition("/")[2], "differs")
    assert found.redis is not None
    assert found.log is not None
    assert cast("int", found.redis["events"]) == cast("int", found.log["events"]) - 1
    assert found.redis["next_offset"] == found.log["next_offset"]


@pytest.mark.parametrize(
    ("harm", "what", "sides"),
    [
        pytest.param(lambda _: None, "is missing in Redis", (False, True), id="deleted"),
        pytest.param(
            lambda blob: blob[:8] + b"?" + blob[9:], "is not what this program writes", (True, True), id="odd"
        ),
        pytest.param(lambda _: b"", "is not what this program writes", (True, True), id="empty"),
        pytest.param(lambda b: PREFIX.pack(0) + b[8:], "is folded up to another offset", (True, True), id="behind"),
        pytest.param(lambda b: PREFIX.pack(1 << 60) + b[8:], "says that it folded an event", (True, True), id="beyond"),
        pytest.param(lambda _: ["a", "list"], "is missing in Redis", (False, True), id="another type"),
    ],
)
def test_a_state_that_was_harmed_is_found(
    folded: Harmed, client: redis.Redis, harm: Callable[[bytes], Any], what: str, sides: tuple[bool, bool]
) -> None:
    key = state_keys(folded)[3]
    value = harm(cast("bytes", client.get(key)))
    client.delete(key)
    if isinstance(value, list):
        client.rpush(key, *value)
    elif value is not None:
        client.set(key, value)
    found = only(folded)
    assert found.what.startswith(what)
    assert (found.redis is not None, found.log is not None) == sides


def test_a_state_of_an_entity_that_the_log_does_not_have_is_found(folded: Harmed, client: redis.Redis) -> None:
    prefix, _, _ = state_keys(folded)[0].rpartition(b"/")
    client.set(prefix + b"/nobody", PREFIX.pack(1))
    found = only(folded)
    assert (found.entity, found.what, found.log) == ("nobody", "is in Redis, and the log has no event of it", None)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"next": 1 << 40}, "the group has committed"),
        ({"newest_ms": 5}, "says that its newest event is of 5"),
        ({"topic_id": "another"}, "was folded from another topic"),
        ({"partitions": 7}, "had 7 partitions"),
    ],
)
def test_a_marker_that_is_not_of_this_log_is_found(
    folded: Harmed, client: redis.Redis, change: dict[str, Any], what: str
) -> None:
    key = marker_keys(folded)[1]
    marker = decode_marker(cast("bytes", client.get(key)))
    assert marker is not None
    client.set(key, msgspec.structs.replace(marker, **change).encode())
    found = only(folded)
    assert (found.entity, found.partition) == (None, int(key.split(b"/")[2].rstrip(b"}")))
    assert what in found.what


def test_a_flush_that_ended_half_way_is_no_difference_and_neither_is_an_event_that_is_held_back(
    folded: Harmed, client: redis.Redis
) -> None:
    """All its states are written, and the marker is not moved yet; its time may be that of the next event."""
    key = marker_keys(folded)[0]
    marker = decode_marker(cast("bytes", client.get(key)))
    assert marker is not None
    source = [m for m in folded.read(folded.pipeline.source.name) if m.partition() == 0 and len(m.value() or b"") > 40]
    times = [(m.offset(), json.loads(m.value())["time_ms"]) for m in source]
    half, rest = [time for at, time in times if at < 100], [time for at, time in times if at >= 100]
    for newest, right in ((half[-1], True), (rest[0], True), (rest[1], False)):
        client.set(key, msgspec.structs.replace(marker, next=100, newest_ms=newest).encode())
        assert folded.verdict().ok is right, folded.verdict().examples


def test_a_partition_that_is_not_folded_is_no_success(folded: Harmed, client: redis.Redis) -> None:
    client.delete(marker_keys(folded)[0])
    found = folded.verdict()
    assert not found.ok
    assert len(found.not_folded) == 1


def test_a_sample_is_a_part_and_judged_as_all_are(folded: Harmed, client: redis.Redis) -> None:
    whole, part = folded.verdict(), folded.verdict(one_in=3)
    assert part.ok
    assert 0 < part.entities < whole.entities
    assert part.events == whole.events
    for key in state_keys(folded):
        client.delete(key)
    assert folded.verdict(one_in=3).differences == part.entities


def test_a_declaration_that_nobody_has_folded_is_said(folded: Harmed) -> None:
    changed = replace(cast("Window", folded.pipeline.views[0]), lateness_ms=1)
    with pytest.raises(Refused, match=r"Nothing is folded into customer as it is declared now.*features rebuild"):
        verify(folded.settings, replace(folded.pipeline, views=(changed,)))


def test_a_pipeline_without_views_has_nothing_to_verify(folded: Harmed) -> None:
    with pytest.raises(Refused, match="no views"):
        verify(folded.settings, replace(folded.pipeline, views=()))


@pytest.mark.parametrize("kind", ["fraud", "fraud-labels"])
def test_workers_that_go_on_meanwhile_are_no_difference(
    new_rig: NewRig, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "BATCH", 100)
    rig = new_rig(kind, flush_every_s=0.05)
    rig.produce(500)
    rig.member("a-0")
    wait_for("the beginning to be committed", rig.done)
    verdicts: list[Verdict] = []

    def more_is_folded() -> bool:
        verdicts.append(rig.verdict())
        return len(verdicts) >= 6 and verdicts[-1].events > verdicts[0].events

    with rig.load():
        wait_for("verdicts while more is folded", more_is_folded, within_s=60)
    assert [v.examples for v in verdicts if not v.ok] == []
    rig.members[0].end()
