"""What a running replay looks at beside itself: how far it is, what it lacks, and whom it is in the way of.

On a thread of its own, for Kafka may take its time to answer; what does not answer now is asked again.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Mapping

from app.contracts.admission import Admission
from app.errors import RecordError, StreamInferError
from app.features.pace import tell
from app.features.store import Store, connected
from app.pipeline import Pipeline
from app.record import record_of
from app.replay.group import Group
from app.replay.log import Log, Span
from app.replay.plan import Part, Plan
from app.settings import Settings

log = logging.getLogger(__name__)

EVERY_S = 0.5
PATIENCE_S = 10.0
SETTLE_S = 0.2
LOOK = 50  # records from a partition's offset on that are searched for one with an event time
CALM = 0.5  # of the lag that makes a replay hold still: below it, it goes on


class Watching:
    """`committed` is what each group of the replay has committed; `yielding` why it must hold still, if it must.

    `lost` says what retention has deleted of the records that are still to be answered.
    """

    def __init__(self, settings: Settings, plan: Plan, pipelines: Mapping[str, Pipeline]) -> None:
        self._settings = settings
        self._plan = plan
        self._pipelines = pipelines
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.committed: dict[str, dict[int, int]] = {}
        self.yielding = ""
        self.lost = ""
        self.turned = time.monotonic()

    def start(self) -> None:
        """Look once, so that those who look something up are waited for from the first event on; then go on."""
        with contextlib.ExitStack() as stack:
            _Looks(self._settings, self._plan, self._pipelines, stack).tell_standing({})
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(PATIENCE_S * 3)

    def _run(self) -> None:
        with contextlib.ExitStack() as stack:
            looks = _Looks(self._settings, self._plan, self._pipelines, stack)
            while not self._stopping.wait(EVERY_S):
                try:
                    self.committed = {part.group: looks.committed(part) for part in self._plan.parts}
                    looks.tell_standing(self.committed[self._plan.scored.group])
                    self.lost = self.lost or looks.lost(self.committed)
                    self.yielding = looks.yielding(before=self.yielding)
                    self.turned = time.monotonic()
                except StreamInferError as error:
                    log.debug("A look at the replay did not succeed: %s", error, extra={"event": "look-failed"})


class _Looks:
    """The questions, and the clients that they are asked with."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        pipelines: Mapping[str, Pipeline],
        stack: contextlib.ExitStack,
    ) -> None:
        self._plan = plan
        self._log = stack.enter_context(
            contextlib.closing(Log(settings, plan.scored.group, patience_s=PATIENCE_S, few=True))
        )

        def group(name: str) -> Group:
            return stack.enter_context(contextlib.closing(Group(settings, name, patience_s=PATIENCE_S)))

        self._own = {part.group: group(part.group) for part in plan.parts}
        # A replay into the live topic holds the live group still: nobody is in anybody's way.
        live = [(plan.name, plan.inputs.topic), *((part.pipeline, part.topic) for part in plan.beside)]
        self._live = [(group(name), topic) for name, topic in live] if not plan.into_live else []
        self._stores = []
        if plan.beside:
            client = stack.enter_context(connected(settings, least_s=5.0))
            for part in plan.beside:
                views = [view.name for view in pipelines[part.group].views]
                self._stores.append((Store(client, part.group), views))
        self._admission = Admission(pipelines[plan.scored.group])
        self._admission.width = len(plan.scored.partitions)
        self._stood: dict[int, tuple[int, int]] = {}

    def committed(self, part: Part) -> dict[int, int]:
        found = self._own[part.group].committed(part.topic, list(part.partitions), settle_s=SETTLE_S)
        return {p: part.partitions[p].start if offset is None else offset for p, offset in found.items()}

    def tell_standing(self, committed: Mapping[int, int]) -> None:
        """Say to the pipelines beside at which event time each partition stands, also while no worker lives to say it.

        What they keep is pruned by how far they are, so they must not run ahead of answers that are still to come.
        """
        if not self._stores:
            return
        now = time.monotonic()
        needs = {p: (time_ms, now) for p, time_ms in self._standing(committed).items() if time_ms}
        for store, views in self._stores:
            for view in views:
                tell(store, view, "plan", needs, set(needs))
                self._forget(store, view, set(self._plan.scored.partitions) - set(needs))

    def _forget(self, store: Store, view: str, ended: set[int]) -> None:
        if ended:
            tell(store, view, "plan", dict.fromkeys(ended, (0, 0.0)), set())

    def _standing(self, committed: Mapping[int, int]) -> dict[int, int | None]:
        """By partition the time of the first event that is not answered; without those at their end."""
        found: dict[int, int | None] = {}
        moved: dict[int, Span] = {}
        for partition, stretch in self._plan.scored.partitions.items():
            at = committed.get(partition, stretch.start)
            if at >= stretch.end:
                continue
            known = self._stood.get(partition)
            if at <= stretch.start:
                found[partition] = stretch.first_ms
            elif known is not None and known[0] == at:
                found[partition] = known[1]
            else:
                moved[partition] = Span(at, min(stretch.end, at + LOOK))
        times = self._first_times(moved)
        for partition, span in moved.items():
            time_ms = times.get(partition, self._stood.get(partition, (0, 0))[1])
            self._stood[partition] = span.start, time_ms
            found[partition] = time_ms
        return found

    def _first_times(self, spans: Mapping[int, Span]) -> dict[int, int]:
        """The time of the first event of each, all read at once; without those that have none."""
        topic, found = self._plan.scored.topic, dict[int, int]()
        for messages in self._log.scan(topic, spans) if spans else ():
            for message in messages:
                record = record_of(topic, message)
                if record.partition not in found:
                    event = self._admission.admit(record)
                    if not isinstance(event, RecordError):
                        found[record.partition] = event.time_ms
        return found

    def lost(self, committed: Mapping[str, Mapping[int, int]]) -> str:
        """What is deleted of the records that are still to be read, in a sentence; empty where nothing is."""
        for part in self._plan.parts:
            starts = self._log.starts(part.topic, list(part.partitions))
            for p, stretch in part.partitions.items():
                at = committed[part.group][p]
                if at < min(starts[p], stretch.end):
                    return (
                        f"The offsets {at} to {min(starts[p], stretch.end) - 1} of {part.topic}/{p} were deleted by "
                        "its retention before they were read."
                    )
        return ""

    def yielding(self, *, before: str) -> str:
        """Why the replay must hold still: a live pipeline that runs lags by more than was agreed on."""
        most = self._plan.yield_at * (CALM if before else 1.0)
        for group, topic in self._live:
            if not group.members():
                continue
            partitions = self._log.partitions(topic)
            ends = self._log.ends(topic, partitions, settled=True)
            at = group.committed(topic, partitions, settle_s=SETTLE_S)
            lag = sum(ends[p] - offset for p in partitions if (offset := at[p]) is not None)
            if lag > most:
                calm = int(self._plan.yield_at * CALM)
                return f"{group.name} lags by {lag:,} records; the replay goes on when that is {calm:,}"
        return ""
