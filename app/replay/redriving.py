"""One redrive: who may, what it would do, a worker's process that does it, and what became of each letter.

There is one redrive of a pipeline at a time. Its transactional ids are always the same, so that whoever begins fences
whoever was there; and nobody begins while the group has members. What it has done is read from the log, so a redrive
that is killed is gone on with by the next.

`python -m app.replay.redriving SELECTION` is the worker's process; the job is told as app/stream/process.py says.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from app.errors import Fatal, Refused, Unavailable
from app.features.asof import AsOf, AsOfReader
from app.features.memory import Owned
from app.features.reader import Reader
from app.features.rebuild import slices
from app.features.recorded import Recorded
from app.features.store import Store, connected
from app.features.tables import reader_of
from app.inference.load import load
from app.inference.serving import serving
from app.pipeline import Pipeline
from app.record import Output, Record
from app.replay.answered import Answered
from app.replay.elsewhere import Elsewhere
from app.replay.group import Group
from app.replay.letters import Letter, attempt_of
from app.replay.redrive import Recollection, RedriveGuard, Redriver, Selection
from app.settings import Settings, consumer_config, producer_config
from app.stream.build import keeping
from app.stream.committer import Committer
from app.stream.feed import Feed
from app.stream.limits import Limits
from app.stream.observe import Observer, Step, nobody
from app.stream.process import main as run_job
from app.stream.pulse import Note, Pulse
from app.stream.quota import Quota
from app.stream.supervisor import Supervisor
from app.stream.suspects import Verdict
from app.stream.transaction import Transactions
from app.stream.worker import Worker

PATIENCE_S = 10.0
GRACE_S = 2.0  # beyond a session, for a member that was killed to be missed
BATCH = 512
Kind = tuple[str, str]  # stage and code


class Order(msgspec.Struct, frozen=True):
    """What a worker's process is told of its redrive."""

    selection: Selection
    rate: float | None = None


@dataclass
class Outcome:
    """What became of the letters that were selected and left, or would become of them.

    `parked` counts among the `refused`; `cannot` are letters of any time that nobody can try again, by problem.
    """

    due: int = 0
    answered: int = 0
    refused: Counter[Kind] = field(default_factory=Counter)
    reasons: dict[Kind, str] = field(default_factory=dict)
    parked: int = 0
    left: int = 0
    cannot: Counter[str] = field(default_factory=Counter)
    already_parked: int = 0

    def again(self, kind: Kind, reason: str, *, parked: bool) -> None:
        self.refused[kind] += 1
        self.reasons.setdefault(kind, reason)
        self.parked += parked


def group_of(pipeline: Pipeline) -> str:
    """The group of its redrives, and what their transactional ids begin with."""
    return f"{pipeline.name}.redrive"


def refuse_fold_only(pipeline: Pipeline) -> None:
    """Raises Refused where there is nothing to answer."""
    if pipeline.fold_only:
        raise Refused(
            f"The pipeline {pipeline.name} answers nothing, so its letters cannot be answered: mend its contract or "
            f"whoever sends such records, and `streaminfer features rebuild` folds what is an event by then."
        )


def select(answered: Answered, selection: Selection) -> tuple[list[Letter], Outcome]:
    """The letters that are selected and left, and an outcome that counts what is left alone."""
    found, outcome = [], Outcome()
    for letter in answered:
        if not selection.takes(letter):
            continue
        match answered.state(letter):
            case "open":
                found.append(letter)
            case "cannot":
                outcome.cannot[answered.trouble(letter)] += 1
            case "parked":
                outcome.already_parked += 1
    outcome.due = len(found)
    return found, outcome


def judge(answered: Answered, due: Iterable[Letter], outcome: Outcome) -> Outcome:
    """What became of these letters, by what `answered` has read since."""
    for letter in due:
        match answered.state(letter):
            case "answered":
                outcome.answered += 1
            case "again":
                latest = answered.latest[letter.source]
                outcome.again(latest.kind, latest.reason, parked=latest.attempt >= answered.pipeline.attempts)
            case _:
                outcome.left += 1
    return outcome


# -- what would become of them ----------------------------------------------------------------------------------------


def rehearse(settings: Settings, answered: Answered, selection: Selection, told: Callable[[int], None]) -> Outcome:
    """Try the letters again and write nothing. `told` is told how many were tried.

    Raises Unavailable where Redis does not answer, Fatal where the state or the model is not as it must be.
    """
    _, outcome = select(answered, selection)
    pipeline = answered.pipeline
    redriver = _redriver(settings, answered, Order(selection), bounds=answered.bounds)
    redriver.is_stale = False
    due = filter(redriver.is_due, answered.records())
    for records in slices(due, BATCH):
        for output in _tried(redriver, records):
            if output.topic != pipeline.dead_letters:
                outcome.answered += 1
                continue
            words = {name: (value or b"").decode(errors="replace") for name, value in output.headers}
            parked = attempt_of(output.headers) >= pipeline.attempts
            outcome.again((words["stage"], words["code"]), words["reason"], parked=parked)
        told(outcome.answered + sum(outcome.refused.values()))
    return outcome


def _tried(redriver: Redriver, records: Iterable[Record]) -> list[Output]:
    admitted, refused = redriver.admit(list(records))
    memory = redriver.memory
    memory.owned |= {event.partition: Owned((), 0) for event in admitted}
    loaded = memory.load(admitted)
    if loaded.why:
        raise Unavailable(loaded.why)
    return redriver.answer(admitted, refused)


# -- the one that may -------------------------------------------------------------------------------------------------


def begin(settings: Settings, answered: Answered) -> None:
    """Set the group back to the first letter: what was left out by an earlier redrive is looked at again.

    Raises Refused where another redrive is at work. One that was killed is a member of the group until its session
    ends, and that is waited for.
    """
    pipeline = answered.pipeline
    deadline = time.monotonic() + settings.session_timeout_ms / 1000 + GRACE_S
    with contextlib.closing(Group(settings, group_of(pipeline), patience_s=PATIENCE_S)) as group:
        while members := group.members():
            if time.monotonic() > deadline:
                raise Refused(
                    f"Another redrive of {pipeline.name} is at work ({', '.join(sorted(members)[:3])}): wait for it, "
                    "or end it first. What it has answered is not answered again."
                )
            time.sleep(0.1)
        group.set(pipeline.dead_letters, answered.starts())  # which Kafka refuses where there are members by now


@contextlib.contextmanager
def supervised(
    settings: Settings, answered: Answered, order: Order, *, reference: str, tell: Callable[[dict[str, Any]], None]
) -> Iterator[Supervisor]:
    """Who runs the worker's process, and starts it again where it dies. `reference` is how it finds the pipeline.

    Should two have begun at once, they share the letters' partitions, and each ends when the other's are at their end
    too: their fence speaks at a commit only, which who has nothing to answer never makes.
    """
    quiet = {
        "static_members": False,  # whoever has finished must not be taken for one that is still at work
        "dead_letter_limit": 1.0,  # letters are what it reads
        "observe": "off",
        "otlp_url": None,
    }
    with Elsewhere(partial(looked_at, settings, answered, answered.last())) as elsewhere:
        yield Supervisor(
            settings.model_copy(update=quiet),
            group_of(answered.pipeline),
            instance="only",
            workers=1,
            ends=answered.bounds,
            tell=tell,
            command=(sys.executable, "-m", "app.replay.redriving", msgspec.json.encode(order).decode()),
            reference=reference,
            elsewhere=lambda: elsewhere.ended,
        )


def looked_at(settings: Settings, answered: Answered, last: Mapping[int, int]) -> frozenset[int]:
    """Partitions whose last letters are committed, by whomever; none while one redrive alone has them all."""
    topic = answered.pipeline.dead_letters
    with contextlib.closing(Group(settings, group_of(answered.pipeline), patience_s=PATIENCE_S)) as group:
        if len({owner.member_id for owner in group.owners(topic).of.values()}) < 2:
            return frozenset()
        committed = group.committed(topic, list(answered.bounds))
    return frozenset(p for p, offset in committed.items() if offset is not None and offset > last.get(p, -1))


# -- the worker -------------------------------------------------------------------------------------------------------


def build_redrive(
    settings: Settings,
    pipeline: Pipeline,
    *,
    slot: str,
    order: Order,
    ends: Mapping[int, int] | None = None,
    pulse: Pulse | None = None,
    verdict: Verdict | None = None,
    observe: Observer = nobody,
    **_: object,
) -> Worker:
    """A worker over the letters, ready to run; as app/stream/build.py makes one over events, for which the rest is."""
    pulse = pulse or Pulse(Note())
    answered = Answered(settings, pipeline)
    answered.look(pulse.beat)
    redriver = _redriver(settings, answered, order, bounds=ends or answered.bounds)

    def seen(step: Step) -> None:
        redriver.is_stale = redriver.is_stale or step is Step.RECOVERED
        observe(step)

    transactions = Transactions(
        producer_config(settings, slot=slot, max_record_bytes=pipeline.max_record_bytes),
        slot=slot,
        topic=pipeline.dead_letters,
        deadline_s=settings.commit_deadline_s,
        observe=observe,
    )
    config = consumer_config(settings, group=group_of(pipeline), slot=slot)
    batch = settings.batch_records if order.rate is None else min(settings.batch_records, max(1, int(order.rate)))
    return Worker(
        lambda worker: Feed(config, pipeline.dead_letters, worker),
        Committer(transactions, limit_s=2 * settings.commit_deadline_s),
        RedriveGuard(redriver, pulse=pulse, quota=Quota(settings.dead_letter_limit), verdict=verdict),
        limits=Limits(batch_records=batch, accept_incomplete=True),
        observe=seen,
        ends=ends,
    )


def _redriver(settings: Settings, answered: Answered, order: Order, *, bounds: Mapping[int, int]) -> Redriver:
    pipeline = keeping(answered.pipeline, settings)
    if pipeline.model is None:
        raise Fatal(f"The pipeline {pipeline.name} answers nothing.")
    model = load(serving(pipeline, settings.models, settings.versions), pipeline.features)
    store = Store(connected(settings), pipeline.name)
    memory = Recollection(
        pipeline, store, topic_id=answered.address.topic_id, readers=list(_readers(settings, pipeline, store))
    )
    return Redriver(pipeline, model, memory, answered, selection=order.selection, bounds=bounds, rate=order.rate)


def _readers(settings: Settings, pipeline: Pipeline, store: Store) -> Iterator[Reader]:
    """Readers that make nobody wait, and tell nobody where they stand: the live pipeline's word is its own."""
    rows = settings.lookup_rows_in_memory
    for lookup in pipeline.lookups:
        if isinstance(lookup, AsOf):
            yield AsOfReader(lookup, store, behind="mark", wait_s=0.0, rows=rows)
        elif not isinstance(lookup, Recorded):  # which only replays have
            yield reader_of(lookup, store, most=rows)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group, and is the supervisor's to answer
    told = msgspec.convert(json.loads(sys.argv[1]), Order)
    sys.exit(run_job(build=partial(build_redrive, order=told)))
