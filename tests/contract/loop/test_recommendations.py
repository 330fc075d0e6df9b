"""Recommendations through a real Kafka and Redis: each right, each once, also where a worker is killed."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import Settings
from app.stream.observe import Step
from app.stream.process import FATAL
from tests.contract.loop.recommending import RecommendingRig, recommendation_of
from tests.unit.inference.small_rankers import write_ranker

pytestmark = [pytest.mark.broker, pytest.mark.redis]


@pytest.fixture
def rig(kafka: str, redis_url: str, tmp_path: Path) -> Iterator[RecommendingRig]:
    models = write_ranker(tmp_path / "models").parents[1]
    tag = uuid.uuid4().hex[:8]
    settings = Settings(
        kafka=kafka,
        redis=redis_url,
        models=models,
        flush_every_s=0.2,
        batch_records=100,
        dead_letter_limit=1.0,  # interactions are bad at random
    )
    rig = RecommendingRig(tag, settings, recommendation_of(tag))
    rig.make_topics()
    yield rig
    rig.stop()


@pytest.mark.parametrize("step", [Step.PREPARED, Step.COMMITTED, Step.FLUSHING])
def test_every_interaction_is_answered_once_with_the_items_of_a_recount_though_a_worker_is_killed(
    rig: RecommendingRig, step: Step
) -> None:
    rig.produce(3000)
    killed = rig.member(step=step, nth=2 if step is Step.FLUSHING else 9)
    assert killed.wait() == -signal.SIGKILL, killed.log
    rig.produce(500)
    rig.finish()
    rig.check()


def test_a_model_that_is_not_there_ends_the_worker_with_what_to_run(rig: RecommendingRig) -> None:
    rig.produce(10)
    (rig.settings.models / "small").rename(rig.settings.models / "other")
    member = rig.member()
    assert member.wait() == FATAL, member.log
    assert "There is no version of a model small" in member.fatal
    assert "ops/setup" in member.fatal
