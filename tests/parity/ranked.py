"""Recommendations beside those of the model alone, by the measure that the published tables use.

What counts is the answer to a person's last interaction of the training split, against what the person met in the test
split.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import Any

import msgspec

from app.inference.ranker import Ranker
from app.replay.log import Log
from app.simulate.events import interaction_events
from app.simulate.interactions import Interactions
from models.recommendation.evaluation import items_by_user, ndcg_at_10, split
from tests.parity.answers import everything


class _Item(msgspec.Struct, gc=False):
    item_id: str


class _Answer(msgspec.Struct, gc=False):
    """The fields of an answer that are looked at."""

    user_id: str
    items: list[_Item]
    marks: tuple[str, ...]


@dataclass(frozen=True)
class Ranked:
    """One pipeline's answers: how many, how many of them bear a mark, and each person's last ten items."""

    answers: int
    marked: int
    last: Mapping[str, Sequence[str]]


def write_lines(path: Path, interactions: Interactions) -> int:
    """Write the training split, a line an event, in the order of the times. Gives how many."""
    sent = split(interactions).train.in_time_order()
    with path.open("wb") as file:
        file.writelines(starmap(_line, interaction_events(sent)))
    return len(sent)


def _line(_: bytes, value: bytes) -> bytes:
    return value + b"\n"


def read_ranked(log: Log, topic: str) -> Ranked:
    """All that is committed on a topic of recommendations. A person has one partition, where the last comes last."""
    decode = msgspec.json.Decoder(_Answer).decode
    last: dict[str, list[str]] = {}
    answers = marked = 0
    for answer in map(decode, _values(log, topic)):
        answers += 1
        marked += bool(answer.marks)
        last[answer.user_id] = [item.item_id for item in answer.items]
    return Ranked(answers, marked, last)


def _values(log: Log, topic: str) -> Iterator[Any]:
    for messages in everything(log, topic):
        for message in messages:
            yield message.value()


@dataclass(frozen=True)
class Compared:
    """nDCG@10 of the published test split: offline, through the stream with whole histories, and as it is live.

    `differs`: people whose last ten items with whole histories are not those that the model ranks offline.
    """

    sent: int
    people: int
    offline: float
    whole: float
    live: float
    differs: int


def compare_ranked(interactions: Interactions, ranker: Ranker, *, whole: Ranked, live: Ranked) -> Compared:
    parts = split(interactions)
    histories = items_by_user(parts.train)
    ranked = ranker.rank(list(histories.values()))
    wanted = {user: list(one.items) for user, one in zip(histories, ranked, strict=True)}
    return Compared(
        sent=len(parts.train),
        people=len(histories),
        offline=ndcg_at_10(wanted, parts.test),
        whole=ndcg_at_10(whole.last, parts.test),
        live=ndcg_at_10(live.last, parts.test),
        differs=sum(whole.last.get(user) != items for user, items in wanted.items()),
    )
