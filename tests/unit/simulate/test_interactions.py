"""MovieLens-100k as events: in time order, shifted by whole weeks, and gone on with where a topic ends."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np
import pytest
from confluent_kafka import murmur2

from app.contracts.compile import compile_contract
from app.errors import Refused
from app.settings import Settings
from app.simulate.events import interaction_events
from app.simulate.interactions import DAYS, EPOCH_MS, SHIFT_S, Interactions, read_interactions, recorded
from app.simulate.resume import Simulation, missing, simulation
from schemas import Interaction
from tests.interactions import MODELS, needs_movielens

pytestmark = needs_movielens


@pytest.fixture(scope="module")
def interactions() -> Interactions:
    return recorded(MODELS, 0)


def test_there_is_all_that_was_published(interactions: Interactions) -> None:
    assert len(interactions) == 100_000
    assert len(np.unique(interactions.user)) == 943
    assert len(np.unique(interactions.item)) == 1_682
    assert len(set(zip(interactions.user.tolist(), interactions.item.tolist(), strict=True))) == 100_000


def test_they_come_in_the_order_of_time_and_of_the_file_where_times_are_equal(interactions: Interactions) -> None:
    assert (np.diff(interactions.seconds) >= 0).all()
    file = read_interactions(MODELS)
    place = {pair: row for row, pair in enumerate(zip(file.user.tolist(), file.item.tolist(), strict=True))}
    rows = [place[pair] for pair in zip(interactions.user.tolist(), interactions.item.tolist(), strict=True)]
    keys = list(zip(interactions.seconds.tolist(), rows, strict=True))
    assert keys == sorted(keys)


def test_times_are_those_recorded_and_whole_weeks_more(interactions: Interactions) -> None:
    assert SHIFT_S % (7 * 86_400) == 0
    first = datetime.fromtimestamp(int(interactions.time_ms[0]) / 1000 - SHIFT_S, UTC)
    assert first == datetime(1997, 9, 20, 3, 5, 10, tzinfo=UTC)
    assert datetime.fromtimestamp(EPOCH_MS / 1000, UTC) == datetime(2017, 9, 23, tzinfo=UTC)
    assert int(interactions.seconds[0]) // 86_400 == 0
    assert int(interactions.seconds[-1]) // 86_400 == DAYS - 1


def test_an_event_is_one_of_its_contract_and_is_named_by_its_row(interactions: Interactions) -> None:
    contract = compile_contract(Interaction)
    for row, (key, value) in enumerate(islice(interaction_events(interactions, 99_990), 20), start=99_990):
        event = contract.decode(value)
        assert (event.interaction_id, event.user_id.encode()) == (str(row), key)
        assert event.item_id == str(interactions.item[row])
        assert event.time_ms == int(interactions.time_ms[row])


def test_an_event_of_the_simulation_is_known_by_its_bytes(interactions: Interactions) -> None:
    found = Simulation("interactions", interactions)
    key, value = next(interaction_events(interactions, 50_000))
    assert found.row(key, value) == 50_000
    assert found.row(b"another", value) is None
    assert found.row(key, msgspec.json.encode({"payment_id": "50000"})) is None
    assert found.row(key, value.replace(b'"50000"', b'"100000"')) is None
    assert (found.start(0), found.day(99_999)) == (0, DAYS - 1)
    with pytest.raises(Refused, match="choose one from 0 to 214"):
        found.start(DAYS)


def test_each_partition_goes_on_after_its_own_last_event(interactions: Interactions) -> None:
    last = {0: 40, 1: -1, 2: 99}
    found = list(islice(missing(Simulation("interactions", interactions), last), 300))
    rows = [int(msgspec.json.decode(event.value)["interaction_id"]) for event in found]
    events = enumerate(islice(interaction_events(interactions), 600))
    assert rows == [row for row, (key, _) in events if row > last[murmur2(key, 3)]][: len(rows)]


def test_there_is_one_recording_and_no_other_seed() -> None:
    with pytest.raises(Refused, match="recorded and not drawn") as refusal:
        recorded(MODELS, 1)
    assert refusal.value.exit_code == 2


def test_without_the_data_there_is_a_sentence_that_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="ops/setup fetches it"):
        simulation("interactions", Settings(kafka="k:1", redis="redis://r", models=tmp_path))
