"""Faust on aiokafka as the monitor needs it: committed records only, topics of others never made, patience with Kafka.

Faust reads uncommitted records unless it writes transactions itself, and has no setting for that: the consumer that
it makes is told before it starts. It would also create each topic that it reads, with a number of partitions of its
own choice; and it would end where Kafka is away at start.

Nor does it go on where the group's offsets stand: a batch of `take` whose agent is cut off is acknowledged all the
same, and so its records would never be counted. It goes on where the counts end, and the group commits nothing: its
client fetches from the group's offsets before it is told where to go, and Faust passes over what lies before a record
that it has delivered. What is fetched from the beginning is counted already, and harms nothing.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, ClassVar

import aiokafka
from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

AGAIN_S = 1.0
SOUGHT_EXIT = 75
COMMITTED = "read_committed"


class CommittedThread(driver.AIOKafkaConsumerThread):
    """The thread of the consumer."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        if not hasattr(consumer, "_isolation_level"):
            raise RuntimeError("this aiokafka keeps its isolation level elsewhere: aborted records would be read")
        consumer._isolation_level = COMMITTED  # it is handed on when the consumer starts
        return consumer

    async def on_start(self) -> None:
        await _started(self, super().on_start, lambda: self._consumer)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:  # noqa: ARG002 - Faust's own signature
        """Nothing: the counts carry how far they go."""
        return True


class CommittedConsumer(driver.Consumer):
    """The consumer, in the app's own thread. It is placed once: a rebalance later ends the process, to be restarted."""

    sought = False

    def _new_consumer_thread(self) -> CommittedThread:
        return CommittedThread(self, loop=self.loop, beacon=self.beacon)

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        super().resume_partitions({tp for tp in tps if not self.transport.is_held(tp.topic)})  # type: ignore[attr-defined]

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """To what follows what is counted, of a partition that is not counted yet to its beginning."""
        counted = self.transport.counted()  # type: ignore[attr-defined]
        if self.sought and counted:
            # What was fetched before may be delivered after the seek: a part would be passed over, and never counted.
            os._exit(SOUGHT_EXIT)
        self.sought = True
        places = {tp for tp in self.assignment() if not self._is_changelog_tp(tp)}
        unknown = [tp for tp in places if tp not in counted]
        found = dict(await self.earliest_offsets(*unknown)) if unknown else {}
        found |= {tp: counted[tp] for tp in places if tp in counted}
        await self.seek_wait({tp: offset or 0 for tp, offset in found.items()})
        return {tp: offset or 0 for tp, offset in found.items()}


class OwnProducer(driver.Producer):
    """Writes and makes the monitor's own topics; is patient with a Kafka that is away at start."""

    async def on_start(self) -> None:
        await _started(self, super().on_start, lambda: self._producer)

    async def create_topic(self, topic: str, partitions: int, replication: int, **options: Any) -> None:
        if self.transport.is_own(topic):  # type: ignore[attr-defined]
            await super().create_topic(topic, partitions, replication, **options)


class CommittedTransport(driver.Transport):
    """`is_own` tells which topics may be made, `counted` what comes next, `is_held` which
    topics are not read yet; `away` is told what Kafka does not do."""

    Consumer: ClassVar[Any] = CommittedConsumer
    Producer: ClassVar[Any] = OwnProducer
    is_own: Callable[[str], bool] = staticmethod(lambda _: False)
    counted: Callable[[], Mapping[tuple[str, int], int]] = staticmethod(dict)
    is_held: Callable[[str], bool] = staticmethod(lambda _: False)
    away: Callable[[str], None] = staticmethod(lambda _: None)


async def _started(service: Any, start: Callable[[], Awaitable[None]], client: Callable[[], Any]) -> None:
    """Start a service of Faust once Kafka answers. `client` is what it has made so far, which is given up then."""
    while not service.should_stop:
        try:
            return await start()
        except KafkaError as error:
            _away(service.transport, error)
            if (made := client()) is not None:
                await made.stop()
            await service.sleep(AGAIN_S)
    return None


def _away(transport: Any, error: KafkaError) -> None:
    transport.away(type(error).__name__)
