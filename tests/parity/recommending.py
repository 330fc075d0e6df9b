"""The proof over interactions: MovieLens-100k's training split through the stream, with whole histories and as live."""

from __future__ import annotations

import contextlib
import sys

from confluent_kafka.cimpl import NewTopic

from app.inference.ranker import load_ranker
from app.inference.serving import serving
from app.pipelines.recommendation import RECOMMENDATION
from app.replay.log import Log
from app.settings import Settings
from app.simulate.interactions import read_interactions
from tests.parity.ranked import compare_ranked, read_ranked, write_lines
from tests.parity.report import Report
from tests.parity.steps import Steps, bar_of
from tests.parity.whole import WHOLE
from tests.parity.world import administrator


def prove_recommendations(steps: Steps, settings: Settings, report: Report) -> None:
    """Raises Refused where the data or the model is not here, with what to run."""
    interactions = read_interactions(settings.models)
    ranker = load_ranker(serving(RECOMMENDATION, settings.models, {}), RECOMMENDATION.features)
    lines = steps.world.home / "interactions.jsonl"
    sent = write_lines(lines, interactions)
    _make_answers(settings)
    steps.command("produce", RECOMMENDATION.source.name, "--file", str(lines))
    live = steps.started(RECOMMENDATION.name, workers=1, until_end=True)
    with steps.shown.step("interactions answered, as the pipeline is live") as bar:
        steps.ended([live], bar_of(bar, live, sent))
    whole = steps.started_as(WHOLE.name, (sys.executable, "-m", "tests.parity.whole"))
    with steps.shown.step("interactions answered, with whole histories") as bar:
        steps.ended([whole], bar_of(bar, whole, sent))
    with contextlib.closing(Log(settings, "parity", patience_s=30)) as log:
        of_live, of_whole = (read_ranked(log, p.answering.name) for p in (RECOMMENDATION, WHOLE))
    report.ranked(compare_ranked(interactions, ranker, whole=of_whole, live=of_live), whole=of_whole, live=of_live)


def _make_answers(settings: Settings) -> None:
    """The one topic that `topics apply` does not know."""
    spec = next(spec for spec in WHOLE.topics() if spec.name == WHOLE.answering.name)
    topic = NewTopic(spec.name, spec.partitions, 1, config=dict(spec.config))
    admin = administrator(settings)  # named: a temporary one would cancel its own futures
    admin.create_topics([topic])[spec.name].result(30)
