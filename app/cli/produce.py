"""`produce`: events to a topic, from a file or simulated."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.connection import Home, Json, Kafka, settings
from app.cli.naming import TopicOrOwn
from app.cli.terminal import counted, note, patience, say, say_json
from app.errors import RecordError, Refused

if TYPE_CHECKING:
    from app.settings import Settings
    from app.stream.sending import Sender
    from schemas.topics import TopicContract

SHOWN = 1_000  # refused lines that are told one by one
PATIENCE_S = 10.0  # for Kafka to say what the topic holds
FLUSH_S = 10.0  # for what is on its way when Ctrl-C comes
INTERRUPTED = 130

# Its place (a line's number, or how many came before), key, value, partition (-1: by the key).
Event = tuple[int, bytes | None, bytes, int]


@dataclass
class _Done:
    """What became of the events of one command."""

    topic: str
    contract: TopicContract | None
    what: str  # a place is called so
    named: str  # the topic, as the command line named it
    sent: int = 0
    refused: int = 0  # here, by the contract
    failed: int = 0  # by Kafka
    seconds: float = 0.0
    interrupted: bool = False

    def refuse(self, place: int, why: str) -> None:
        self.refused += 1
        self._note(place, why)

    def fail(self, place: int, why: str) -> None:
        self.failed += 1
        self._note(place, f"Kafka does not take it ({why}).")

    def _note(self, place: int, why: str) -> None:
        told = self.refused + self.failed
        if told <= SHOWN:
            note(f"{self.what} {place}: {why}")
        if told == SHOWN:
            note(f"More than {SHOWN} were refused; the others are only counted.")

    def tell(self, *, as_json: bool) -> None:
        if as_json:
            say_json(
                {"topic": self.topic, "sent": self.sent, "refused": self.refused, "failed": self.failed}
                | {"seconds": round(self.seconds, 3)}
            )
            return
        stopped = "Stopped: " if self.interrupted else ""
        speed = f", {self.sent / self.seconds:,.0f} a second" if self.sent and self.seconds > 0 else ""
        say(f"{stopped}{counted(self.sent, 'event')} sent to {self.topic} in {self.seconds:.1f} s{speed}.")
        if self.refused:
            say(f"{counted(self.refused, 'line')} refused: not an event of {self.topic}; the reasons are above.")
        if self.failed:
            say(f"{counted(self.failed, 'event')} not taken by Kafka; the reasons are above.")

    def exit_code(self, wanted: int | None) -> int:
        if self.interrupted:
            return INTERRUPTED
        if self.failed:
            return 3
        return 1 if self.refused or (wanted is not None and self.sent < wanted) else 0


def add_to(cli: typer.Typer) -> None:
    cli.command("produce")(produce)


def produce(
    topic: TopicOrOwn,
    file: Annotated[
        str | None,
        typer.Option("--file", metavar="FILE", help="JSON lines; F.gz is unpacked, - is standard input (default)."),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Send lines as they are, whatever is in them.")] = False,
    simulate: Annotated[bool, typer.Option("--simulate", help="Send the topic's own simulated events.")] = False,
    count: Annotated[int | None, typer.Option("--count", min=0, help="Simulated events to send now.")] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", min=0, help="Stop after so long.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Which simulation. Default: 0.")] = None,
    start_day: Annotated[
        int | None, typer.Option("--start-day", min=0, help="Where to start a topic that has none yet. Default: 0.")
    ] = None,
    drift: Annotated[
        int | None,
        typer.Option("--drift", metavar="DAY", min=0, help="Amounts grow and terminals turn bad from this day on."),
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", min=0.001, help="Events a second. Default: as fast as it goes.")
    ] = None,
    kafka: Kafka = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Send events to a topic: JSON lines, or the topic's own simulated events.

    Each line is checked against the topic's contract, keyed by it, and sent as it is. A line that is no event is
    refused with its number and the reason, the others are sent, and the exit code is 1.

    With --simulate it goes on where the topic ends, so that a run that was killed can be run again: every simulated
    event is there exactly once. Seed and day of --drift belong to the simulation: give them again to go on with it.

    Exits with 1 where a line was refused or there were fewer simulated events than asked for, with 3 where Kafka did
    not take an event, and with 130 after Ctrl-C, when it has told how many were sent.

    \b
    Examples:
      streaminfer produce payments --simulate --count 20000
      streaminfer produce payments --simulate --rate 1000 --seconds 60
      streaminfer produce payments --simulate --drift 40
      streaminfer produce interactions --simulate --count 20000
      streaminfer produce payments --file payments.jsonl.gz
      streaminfer produce shop/pipeline.py:pipeline --file shop/events.jsonl
      echo 'not json' | streaminfer produce payments --raw
    """
    simulated = {"--count": count, "--seconds": seconds, "--seed": seed, "--start-day": start_day, "--drift": drift}
    if simulate:
        _refuse({"--file": file, "--raw": raw or None}, "does not go with --simulate")
    else:
        _refuse(simulated, "goes with --simulate only")
    name, contract = _meant(topic)
    where = settings(kafka=kafka, home=home, needs="kafka")
    done = _Done(name, contract, "event" if simulate else "line", topic)
    with contextlib.ExitStack() as held:
        with patience(f"Looking at {name}"):
            sender = _sender(where, done, simulated=simulate, raw=raw, prompt=rate is not None)
            if simulate:
                _alone(held, where, name)
                events = _simulated(where, name, seed or 0, start_day=start_day, drift=drift)
            else:
                events = _read(file or "-", done, raw=raw)
        _send(sender, events, done, rate=rate, count=count, seconds=seconds)
    done.tell(as_json=as_json)
    if count is not None and done.sent < count and not done.interrupted:
        note(f"The simulation ends there: {counted(count, 'event')} were asked for.")
    raise typer.Exit(done.exit_code(count))


def _refuse(flags: Mapping[str, object], why: str) -> None:
    for name, value in flags.items():
        if value is not None:
            raise Refused(f"{name} {why}.", exit_code=2)


def _meant(topic: str) -> tuple[str, TopicContract | None]:
    """A topic's name and its contract, if it has one. A pipeline in a file of its own stands for its input."""
    from app.pipelines import own, pipeline_named
    from schemas.topics import TOPICS

    if own.is_reference(topic):
        source = pipeline_named(topic).source
        return source.name, source
    return topic, TOPICS.get(topic)


def _alone(held: contextlib.ExitStack, where: Settings, topic: str) -> None:
    """Two that go on with one simulation would each send the same events. Raises Refused for the second."""
    from app.stream.slot import instance

    try:
        held.enter_context(instance(where.kafka, f"simulate.{topic}", "only"))
    except Refused:
        raise Refused(
            f"Another `produce {topic} --simulate` runs on this machine: wait for its end, for both would send the "
            "same events."
        ) from None


def _sender(where: Settings, done: _Done, *, simulated: bool, raw: bool, prompt: bool) -> Sender:
    """Raises Refused for a topic that is not there, or that this kind of events cannot be sent to."""
    from app.contracts.lines import LARGEST
    from app.simulate.resume import SIMULATED
    from app.stream.sending import Sender
    from app.stream.topics import Topics, refuse_missing
    from schemas.topics import TOPICS

    topic = done.topic
    if simulated and topic not in SIMULATED:
        raise Refused(f"The topic {topic} has no simulation; {', '.join(SIMULATED)} have.", exit_code=2)
    if not simulated and not raw and done.contract is None:
        raise Refused(
            f"The topic {topic} has no contract to check lines by; {', '.join(TOPICS)} have. "
            "A pipeline of your own stands for its input: path/to/file.py:variable. --raw sends lines as they are.",
            exit_code=2,
        )
    topics = Topics(where)
    refuse_missing(topics.missing([topic]), of=done.named)
    return Sender(where, topic, largest=LARGEST, batch=topics.largest(topic), prompt=prompt, failed=done.fail)


def _read(file: str, done: _Done, *, raw: bool) -> Iterator[Event]:
    from app.contracts import lines

    contract = done.contract
    if file == "-" and sys.stdin.isatty():
        note("Reading JSON lines from this terminal; Ctrl-D ends them.")
    with lines.opened(file) as found:
        numbered = lines.raw(found, contract) if raw or contract is None else lines.checked(found, contract)
        for number, key, value in numbered:
            if isinstance(value, RecordError):
                done.refuse(number, value.reason)
            else:
                yield number, key, value, -1


def _simulated(where: Settings, topic: str, seed: int, *, start_day: int | None, drift: int | None) -> Iterator[Event]:
    from app.replay.log import Log
    from app.simulate.resume import going_on, simulation

    simulated = simulation(topic, where, seed=seed, drift=drift)
    with contextlib.closing(Log(where, "streaminfer-produce", patience_s=PATIENCE_S)) as log:
        missing = going_on(simulated, log, topic, start_day=start_day)
    return ((place, event.key, event.value, event.partition) for place, event in enumerate(missing, start=1))


def _send(sender: Sender, events: Iterator[Event], done: _Done, **pace: float | None) -> None:
    from app.stream.sending import Pace

    if pace["rate"] is not None:
        sender.settle()
    started = time.monotonic()
    try:
        with patience(f"Sending to {done.topic}", lambda: counted(sender.sent, "event")):
            sender.send_all(events, Pace(**pace))
            sender.finish()
    except KeyboardInterrupt:
        done.interrupted = True
        sender.finish(FLUSH_S)
    done.sent, done.seconds = sender.sent, time.monotonic() - started
