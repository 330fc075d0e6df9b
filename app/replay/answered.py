"""What became of a pipeline's dead letters: which record was answered since, which was refused again, which is left.

Read from the answers and the letters themselves, and from nothing else: a crash between two of them leaves nothing to
be mended. It goes on where it stands, so that looking again costs what is new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from confluent_kafka import Message

from app.errors import Refused
from app.pipeline import Pipeline
from app.record import Record, headers_of, record_of
from app.replay.audit import source_of
from app.replay.letters import STRAYS, Address, Letter, attempt_of, is_live, is_of, read_letter
from app.replay.log import Log, Span
from app.settings import Settings

PATIENCE_S = 60.0
CLOCKS_MS = 3_600_000  # by so much the clocks of those who stamp answers and letters may differ

Progress = Callable[[int, int], None]


def _silent(done: int, total: int) -> None:
    """For those who do not watch."""


class Answered:
    """The letters of one pipeline, the latest of each record, and whether the record has an answer since.

    Exact for whoever is the only one that redrives: what an earlier one has committed is read, and a letter is left
    for a new try only while no answer and no later letter names its record. Raises Refused where a topic is not there,
    Unavailable where Kafka, or a transaction that stays open, keeps it waiting.
    """

    def __init__(self, settings: Settings, pipeline: Pipeline, *, progress: Progress = _silent) -> None:
        self.pipeline = pipeline
        self.letters: dict[bytes, list[Letter]] = {}  # by the record that they are of, each record's in the log's order
        self.strays: list[Letter] = []  # those that name no record of the pipeline
        self.answered: set[bytes] = set()
        self.latest: dict[bytes, Letter] = {}
        self._progress = progress
        self._log = Log(settings, f"{pipeline.name}.redrive", patience_s=PATIENCE_S)
        self._partitions = {topic: self._log.partitions(topic) for topic in self._topics}
        self._at: dict[str, dict[int, int]] = {}
        self._since_ms = -1  # answers before this may have been deleted
        self.address = self._address()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._log.close()

    @property
    def _topics(self) -> tuple[str, ...]:
        answers = self.pipeline.answers
        return (self.pipeline.dead_letters,) if answers is None else (self.pipeline.dead_letters, answers.name)

    def _address(self) -> Address:
        topic = self.pipeline.source.name
        topic_id, partitions = self._log.identity(topic)
        return Address(topic, topic_id, self._log.ends(topic, partitions, settled=False))

    # -- reading -----------------------------------------------------------------------------------------------------

    def look(self, beat: Callable[[], None] = lambda: None) -> None:
        """Read what is new. Letters first: who answers one of them has written it before. `beat` is called on the way.

        Waits for the transactions that are open now, so that what was committed before is seen.
        """
        self.address = self._address()
        for topic in self._topics:
            for messages in self._new(topic):
                beat()
                for message in messages:
                    self._take(topic, message)

    def _new(self, topic: str) -> Iterator[list[Message]]:
        partitions = self._partitions[topic]
        start = self._at.get(topic)
        if start is None:
            start = self._begin(topic)
        ends = self._log.ends(topic, partitions, settled=False)
        spans = {p: Span(start[p], ends[p]) for p in partitions}
        total, done = sum(map(len, spans.values())), 0
        for messages in self._log.scan(topic, spans):
            yield messages
            done += len(messages)
            self._progress(done, total)
        self._at[topic] = {p: max(start[p], ends[p]) for p in partitions}

    def _begin(self, topic: str) -> dict[int, int]:
        """Letters from the first on; answers from the first letter's time on, for they came after it.

        Where a letter does not say whose it is, another pipeline may have written it long after this one's answer.
        """
        partitions = self._partitions[topic]
        starts = self._log.starts(topic, partitions)
        if topic == self.pipeline.dead_letters:
            return starts
        self._since_ms = self._oldest(topic, starts)
        first_ms = min((letter.at_ms for of in self.letters.values() for letter in of), default=None)
        if not all(letter.signed for of in self.letters.values() for letter in of):
            return starts
        if first_ms is None:
            return self._log.ends(topic, partitions, settled=True)
        since = self._log.since(topic, partitions, first_ms - CLOCKS_MS)
        ends = self._log.ends(topic, partitions, settled=True)
        return {p: ends[p] if (at := since[p]) is None else max(at, starts[p]) for p in partitions}

    def _oldest(self, topic: str, starts: dict[int, int]) -> int:
        """From which record time on no answer was deleted; before everything where none was."""
        oldest = -1
        ends = self._log.ends(topic, list(starts), settled=True)
        cut = {p: Span(at, min(ends[p], at + 1)) for p, at in starts.items() if at > 0}
        for partition in [p for p, span in cut.items() if not len(span)]:
            raise Refused(
                f"All records of {topic}/{partition} were deleted, so nobody can tell which letters were answered: "
                "raise the topic's retention.ms, and run this again when the partition has records."
            )
        for messages in self._log.scan(topic, cut):
            oldest = max([oldest, *(message.timestamp()[1] for message in messages)])
        return oldest

    def _take(self, topic: str, message: Message) -> None:
        if topic != self.pipeline.dead_letters:
            source, headers = source_of(message), headers_of(message)
            if not is_live(headers):
                return  # a replay's answer is one of another run
            # One of a later try may answer a letter that is read next time only.
            if source in self.letters or attempt_of(headers) > 1:
                self.answered.add(source)
            return
        record = record_of(topic, message)
        if not is_of(self.pipeline, record.headers):
            return
        letter = read_letter(record, self.address)
        if letter.problem in STRAYS:
            self.strays.append(letter)
            return
        self.letters.setdefault(letter.source, []).append(letter)
        before = self.latest.get(letter.source)
        if before is None or letter.attempt > before.attempt:  # of two of the same try the first one counts
            self.latest[letter.source] = letter

    @property
    def bounds(self) -> dict[int, int]:
        """Up to where the letters are read."""
        return dict(self._at[self.pipeline.dead_letters])

    def starts(self) -> dict[int, int]:
        """The first letter of each partition that retention has left."""
        topic = self.pipeline.dead_letters
        return self._log.starts(topic, self._partitions[topic])

    def last(self) -> dict[int, int]:
        """The offset of each partition's last letter, where it has any."""
        last: dict[int, int] = {}
        for letter in self:
            last[letter.partition] = max(letter.offset, last.get(letter.partition, 0))
        return last

    # -- what is left ------------------------------------------------------------------------------------------------

    def state(self, letter: Letter) -> str:
        """`answered`, `again` (a later letter is there), `parked`, `cannot`, or `open`: what is left to be tried."""
        if letter.problem in STRAYS:
            return "cannot"
        if letter.source in self.answered:
            return "answered"
        if self.trouble(letter):
            return "cannot"
        latest = self.latest.get(letter.source)
        if latest is None or (latest.partition, latest.offset) != (letter.partition, letter.offset):
            return "again"
        return "parked" if letter.attempt >= self.pipeline.attempts else "open"

    def trouble(self, letter: Letter) -> str:
        """Why it cannot be tried again, a word of PROBLEMS; empty where it can."""
        return letter.problem or ("answers-gone" if letter.at_ms < self._since_ms else "")

    def __iter__(self) -> Iterator[Letter]:
        for of_record in self.letters.values():
            yield from of_record
        yield from self.strays

    def records(self) -> Iterator[Record]:
        """The letters of this pipeline whole, up to where `look` has read."""
        topic = self.pipeline.dead_letters
        starts = self._log.starts(topic, self._partitions[topic])
        spans = {p: Span(starts[p], self._at[topic][p]) for p in starts}
        for messages in self._log.scan(topic, spans):
            for message in messages:
                record = record_of(topic, message)
                if is_of(self.pipeline, record.headers):
                    yield record
