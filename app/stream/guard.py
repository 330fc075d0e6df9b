"""What stands between the loop and the processor, so that no record stops the stream.

A record that kills or hangs the process is found by scoring one by one what the process died of, and is answered with
a dead letter (protocol A6). A record whose answer Kafka refuses gets a letter, and if that is refused too, a stub of
it. And no more than the limit of all become letters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.contracts.admission import Admitted
from app.errors import RecordError, Stage
from app.features.memory import Memory
from app.record import Output, Record
from app.stream.answers import Noted, Refusal
from app.stream.letters import source_of, stub
from app.stream.processor import Processor
from app.stream.pulse import Pulse
from app.stream.quota import Quota
from app.stream.suspects import Range, Verdict
from app.stream.transaction import Undelivered

KILLS = RecordError(Stage.SCORE, "kills-worker", "The worker died or hung each time that it scored this record.")


class Guard:
    """Answers records as the processor does, and in place of it where it must not or cannot.

    `verdict` is what the supervisor has learnt from earlier processes' deaths.
    """

    def __init__(self, processor: Processor, *, pulse: Pulse, quota: Quota, verdict: Verdict | None = None) -> None:
        self.memory: Memory = processor.memory
        self.admit = processor.admit
        self.admission = processor.admission
        self.pipeline, self.model = processor.pipeline, processor.model
        # Of the last answer: its dead letters, and what is worth counting of the others, if there are any.
        self.letters = 0
        self.noted: Noted | None = None
        self._processor = processor
        self._pulse = pulse
        self._quota = quota
        self._dead = processor.pipeline.dead_letters
        self._suspects = dict(verdict.alone) if verdict else {}
        self._condemned = set(verdict.condemned) if verdict else set()
        self._undelivered: dict[bytes, Undelivered] = {}
        self._counted: dict[int, int] = {}
        self._lettered: set[bytes] = set()

    def beat(self) -> None:
        """The loop is alive."""
        self._pulse.beat()

    def answer(self, admitted: Sequence[Admitted], refused: Sequence[Refusal]) -> list[Output]:
        """One output for each record, as Processor.answer; the events are folded into memory.

        Raises Fatal where too many of the last records are dead letters: nothing of this batch may be committed.
        """
        ranges = _ranges(admitted, refused)
        if any(p in self._suspects and first < self._suspects[p][1] for p, (first, _) in ranges.items()):
            outputs = self._one_by_one(admitted, refused)
        else:
            self._pulse.scoring(ranges)
            outputs = self._processor.answer(admitted, refused)
            self._pulse.scored()
            self.noted = self._processor.noted
        if self._undelivered:
            records = self.records(admitted, refused)
            outputs = [self._deliverable(output, records) for output in outputs]
        letters = [output for output in outputs if output.topic == self._dead]
        self.letters = len(letters)
        self._count(admitted, refused, letters, ranges)
        return outputs

    def records(self, admitted: Sequence[Admitted], refused: Sequence[Refusal]) -> dict[bytes, Record]:
        """The records that are answered, by what their answers name as their source."""
        return {e.record.source: e.record for e in admitted} | {record.source: record for record, _ in refused}

    # -- records that kill ---------------------------------------------------------------------------------------------

    def _one_by_one(self, admitted: Sequence[Admitted], refused: Sequence[Refusal]) -> list[Output]:
        outputs = self._processor.answer([], refused)
        noted: list[Noted] = []
        for event in admitted:
            if (event.partition, event.offset) in self._condemned:
                self.memory.fold_only([event])  # state counts what was admitted, as catching up does
                outputs.append(self._processor.letter(event.record, KILLS))
                continue
            self._pulse.alone(event.partition, event.offset)
            outputs += self._processor.answer([event], [])
            self._pulse.scored()
            if self._processor.noted is not None:
                noted.append(self._processor.noted)
        marked = [marks for one in noted for marks in one.marked]
        self.noted = Noted(noted[0].began, noted[-1].ended, marked) if noted else None
        return outputs

    # -- answers that Kafka refuses ------------------------------------------------------------------------------------

    def undelivered(self, refused: Sequence[Undelivered]) -> bool:
        """Kafka refused these outputs: their records are answered in another way from now on.

        False where there is no other way left for any of them.
        """
        helped = False
        for one in refused:
            source = source_of(one.output)
            before = self._undelivered.get(source)
            if before is None or before.output.topic != one.output.topic:
                self._undelivered[source] = one
                helped = True
        return helped

    def committed(self, offsets: Mapping[int, int]) -> None:
        """What lies before these offsets is answered."""
        for source in self._lettered | self._undelivered.keys():
            _, partition, offset = source.decode().rsplit("/", 2)
            if int(offset) < offsets.get(int(partition), 0):
                self._lettered.discard(source)
                self._undelivered.pop(source, None)

    def _deliverable(self, output: Output, records: Mapping[bytes, Record]) -> Output:
        source = source_of(output)
        known = self._undelivered.get(source)
        if known is None:
            return output
        if output.topic != self._dead:
            reason = f"Kafka does not take the answer to this record ({known.why})."
            output = self._processor.letter(records[source], RecordError(Stage.DELIVER, "undeliverable", reason))
        return stub(output, records[source], known.why) if known.output.topic == self._dead else output

    # -- the limit -----------------------------------------------------------------------------------------------------

    def _count(
        self,
        admitted: Sequence[Admitted],
        refused: Sequence[Refusal],
        letters: Sequence[Output],
        ranges: Mapping[int, Range],
    ) -> None:
        """Each record once and each letter once, also where a batch is answered again after an abort."""
        counted, records = self._counted, len(admitted) + len(refused)
        if any(first < counted.get(partition, 0) for partition, (first, _) in ranges.items()):
            records = sum(event.offset >= counted.get(event.partition, 0) for event in admitted)
            records += sum(record.offset >= counted.get(record.partition, 0) for record, _ in refused)
        for partition, (_, after) in ranges.items():
            counted[partition] = max(after, counted.get(partition, 0))
        letters = [letter for letter in letters if source_of(letter) not in self._lettered]
        self._lettered.update(map(source_of, letters))
        self._quota.count(records, letters)


def _ranges(admitted: Sequence[Admitted], refused: Sequence[Refusal]) -> dict[int, Range]:
    """The offsets of a batch by partition, from the first up to the next one. Records come in order."""
    last = {event.partition: event.offset for event in admitted}
    first = {event.partition: event.offset for event in reversed(admitted)}
    for record, _ in refused:
        partition, offset = record.partition, record.offset
        last[partition] = max(offset, last.get(partition, offset))
        first[partition] = min(offset, first.get(partition, offset))
    return {partition: (first[partition], offset + 1) for partition, offset in last.items()}
