"""What the page is told, said once: `GET /api/seen` is a Seen, `GET /api/predictions/...` a PredictionSeen.

`GET /api/live` sends a Seen each second, as server-sent events named `seen`. Times are milliseconds since 1970, UTC;
shares are 0 to 1; None is "not known", which is never the same as 0. Every text that came in on a topic (ids, keys,
marks, reasons, owners) is a stranger's: it is data, to be shown as text. May import pydantic and the wire's alerts.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.alerts import MonitorAlert

PipelineState = Literal["scoring", "caught-up", "behind", "stopped", "waiting", "unknown"]
DriftState = Literal["steady", "moving", "drifted", "too-few", "no-reference"]


class _Seen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="null")


class SourceSeen(_Seen):
    """One topic that the monitor reads. What is malformed was put there by a stranger: counted, and else ignored."""

    topic: str
    there: bool = Field(description="False: Kafka has no such topic yet, and the monitor waits for it.")
    read: int = Field(description="Records counted so far.")
    malformed: int
    newest_ms: int | None = Field(description="When Kafka took the newest record that was read.")


class MonitorSeen(_Seen):
    """The monitor itself."""

    started_ms: int
    kafka: Literal["connected", "away"]
    said: str = Field(description="A sentence: how the monitor does, and what to do where something is missing.")
    sources: list[SourceSeen]
    kept_share: float = Field(description="The share of unalarming predictions that is kept for their outcomes.")
    kept: int = Field(description="Predictions that are kept now.")


class ModelSeen(_Seen):
    """A model that answered, as `name@version`."""

    ref: str
    predictions: int


class PointSeen(_Seen):
    """Ten seconds of Kafka's clock. The newest point is not over yet."""

    at_ms: int = Field(description="When the ten seconds began.")
    predictions: int
    dead_letters: int
    inexact: int = Field(description="Predictions with a mark: something they stand on was late, stale or missing.")
    p50_ms: float | None = Field(description="From Kafka taking the event to Kafka taking the answer; None: not known.")
    p99_ms: float | None


class LatencySeen(_Seen):
    """How late answers are: from Kafka taking the event to Kafka taking its answer, over the newest minute with any.

    Known for events that came in while the monitor ran. Beside it how long the model's process took (`scored-at`).
    """

    count: int
    p50_ms: float | None
    p99_ms: float | None
    scored_p50_ms: float | None = Field(description="From Kafka taking the event to the header scored-at.")


class PartitionSeen(_Seen):
    """One partition of a pipeline's input. `owner` None: nobody owns it, so nothing there is scored."""

    partition: int
    committed: int | None
    end: int
    lag: int
    exact: bool = Field(description="False: the lag is no more than this.")
    seconds_behind_event: float | None
    seconds_behind_append: float | None
    owner: str | None
    host: str | None
    held: int = Field(description="Offsets that an open transaction of a producer keeps back.")
    held_seconds: float | None


class LagSeen(_Seen):
    """What is committed and not scored yet, as `streaminfer lag` measures it every two seconds."""

    measured_ms: int | None
    said: str = Field(description="A sentence: how far behind, and what keeps it; or why it is not known.")
    lag: int | None
    exact: bool
    seconds_behind_event: float | None
    seconds_behind_append: float | None
    rebalancing: bool
    partitions: list[PartitionSeen]


class BinsSeen(_Seen):
    """A distribution over bins: `edges` has one number fewer than `shares`; the outer bins are open, each bin ends at
    its edge, which belongs to it. `reference` are the shares in training; None where the manifest has none."""

    edges: list[float]
    shares: list[float]
    reference: list[float] | None


class DriftSeen(_Seen):
    """A feature, or the score, over the newest `days` of event time against the training reference.

    `psi` is the population stability index: below 0.1 steady, from 0.2 on drifted, between them moving.
    """

    name: str
    state: DriftState
    psi: float | None
    count: int
    mean: float | None
    reference_mean: float | None
    bins: BinsSeen | None


class ChangeSeen(_Seen):
    """The newest change of the mean score that ADWIN found since the monitor was started."""

    found_ms: int
    event_time_ms: int
    before: float
    after: float


class ScoresSeen(_Seen):
    """The scores of the newest `days` of event time."""

    days: int
    drift: DriftSeen
    threshold: float | None
    alerts: int
    passes: int
    alert_share: float | None
    change: ChangeSeen | None


class CalibrationSeen(_Seen):
    """Predictions of one bin of scores: what was said on average, and which share turned out to be so."""

    low: float
    high: float
    weight: float = Field(description="Predictions that these stand for.")
    mean_score: float
    positive_share: float


class DaySeen(_Seen):
    """Quality of the predictions of one day of event time (UTC), as far as outcomes have come in.

    All alerts are joined with their outcomes, and of the others `kept_share`, weighted back: counts are estimates.
    None where there is nothing to divide by.
    """

    day: str = Field(description="YYYY-MM-DD.")
    labelled: int = Field(description="Kept predictions that have an outcome.")
    waiting: int = Field(description="Kept predictions that have none yet.")
    positives: float
    precision: float | None
    recall: float | None
    average_precision: float | None
    mean_score: float | None
    positive_share: float | None
    calibration: list[CalibrationSeen]


class LabelsSeen(_Seen):
    """Outcomes as they came."""

    topic: str
    read: int
    joined: int
    without_prediction: int = Field(description="Of the kept share: an outcome, and no prediction. Not weighted back.")
    twice: int = Field(description="Of kept predictions: an outcome came again; the first one counts.")
    too_late: int = Field(description="Known weeks after the event, be it years: its prediction is not kept so long.")
    malformed: int


class HitsSeen(_Seen):
    """Recommendations of one day of event time: whether the person's next item was among them."""

    day: str
    followed: int = Field(description="Recommendations whose person met another item later.")
    hits: int
    rate: float | None


class MarkSeen(_Seen):
    """What could not be exact, over all that was read: stale, behind, late, missing (`defaulted`), out of range, ..."""

    mark: str
    count: int
    share: float


class DeadSeen(_Seen):
    """Dead letters of one reason. `reason` and `source` are of the newest of them."""

    stage: str
    code: str
    count: int
    last_ms: int
    reason: str
    source: str


class PipelineSeen(_Seen):
    """One pipeline. What it does not have is None or empty: a fold-only one has no answers, a ranker no scores."""

    name: str
    kind: Literal["score", "ranker", "fold"]
    source: str
    answers: str | None
    dead_letters: str
    state: PipelineState
    said: str = Field(description="One sentence for somebody who is on call: is it scoring, how late, what to do.")
    predictions: int
    dead: int
    models: list[ModelSeen]
    rate_s: float = Field(description="Predictions a second over the newest ten seconds that are over.")
    points: list[PointSeen] = Field(description="The newest half hour, the oldest first; ten seconds without any too.")
    latency: LatencySeen | None
    lag: LagSeen
    scores: ScoresSeen | None
    drift: list[DriftSeen] = Field(description="Of the features, the most drifted first; not known ones last.")
    drift_days: int
    drift_said: str = Field(description="A sentence: what is compared with what, or why nothing is.")
    quality: list[DaySeen] = Field(description="The oldest day first.")
    labels: LabelsSeen | None
    hits: list[HitsSeen] = Field(description="The oldest day first; empty where it does not recommend.")
    marks: list[MarkSeen] = Field(description="The most frequent first.")
    dead_by_reason: list[DeadSeen] = Field(description="The most frequent first.")
    newest: list[str] = Field(description="Ids of the newest alerts (of a ranker: answers), to look one up.")


class Seen(_Seen):
    """The whole snapshot."""

    at_ms: int = Field(description="When it was taken, by the monitor's clock: older than five seconds is stale.")
    monitor: MonitorSeen
    pipelines: list[PipelineSeen]
    alerts: list[MonitorAlert] = Field(
        description="Raised ones first, then the newest cleared ones; at most 100. An alert that cleared is one entry."
    )


class FeatureSeen(_Seen):
    """One input of the model, as it was computed; `reference_mean` is its mean in training."""

    name: str
    value: float
    reference_mean: float | None


class HeldSeen(_Seen):
    """Where some of the inputs come from: of the event itself, of a folded view, or of a lookup; and what it held."""

    name: str = Field(description="event, or the view's or lookup's name.")
    kind: Literal["event", "view", "lookup"]
    entity: str | None = Field(description="Whose it is, such as the customer's id.")
    features: list[FeatureSeen]


class PredictionSeen(_Seen):
    """One prediction in full. `value` is what is on the topic; `outcome` is what became of it, where that is known."""

    pipeline: str
    id: str
    event_id: str
    topic: str
    partition: int
    offset: int
    appended_ms: int
    key: str | None
    headers: dict[str, str]
    model: str
    marks: list[str]
    held: list[HeldSeen]
    value: dict[str, Any]
    outcome: Literal["positive", "negative"] | None


class NotThere(_Seen):
    """The body of a 404, and of a 401."""

    said: str
