"""Recommendations as they go out: what the wire says, what odd histories get, and bytes that do not move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from app.errors import Refused
from app.features.held import Held
from app.features.history import History
from app.features.marker import Marker
from app.features.memory import Memory, Owned
from app.features.store import Store, connect
from app.inference.ranker import Ranker, Ranking, load_ranker
from app.pipeline import Pipeline
from app.pipelines.fraud import FRAUD
from app.pipelines.recommendation import KEPT, RECOMMENDATION, YEAR_MS
from app.record import Output, Record
from app.stream.processor import Processor
from schemas import Recommendation
from schemas.headers import PREDICTION_HEADERS
from tests.interactions import NOON_MS, interaction, record
from tests.unit.inference.small_rankers import FEATURES, ITEMS, by_hand, write_ranker


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> Ranker:
    return load_ranker(write_ranker(tmp_path_factory.mktemp("models")), FEATURES)


def processor(ranker: Any, pipeline: Pipeline = RECOMMENDATION) -> Processor:
    store = Store(connect("redis://127.0.0.1:1/0"), pipeline.name)  # which is never asked
    made = Processor(pipeline, cast("Ranker", ranker), Memory(pipeline, store))
    for partition in range(6):
        marker = Marker("topic-1", 6, "b", "d", since=0, next=0)
        made.memory.owned[partition] = Owned(tuple(Held(v, partition, store, marker) for v in pipeline.views), 0)
    return made


def answered(made: Processor, records: Sequence[Record]) -> list[Output]:
    admitted, refused = made.admit(records)
    for one in admitted:
        for held in made.memory.owned[one.partition].held:
            if one.entity not in held.states:
                held.take(one.entity, None)
    return made.answer(admitted, refused)


def recommendation(output: Output) -> Recommendation:
    assert output.topic == "recommendations", dict(output.headers)
    assert output.value is not None
    return Recommendation.model_validate_json(output.value)


def met(items: Sequence[str], *, step_ms: int = 1000) -> list[Record]:
    """One person's interactions with these items, one after the other."""
    return [record(interaction(i, item=item, time_ms=NOON_MS + i * step_ms), offset=i) for i, item in enumerate(items)]


def test_a_recommendation_is_what_the_wire_says_field_by_field_in_order(ranker: Ranker) -> None:
    (output,) = answered(processor(ranker), [record(interaction(7, item="i3"), offset=0)])
    items, scores = by_hand(["i3"])
    told = ",".join(f'{{"item_id":"{item}","score":{score!r}}}' for item, score in zip(items, scores, strict=True))
    assert (
        output.value
        == (
            f'{{"id":"{recommendation(output).id}","event_id":"7","user_id":"12","time_ms":{NOON_MS},"items":[{told}],'
            '"model":{"name":"small","version":1},"marks":[]}'
        ).encode()
    )
    assert output.key == b"12"
    assert [name for name, _ in output.headers] == [header.name for header in PREDICTION_HEADERS][:4]
    assert dict(output.headers)["model"] == b"small@1"


def test_each_answer_is_of_the_history_up_to_it_the_interaction_included(ranker: Ranker) -> None:
    items = ["i1", "i5", "i1", "i9"]
    found = [recommendation(output) for output in answered(processor(ranker), met(items))]
    for i, answer in enumerate(found):
        assert tuple(item.item_id for item in answer.items) == by_hand(items[: i + 1])[0]
        assert tuple(item.score for item in answer.items) == by_hand(items[: i + 1])[1]
        assert answer.marks == []


def test_a_person_of_whom_the_model_knows_no_item_gets_what_most_met_and_a_mark(ranker: Ranker) -> None:
    (output,) = answered(processor(ranker), met(["new"]))
    answer = recommendation(output)
    assert tuple(item.item_id for item in answer.items) == by_hand([])[0]
    assert answer.marks == ["defaulted"]


def test_an_item_that_the_model_does_not_know_is_left_out_and_the_answer_marked(ranker: Ranker) -> None:
    found = [recommendation(output) for output in answered(processor(ranker), met(["i1", "new", "i2"]))]
    assert [answer.marks for answer in found] == [[], ["unknown"], ["unknown"]]
    assert tuple(item.item_id for item in found[2].items) == by_hand(["i1", "i2"])[0]


def test_a_person_who_met_all_gets_no_items(ranker: Ranker) -> None:
    answer = recommendation(answered(processor(ranker), met(ITEMS))[-1])
    assert (answer.items, answer.marks) == ([], [])


def test_a_history_longer_than_kept_is_forgotten_from_its_start(ranker: Ranker) -> None:
    three = History("history", item="item_id", keep=3, within_ms=YEAR_MS)
    pipeline = replace(RECOMMENDATION, views=(three,))
    found = answered(processor(ranker, pipeline), met(["i1", "i2", "i3", "i4"]))
    assert tuple(item.item_id for item in recommendation(found[-1]).items) == by_hand(["i2", "i3", "i4"])[0]


def test_what_was_met_a_year_ago_is_forgotten(ranker: Ranker) -> None:
    values = [interaction(i, item=f"i{i}", time_ms=NOON_MS - YEAR_MS + when) for i, when in enumerate((0, 1, YEAR_MS))]
    found = answered(processor(ranker), [record(value, offset=i) for i, value in enumerate(values)])
    assert tuple(item.item_id for item in recommendation(found[2]).items) == by_hand(["i1", "i2"])[0]


def test_a_late_interaction_is_answered_as_of_its_time_and_marked(ranker: Ranker) -> None:
    records = met(["i1", "i2"], step_ms=-1000)
    found = [recommendation(output) for output in answered(processor(ranker), records)]
    assert tuple(item.item_id for item in found[1].items) == by_hand(["i2"])[0]
    assert found[1].marks == ["late"]


def test_a_recommendation_s_bytes_do_not_know_who_else_is_in_its_batch(ranker: Ranker) -> None:
    values = [
        (str(i % 7), interaction(i, user=str(i % 7), item=f"i{(i * 13) % 44}", time_ms=NOON_MS + i)) for i in range(200)
    ]
    records = [record(value, offset=i, user=user) for i, (user, value) in enumerate(values)]

    def bytes_of(batch: int, made: Processor) -> list[bytes | None]:
        parts = [answered(made, records[first : first + batch]) for first in range(0, 200, batch)]
        return [output.value for part in parts for output in part]

    once = bytes_of(200, processor(ranker))
    for batch in (1, 2, 3, 64):
        assert bytes_of(batch, processor(ranker)) == once
    alone = [one for one in records if one.key == b"3"]
    assert [o.value for o in answered(processor(ranker), alone)] == once[3::7]


class Failing(Ranker):
    """Fails where a history has a bad item."""

    def rank(self, histories: Sequence[Sequence[str]]) -> list[Ranking]:
        if any("bad" in history for history in histories):
            raise RuntimeError("hush-7b1e")
        return super().rank(histories)


@pytest.mark.parametrize("bad", [{0}, {63}, {5, 6}, set(range(64))], ids=["first", "last", "neighbours", "all"])
def test_a_record_that_the_model_fails_on_is_the_only_one_that_is_lost(ranker: Ranker, bad: set[int]) -> None:
    failing = Failing(ranker.manifest, ranker.items, ranker._index, ranker._session)
    values = [interaction(i, user=str(i), item="bad" if i in bad else f"i{i % 40}") for i in range(64)]
    records = [record(value, offset=i, user=str(i)) for i, value in enumerate(values)]
    outputs = answered(processor(failing), records)
    good = [i for i in range(64) if i not in bad]
    assert [int(recommendation(o).event_id) for o in outputs if o.topic == "recommendations"] == good
    letters = [o for o in outputs if o.topic == "interactions.dead"]
    assert [o.value for o in letters] == [values[i] for i in sorted(bad)]
    for letter in letters:
        told = dict(letter.headers)
        assert (told["stage"], told["code"]) == (b"score", b"no-score")
        assert b"hush" not in b"".join(value or b"" for _, value in letter.headers)


def test_answers_of_another_kind_than_the_contract_are_refused(ranker: Ranker) -> None:
    with pytest.raises(Refused, match=r"payments\.scored have the fields .*score.* but the model small@1 .*items"):
        processor(ranker, replace(RECOMMENDATION, source=FRAUD.source, views=(), answers=FRAUD.answers))


def test_what_the_pipeline_keeps_is_what_its_text_says() -> None:
    (view,) = RECOMMENDATION.views
    assert (view.within_ms, KEPT) == (YEAR_MS, 500)
    assert RECOMMENDATION.features == FEATURES
    assert RECOMMENDATION.carried == ("user_id",)
