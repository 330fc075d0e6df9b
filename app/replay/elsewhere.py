"""What others have brought to its planned end, for a run that goes until there and shares partitions with them.

Looks at the group and at Redis from outside, on a thread of its own.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Mapping

from app.errors import Refused, Unavailable
from app.features.store import Store, connected
from app.pipeline import Pipeline
from app.replay.group import Group
from app.replay.lag import PATIENCE_S, PartitionLag, lag_of
from app.settings import Settings

EVERY_S = 2.0


class Elsewhere:
    """Looks again and again from `start` to `stop`. `ended` has the partitions that others brought to their ends."""

    def __init__(self, look: Callable[[], frozenset[int]]) -> None:
        self.ended: frozenset[int] = frozenset()
        self._look = look
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> Elsewhere:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def _look_on(self) -> None:
        while not self._stop.wait(EVERY_S):
            # What is away is told by the run itself; this look only ends a wait.
            with contextlib.suppress(Unavailable, Refused):
                self.ended = self._look()


class OtherRuns:
    """Other runs of the pipeline: partitions that one of them owns, whose records are answered and states written."""

    def __init__(
        self, settings: Settings, pipeline: Pipeline, ends: Mapping[int, int], *, mine: Collection[str]
    ) -> None:
        """`mine` are the names of this run's own workers."""
        self._settings = settings
        self._pipeline = pipeline
        self._ends = ends
        self._mine = frozenset(mine)

    def look(self) -> frozenset[int]:
        """The partitions that are at their end now, in others' hands."""
        if not self._shares():
            return frozenset()  # and nothing is counted beside the run that is at work
        theirs = [one for one in lag_of(self._settings, self._pipeline).partitions if self._is_theirs(one)]
        answered = {one.partition: one.committed or 0 for one in theirs if self._is_answered(one)}
        client = connected(self._settings)
        try:
            return frozenset(answered) - self._unwritten(Store(client, self._pipeline.name), answered)
        finally:
            client.close()

    def _shares(self) -> bool:
        """Whether anybody else has a partition."""
        with contextlib.closing(Group(self._settings, self._pipeline.name, patience_s=PATIENCE_S)) as group:
            owners = group.owners(self._pipeline.source.name).of.values()
        return any(owner.client_id not in self._mine for owner in owners)

    def _is_theirs(self, one: PartitionLag) -> bool:
        return one.owner is not None and one.owner.client_id not in self._mine

    def _is_answered(self, one: PartitionLag) -> bool:
        """All that was there at the start. Markers of transactions at the end are read over, and never committed."""
        if one.committed is None:
            return False
        return one.committed >= self._ends.get(one.partition, 0) or (one.exact and one.lag == 0 and one.held == 0)

    def _unwritten(self, store: Store, answered: Mapping[int, int]) -> set[int]:
        """Those of them whose states in Redis are not as far as the answers."""
        partitions = sorted(answered)
        found: set[int] = set()
        for view in self._pipeline.views if partitions else ():
            markers = store.markers(view.name, partitions, self._pipeline.digest(view))
            for partition, marker in zip(partitions, markers, strict=True):
                if marker is None or marker.next < min(answered[partition], self._ends.get(partition, 0)):
                    found.add(partition)
        return found
