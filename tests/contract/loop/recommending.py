"""The rig of the recommendation pipeline: a small ranker, people who meet its items, and a plain recount."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import Any

from confluent_kafka import Producer

from app.features.history import History
from app.pipeline import Pipeline
from app.pipelines.recommendation import RECOMMENDATION
from tests.contract.loop.rig import PARTITIONS, Rig, delivered, source_of
from tests.unit.inference.small_rankers import ITEMS, by_hand

RECOMMENDING = "recommendation-"
KEEP = 12
DAY_MS = 86_400_000


def recommendation_of(tag: str) -> Pipeline:
    """The recommendation pipeline on topics and a group of its own, with short histories and the small model."""
    return replace(
        RECOMMENDATION,
        name=f"{RECOMMENDING}{tag}",
        source=replace(RECOMMENDATION.source, name=f"interactions-{tag}"),
        answers=replace(RECOMMENDATION.answering, name=f"recommendations-{tag}"),
        views=(History("history", item="item_id", keep=KEEP, within_ms=30 * DAY_MS, lateness_ms=DAY_MS),),
        model="small",
        partitions=PARTITIONS,
    )


@dataclass
class RecommendingRig(Rig):
    """One recommendation pipeline's world on the suite's servers."""

    def produce(self, count: int, *, poison: bool = True) -> None:
        """Interactions, some late, some with items that the model does not know, and one record in fifty that is none.

        None is later than the lateness allows.
        """
        producer = Producer(
            {"bootstrap.servers": self.settings.kafka, "partitioner": "murmur2_random", "enable.idempotence": True}
        )
        draw = self._random
        for _ in range(count):
            self.clock_ms += draw.randrange(0, 2) * draw.randrange(0, DAY_MS // 8)
            user = str(draw.randrange(self.customers))
            event = {
                "interaction_id": str(self.sent),
                "user_id": user,
                "item_id": draw.choice(ITEMS) if draw.random() < 0.9 else f"new-{draw.randrange(5)}",
                "time_ms": self.clock_ms - (draw.randrange(DAY_MS) if draw.random() < 0.05 else 0),
            }
            value: bytes | None = json.dumps(event, separators=(",", ":")).encode()
            if poison and draw.random() < 0.02:
                value = draw.choice([b"{", b"", None, b"\xff\xfe", b'{"interaction_id":1}'])
            producer.produce(self.pipeline.source.name, value, user, on_delivery=delivered)
            self.sent += 1
            producer.poll(0)
        producer.flush(30)

    def check(self) -> None:
        """Each record answered once, letters byte for byte, and items and scores as a plain recount has them."""
        inputs = {(m.partition(), m.offset()): m for m in self.read(self.pipeline.source.name)}
        assert len(inputs) == self.sent
        answers: Counter[tuple[int, int]] = Counter()
        found: dict[tuple[int, int], dict[str, Any]] = {}
        for message in self.read(self.pipeline.answering.name):
            answers[source := source_of(message)] += 1
            found[source] = json.loads(message.value())
        for message in self.read(self.pipeline.dead_letters):
            answers[source := source_of(message)] += 1
            assert (message.value(), message.key()) == (inputs[source].value(), inputs[source].key())
        assert answers == Counter(dict.fromkeys(inputs, 1))
        self._recount_rankings(inputs, found)

    def _recount_rankings(
        self, inputs: dict[tuple[int, int], Any], found: dict[tuple[int, int], dict[str, Any]]
    ) -> None:
        met: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for source in sorted(found):
            event, answer = json.loads(inputs[source].value()), found[source]
            mine, now = met[event["user_id"]], event["time_ms"]
            late = any(at > now for at, _ in mine)
            mine.append((now, event["item_id"]))
            inside = [item for at, item in sorted(mine, key=lambda one: one[0]) if now - 30 * DAY_MS < at <= now]
            history = inside[-KEEP:]
            items, scores = by_hand(history)
            given = [(item["item_id"], item["score"]) for item in answer["items"]]
            assert given == list(zip(items, scores, strict=True)), (source, history)
            known = [item in ITEMS for item in history]
            marks = (["late"] if late else []) + (["unknown"] if any(known) and not all(known) else [])
            assert answer["marks"] == marks + ([] if any(known) else ["defaulted"]), (source, history)
            assert (answer["event_id"], answer["user_id"]) == (event["interaction_id"], event["user_id"])
