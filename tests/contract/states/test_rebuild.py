"""A new build beside the old one: beside workers, after a kill, over whatever is at the marker's place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
import redis
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from app.errors import Fatal, Refused
from app.features.marker import Marker
from app.features.rebuild import Cleaned, Drafts, clean
from app.features.store import Store, connect
from app.features.window import Window
from app.pipeline import Pipeline
from app.replay import log
from app.replay import rebuild as rebuilding
from app.replay.group import Group
from app.replay.rebuild import rebuild
from app.replay.verify import verify
from tests.contract.loop.rig import DAY_MS, wait_for
from tests.contract.states.harmed import Harmed, marker_keys, state_keys

pytestmark = [pytest.mark.broker, pytest.mark.redis]
NewRig = Callable[..., Harmed]
BOTH = pytest.mark.parametrize("kind", ["fraud", "fraud-labels"])


def name(rig: Harmed) -> str:
    return rig.pipeline.views[0].name


def builds(rig: Harmed) -> set[bytes]:
    return {key.split(b"}/")[1].split(b"/")[0] for key in state_keys(rig)}


def cleaned(rig: Harmed, *, old: bool = False) -> Cleaned:
    view = rig.pipeline.views[0]
    with connect(rig.settings.redis) as client:
        return clean(Store(client, rig.pipeline.name), view.name, digest=rig.pipeline.digest(view), old=old)


class Killed(BaseException):
    """Ends a rebuild where it stands."""


@BOTH
def test_without_a_worker_the_state_is_made_anew_and_the_old_one_goes(new_rig: NewRig, kind: str) -> None:
    rig = new_rig(kind)
    rig.produce(600)
    rig.finish()
    before, keys = builds(rig), state_keys(rig)
    with redis.Redis.from_url(rig.settings.redis) as client:
        client.delete(*keys[:5])
    assert rig.verdict().differences == 5
    done = rebuild(rig.settings, rig.pipeline, name(rig))
    assert {part.before for part in done} == {build.decode() for build in before}
    assert {part.build for part in done} == {build.decode() for build in builds(rig)}
    assert len(state_keys(rig)) == len(keys)
    rig.check_all()
    rig.produce(200)
    rig.finish()
    rig.check_all()


@BOTH
def test_beside_running_workers_nothing_is_wrong_and_nothing_is_left(new_rig: NewRig, kind: str) -> None:
    rig = new_rig(kind)
    rig.produce(500)
    members = [rig.member("a-0"), rig.member("a-1")]
    wait_for("the beginning to be committed", rig.done)
    with rig.load():
        for _ in range(3):
            rebuild(rig.settings, rig.pipeline, name(rig))
    rig.customers += 20  # what must be loaded from the new build, and what is new in it
    rig.produce(300)
    wait_for("the rest to be committed", rig.done)
    assert [member.end() for member in members] == [0, 0], [member.log for member in members]
    rig.finish("a-2")
    rig.check_all()
    assert cleaned(rig) == Cleaned(0, 0, 0, 0)


@pytest.mark.parametrize("odd", [b"no marker", b"", b"[]", ["a", "list"]], ids=["text", "empty", "json", "list"])
def test_whatever_is_at_the_markers_place_is_replaced(new_rig: NewRig, odd: Any) -> None:
    rig = new_rig("fraud")
    rig.produce(300)
    rig.finish()
    key = marker_keys(rig)[0]
    with redis.Redis.from_url(rig.settings.redis) as client:
        client.delete(key)
        client.rpush(key, *odd) if isinstance(odd, list) else client.set(key, odd)
    assert rig.member("a-0").wait() == 64
    assert f"`streaminfer features rebuild {name(rig)}`" in rig.members[-1].fatal
    rebuild(rig.settings, rig.pipeline, name(rig))
    rig.produce(100)
    rig.finish("a-1")
    rig.check_all()


def test_a_rebuild_that_was_killed_goes_on_where_it_stood(new_rig: NewRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "BATCH", 50)
    monkeypatch.setattr(rebuilding, "FLUSH_S", 0.0)
    rig = new_rig("fraud-labels", entities_in_memory=1000)
    rig.produce(900)
    rig.finish()

    def kill(done: int, _: int) -> None:
        if done > 500:  # in the second partition
            raise Killed

    with pytest.raises(Killed):
        rebuild(rig.settings, rig.pipeline, name(rig), progress=kill)
    assert cleaned(rig) == Cleaned(0, 0, 0, drafts=2)  # the one that it was at, and those that were announced
    rig.verdict()
    done = rebuild(rig.settings, rig.pipeline, name(rig))
    assert done[0].events > 0.8 * done[0].next  # it was swapped before the kill, and is made anew
    assert done[1].events < 0.8 * done[1].next
    assert cleaned(rig) == Cleaned(0, 0, 0, 0)
    rig.check_all()


def test_a_swap_is_refused_where_marker_or_draft_has_moved(new_rig: NewRig) -> None:
    rig = new_rig("fraud")
    draft, serving = (Marker("topic", 3, build, "digest", since=0, next=5) for build in ("new", "old"))
    with connect(rig.settings.redis) as client:
        store = Store(client, rig.pipeline.name)
        drafts = Drafts(store, "customer", "digest")
        assert drafts.start(drafts.find(0), draft)
        place = drafts.find(0)
        assert not drafts.start(replace(place, draft=b""), draft)
        client.set(place.marker_key, serving.encode())
        assert not drafts.swap(place, draft, draft)
        place = drafts.find(0)
        client.set(place.draft_key, serving.encode())
        assert not drafts.swap(place, draft, draft)
        assert store.markers("customer", [0], "digest") == [serving]
        client.set(place.draft_key, draft.encode())
        assert drafts.swap(place, draft, draft)
        assert store.markers("customer", [0], "digest") == [draft]
        assert drafts.find(0).draft == b""


@BOTH
def test_two_rebuilds_at_once_do_no_harm(new_rig: NewRig, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "BATCH", 50)
    monkeypatch.setattr(rebuilding, "FLUSH_S", 0.0)
    rig = new_rig(kind)
    rig.produce(600)
    rig.finish()
    seconds: list[str] = []

    def second(done: int, _: int) -> None:
        if not seconds and done > 200:
            seconds.append("begun")
            rebuild(rig.settings, rig.pipeline, name(rig))

    with pytest.raises(Refused, match="Another rebuild"):
        rebuild(rig.settings, rig.pipeline, name(rig), progress=second)
    rig.check_all()
    assert cleaned(rig) == Cleaned(0, 0, 0, 0)


def test_a_changed_declaration_is_filled_beside_the_old_one_while_that_serves(new_rig: NewRig) -> None:
    rig = new_rig("fraud")
    rig.produce(500)
    member = rig.member()
    wait_for("all to be committed", rig.done)
    wider = replace(cast("Window", rig.pipeline.views[0]), spans_ms={"60d": 60 * DAY_MS}, measures=("sum",))
    changed: Pipeline = replace(rig.pipeline, views=(wider,), answers=None, event=None, model=None, lookups=())
    before = set(marker_keys(rig))
    rebuild(rig.settings, changed, name(rig))
    assert before < set(marker_keys(rig))
    rig.produce(200)
    wait_for("the rest to be committed", rig.done)
    assert "moved" not in member.log
    assert member.end() == 0
    rig.check_all()
    (verdict,) = verify(rig.settings, changed)
    assert (verdict.ok, verdict.entities) == (True, rig.entities())
    gone = cleaned(rig, old=True)
    assert (gone.markers, gone.blobs) == (rig.pipeline.partitions, rig.entities())
    rig.check_all()


def test_what_a_lost_marker_leaves_is_cleaned_and_nothing_else(new_rig: NewRig) -> None:
    rig = new_rig("fraud")
    rig.produce(300)
    member = rig.member()
    wait_for("all to be committed", rig.done)
    entities = rig.entities()
    wait_for("all to be flushed", lambda: len(state_keys(rig)) == entities)
    with redis.Redis.from_url(rig.settings.redis) as client:
        client.delete(marker_keys(rig)[0])
    rig.customers += 20  # a new one is not in memory: the worker asks Redis, and finds out
    rig.produce(300)
    wait_for("the rest to be committed", rig.done)
    assert member.end() == 0
    assert len(state_keys(rig)) > rig.entities()
    gone = cleaned(rig)
    assert (gone.builds, gone.markers, gone.drafts) == (1, 0, 0)
    assert len(state_keys(rig)) == rig.entities()
    rig.check_all()


def test_a_group_that_was_moved_back_gets_state_that_is_not_beyond_it(new_rig: NewRig) -> None:
    rig = new_rig("fraud-labels", static_members=False)
    rig.produce(300)
    rig.finish()
    group = Group(rig.settings, rig.pipeline.name, patience_s=20.0)
    group.set(rig.pipeline.source.name, {0: 10})
    assert rig.member("a-1").wait() == 64
    for command in ("offsets recover", "features rebuild"):
        assert f"`streaminfer {command}" in rig.members[-1].fatal
    done = rebuild(rig.settings, rig.pipeline, name(rig))
    assert done[0].next == 10
    assert rig.verdict().ok
    group.close()


def test_a_log_that_was_cut_short_is_refused_and_the_old_state_serves_on(new_rig: NewRig) -> None:
    rig = new_rig("fraud")
    rig.produce(600, poison=False)
    rig.finish()
    before = builds(rig)
    admin = AdminClient({"bootstrap.servers": rig.settings.kafka})
    cut = [TopicPartition(rig.pipeline.source.name, p, 50) for p in range(rig.pipeline.partitions)]
    for future in admin.delete_records(cut).values():
        future.result(20)
    with pytest.raises(Fatal, match="would count too little"):
        rebuild(rig.settings, rig.pipeline, name(rig))
    assert before < builds(rig)
    found = rig.verdict()
    assert (found.differences, found.not_folded) == (0, [])
    assert found.unjudged > 0


def test_nothing_is_folded_for_a_group_that_never_committed(new_rig: NewRig) -> None:
    rig = new_rig("fraud")
    rig.produce(10)
    with pytest.raises(Refused, match="has committed nothing"):
        rebuild(rig.settings, rig.pipeline, name(rig))
    assert state_keys(rig) == []
