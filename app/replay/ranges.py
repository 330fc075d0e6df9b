"""What a plan reads: from which offset to which, what lies before them, and what retention has deleted of it."""

from __future__ import annotations

from collections.abc import Callable

from app.errors import Refused
from app.pipeline import Pipeline
from app.replay.asked import Asked
from app.replay.bounds import shown
from app.replay.derived import read_by
from app.replay.log import Log
from app.replay.plan import Part, Stretch, group_of
from app.replay.reading import Reach, Reading, gap

DAY_MS = 86_400_000


class Ranges:
    """The parts of one plan, read from the log. `gaps` are sentences on what is deleted of what they need.

    `told` is told of every so many records that are read.
    """

    def __init__(
        self, log: Log, pipeline: Pipeline, asked: Asked, *, plan_id: str, told: Callable[[int], None]
    ) -> None:
        self._log = log
        self._pipeline = pipeline
        self._start, self._end = asked.start, asked.end
        self._folds = asked.lookups != "logged" and bool(pipeline.views)
        self._plan_id = plan_id
        self._told = told
        self.gaps: list[str] = []

    def inputs(self) -> Part:
        """What is answered. Raises Refused where there is nothing, or an offset is none of the topic's."""
        reading = Reading(self._log, self._pipeline, told=self._told)
        self._refuse_offsets(reading)
        from_ms = self._start.time_ms
        need_ms = None if from_ms is None else from_ms - self._horizon_ms(reading)
        begin = reading.starts if not self._folds and from_ms is None else None
        reach = {p: Reach(at, None) for p, at in begin.items()} if begin is not None else reading.reach(need_ms)
        stretches = reading.stretches(self._start, self._end, reach)
        if not self._folds:
            stretches = {p: _bare(stretch) for p, stretch in stretches.items()}
        if not any(stretch.start < stretch.end for stretch in stretches.values()):
            raise Refused(
                f"There is no event of {reading.topic} from {self._start.words} to {self._end.words}: "
                f"`streaminfer tail {reading.topic} --limit 5` shows what its times are like."
            )
        self._look_for_gaps(reading, reach, stretches)
        return self._part(self._pipeline, reading, stretches)

    def _horizon_ms(self, reading: Reading) -> int:
        return reading.horizon_ms if self._folds else 0

    def _refuse_offsets(self, reading: Reading) -> None:
        for flag, bound in (("--from", self._start), ("--to", self._end)):
            for partition, offset in (bound.offsets or {}).items():
                if partition not in reading.ends:
                    raise Refused(f"{flag} names partition {partition}, which {reading.topic} has not.", exit_code=2)
                if offset > reading.ends[partition]:
                    raise Refused(
                        f"{flag} names offset {offset} of {reading.topic}/{partition}, which ends at "
                        f"{reading.ends[partition]}.",
                        exit_code=2,
                    )

    def _look_for_gaps(self, reading: Reading, reach: dict[int, Reach], stretches: dict[int, Stretch]) -> None:
        for partition, offset in (self._start.offsets or {}).items():
            if offset < reading.starts[partition]:
                self.gaps.append(
                    f"The offsets {offset} to {reading.starts[partition] - 1} of {reading.topic}/{partition} were "
                    "deleted by its retention."
                )
        from_ms, horizon_ms = self._start.time_ms, self._horizon_ms(reading)
        need = {
            p: (stretch.first_ms if from_ms is None else from_ms) - horizon_ms
            for p, stretch in stretches.items()
            if (self._folds or from_ms is not None) and stretch.first_ms is not None
        }
        for p in gap(stretches, reach, need):
            back = f", {horizon_ms / DAY_MS:g} days before the first answer," if self._folds else ""
            oldest = reach[p].oldest_ms
            begins = "" if oldest is None else f", with an event of {shown(oldest)}"
            self.gaps.append(
                f"The log of {reading.topic}/{p} is needed from {shown(need[p])} on{back} and begins at offset "
                f"{reading.starts[p]}{begins}: what was before is deleted."
            )

    def beside(self, inputs: Part) -> tuple[Part, ...]:
        """What the pipelines fold again whose views are looked up."""
        firsts = [s.first_ms for s in inputs.partitions.values() if s.first_ms is not None]
        first_ms = min(firsts, default=None)
        parts = []
        for of in read_by(self._pipeline):
            reading = Reading(self._log, of, told=self._told)
            need_ms = None if first_ms is None else first_ms - reading.horizon_ms
            reach = reading.reach(need_ms)
            stretches = {
                p: Stretch(r.fold_from, r.fold_from, reading.ends[p], max(0, reading.ends[p] - r.fold_from))
                for p, r in reach.items()
            }
            for p in gap(stretches, reach, dict.fromkeys(stretches, need_ms) if need_ms is not None else {}):
                self.gaps.append(
                    f"The log of {reading.topic}/{p}, which is looked up, begins at offset {reading.starts[p]}: what "
                    f"was known before is deleted."
                )
            parts.append(self._part(of, reading, stretches))
        return tuple(parts)

    def _part(self, pipeline: Pipeline, reading: Reading, stretches: dict[int, Stretch]) -> Part:
        group = group_of(pipeline.name, self._plan_id)
        return Part(pipeline.name, group, reading.topic, reading.topic_id, stretches)


def _bare(stretch: Stretch) -> Stretch:
    """Nothing is folded before."""
    return Stretch(stretch.start, stretch.start, stretch.end, stretch.events, stretch.outside, 0, stretch.first_ms)
