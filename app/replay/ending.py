"""How a replay ends: what came of it, and what of it is removed."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import redis
from confluent_kafka import Message

from app.errors import Refused, Unavailable
from app.features.rebuild import forget
from app.features.store import Store, connected
from app.replay.fence import fence_of, held, me, owner_of
from app.replay.group import Group
from app.replay.log import Log, Span
from app.replay.old import of_replay
from app.replay.plan import Plan
from app.replay.plans import Plans, Result, Standing, State, now_ms
from app.settings import Settings
from app.stream.topics import Topics

PATIENCE_S = 20.0
AGAIN_S = 20.0  # for the owner to end once it is told to, and for the sessions of its workers after that


class _Marked(msgspec.Struct):
    marks: list[str] = []


def result_of(settings: Settings, plan: Plan, *, seconds: float, turn: Callable[[], None]) -> Result:
    """What a replay that is done has answered: its own records on its topics, counted by reading them.

    `turn` is called now and then: it takes a while.
    """
    digests: dict[int, Any] = {}
    marked: Counter[str] = Counter()
    answered = 0
    with contextlib.closing(Log(settings, plan.scored.group, patience_s=PATIENCE_S)) as log:
        for messages in log.scan(plan.target, _all(log, plan.target)):
            turn()
            for message in messages:
                if of_replay(message) != plan.id:
                    continue
                answered += 1
                value: Any = message.value()
                digests.setdefault(message.partition() or 0, hashlib.blake2b(digest_size=16)).update(value or b"")
                marked.update(_marks(message))
        letters = sum(map(len, log.scan(plan.dead_letters, _all(log, plan.dead_letters))))
    whole = hashlib.blake2b(digest_size=16)
    for partition in sorted(digests):
        whole.update(b"%d/" % partition + digests[partition].digest())
    return Result(now_ms(), answered, letters, dict(sorted(marked.items())), round(seconds, 3), whole.hexdigest())


def _all(log: Log, topic: str) -> dict[int, Span]:
    partitions = log.partitions(topic)
    starts, ends = log.starts(topic, partitions), log.ends(topic, partitions, settled=False)
    return {p: Span(starts[p], ends[p]) for p in partitions}


def _marks(message: Message) -> list[str]:
    value: Any = message.value()
    with contextlib.suppress(ValueError):
        return msgspec.json.decode(value or b"", type=_Marked).marks
    return []


def forget_state(client: redis.Redis, plan: Plan) -> int:
    """Unlink what the replay's loops keep in Redis. Gives how many keys there were."""
    return sum(forget(Store(client, part.group)) for part in plan.parts)


def pause(settings: Settings, plan_id: str, *, patience_s: float, again_s: float) -> State:
    """Ask the owner to end in good order, and wait until it has. Gives the state that the replay is in then.

    Raises Refused where nobody runs it, Unavailable where it does not end within `patience_s`.
    """
    plans = Plans(settings)
    state = plans.find(plan_id).standing.state
    if (who := owner_of(settings, plan_id)) is None:
        raise Refused(f"The replay {plan_id} does not run: it is {'stopped' if state == 'running' else state}.")
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        plans.wish(plan_id, "pause")  # again: one that was only starting may not have heard
        until = time.monotonic() + again_s
        while time.monotonic() < until:
            if owner_of(settings, plan_id) is None:
                ended = plans.find(plan_id).standing.state
                return "stopped" if ended == "running" else ended
            time.sleep(0.2)
    raise Unavailable(f"{who} has not ended the replay {plan_id} within {patience_s:.0f} s; its log says why.")


@dataclass(frozen=True)
class Cancelled:
    """What was removed."""

    topics: tuple[str, ...]
    groups: tuple[str, ...]
    keys: int


def cancel(settings: Settings, plan_id: str, *, waiting: Callable[[str], None] = lambda _: None) -> Cancelled:
    """End a replay for good: its topics, groups and state go. May be run again where it was cut short.

    Raises Refused for one that is done: its answers are somebody's by now.
    """
    plans = Plans(settings)
    kept = plans.find(plan_id)
    plan = kept.plan
    if kept.standing.state == "done":
        raise Refused(
            f"The replay {plan_id} is done, and its answers on {plan.target} may be in use: nothing is removed. Delete "
            "the topic by Kafka's own tools if you do not need it."
        )
    plans.wish(plan_id, "cancel")
    with held(settings, plan_id, wait_s=AGAIN_S * 3, waiting=waiting), plans.owner(plan_id) as owner:
        owner.tell(Standing("cancelling", now_ms(), me(), seconds=kept.standing.seconds))
        groups = tuple(part.group for part in plan.parts)
        for name in groups:
            _delete_group(settings, name)
        Topics(settings).delete(plan.makes)
        with connected(settings, least_s=5.0) as client:
            keys = forget_state(client, plan)
        owner.tell(Standing("cancelled", now_ms(), me(), seconds=kept.standing.seconds))
    _delete_group(settings, fence_of(plan_id))
    return Cancelled(plan.makes, groups, keys)


def _delete_group(settings: Settings, name: str) -> None:
    with contextlib.closing(Group(settings, name, patience_s=PATIENCE_S)) as group:
        group.delete(wait_s=AGAIN_S)
