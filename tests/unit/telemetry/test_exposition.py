"""What /metrics gives, as Prometheus reads it."""

from __future__ import annotations

import re

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.errors import Stage
from app.stream.measures import BOUNDS, Measure
from app.stream.report import Place, Report, Spread, Sums
from app.telemetry.exposition import Exposition
from app.telemetry.fleet import Fleet
from app.telemetry.watch import Answer, Topic
from tests.unit.telemetry.fleets import event, owned

LABELS = {
    "pipeline", "partition", "phase", "stage", "code", "mark", "reason", "how", "result", "le", "model", "version",
    "python",
}  # fmt: skip
PING = Answer(True, 0.00025, "")


def exposed(
    report: Report, kafka: Answer[Topic] | None = None, redis: Answer[bool] = PING, *, ready: bool = True
) -> str:
    fleet = Fleet()
    fleet.hear(event("worker"))
    fleet.hear(event("report", **msgspec.to_builtins(report, str_keys=True)))
    return Exposition("fraud", fleet).text(ready=ready, kafka=kafka or owned(0, 1), redis=redis).decode()


def samples(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            kind = tuple(value for name, value in sorted(sample.labels.items()) if name != "pipeline")
            found.setdefault(sample.name, {})[kind] = sample.value
    return found


FULL = Report(
    running=True,
    model="fraud@1",
    places={0: Place("live", committed=5, end=3), 1: Place("catching up", committed=7, end=7, left=3)},
    entities=12,
    dirty=3,
    rows=4,
    rss_bytes=2048,
    sums=Sums(
        predictions=10,
        committed=4,
        cpu_s=1.5,
        dead={"decode/empty": 2, "other": 1},
        marks={"late": 3},
        aborted={"timed-out": 1},
        spreads={m.value: Spread([1] * (len(b) + 1), 2.5) for m, b in BOUNDS.items()},
    ),
)


def test_every_name_has_the_prefix_a_unit_or_a_kind_and_labels_from_a_closed_list() -> None:
    for family in text_string_to_metric_families(exposed(FULL)):
        assert re.fullmatch(r"streaminfer_[a-z_]+", family.name)
        assert family.documentation.endswith(".")
        assert not re.search(r"(millis|_ms|_us|_kb|_mb)", family.name)
        for sample in family.samples:
            assert set(sample.labels) <= LABELS
            if family.type == "counter":
                assert sample.name.endswith("_total")


def test_counters_and_gauges_are_what_the_workers_told() -> None:
    found = samples(exposed(FULL))

    assert found["streaminfer_records_total"] == {("prediction",): 10, ("dead_letter",): 3, ("folded",): 0}
    assert found["streaminfer_dead_letters_total"] == {("empty", "decode"): 2, ("other", "other"): 1}
    assert found["streaminfer_marks_total"] == {("late",): 3}
    assert found["streaminfer_transactions_aborted_total"]["timed-out",] == 1
    assert found["streaminfer_transactions_aborted_total"]["group-moved-on",] == 0, "a rate needs a first value"
    assert found["streaminfer_worker_cpu_seconds_total"] == {(): 1.5}
    assert found["streaminfer_state_dirty_entities"] == {(): 3}
    assert found["streaminfer_partitions"] == {
        ("live",): 1, ("catching-up",): 1, ("pending",): 0, ("waiting",): 0,
    }  # fmt: skip
    assert found["streaminfer_model_info"] == {("fraud", "1"): 1}
    assert found["streaminfer_redis_ping_seconds"] == {(): 0.00025}


@pytest.mark.parametrize("measure", list(Measure))
def test_a_distribution_has_cumulative_buckets_a_count_and_a_sum(measure: Measure) -> None:
    found = samples(exposed(FULL))
    name = f"streaminfer_{measure.value}"
    buckets = sorted((float(bound), value) for (bound,), value in found[f"{name}_bucket"].items())

    assert [value for _, value in buckets] == list(range(1, len(BOUNDS[measure]) + 2))
    assert [bound for bound, _ in buckets] == [*BOUNDS[measure], float("inf")]
    assert found[f"{name}_count"] == {(): len(BOUNDS[measure]) + 1}
    assert found[f"{name}_sum"] == {(): 2.5}


@pytest.mark.parametrize(
    ("place", "lag"),
    [
        (Place("live", committed=5, end=3), 2),
        (Place("live", committed=5, end=7, read=True), 0),  # what lies between are markers
        (Place("live", committed=5, end=6, read=True), 2),  # there is more than was read
        (Place("live", committed=9, end=3), 0),
        (Place("pending"), None),
    ],
)
def test_lag_counts_no_markers_that_were_read_over_and_is_not_guessed(place: Place, lag: int | None) -> None:
    report = Report(running=True, places={0: place})

    assert samples(exposed(report)).get("streaminfer_partition_lag_records", {}).get(("0",)) == lag


def test_what_an_absent_service_would_have_to_say_is_left_out() -> None:
    found = samples(exposed(FULL, Answer(None, 0.0, "away"), Answer(None, 0.0, "away"), ready=False))

    assert found["streaminfer_ready"] == found["streaminfer_kafka_up"] == found["streaminfer_redis_up"] == {(): 0}
    for name in ("partition_lag_records", "partitions_unowned", "redis_ping_seconds"):
        assert f"streaminfer_{name}" not in found


def test_partitions_that_nobody_owns_are_counted() -> None:
    assert samples(exposed(FULL, owned(0, width=6)))["streaminfer_partitions_unowned"] == {(): 5}


def test_a_code_with_anything_in_it_stays_one_label() -> None:
    hostile = Report(running=True, sums=Sums(dead={'decode/a"} 1\nb': 1}))

    assert samples(exposed(hostile))["streaminfer_dead_letters_total"] == {('a"} 1\nb', "decode"): 1}


def test_stages_are_the_errors_own() -> None:
    kinds = {f"{stage.value}/x": 1 for stage in Stage}

    found = samples(exposed(Report(running=True, sums=Sums(dead=kinds))))
    assert {stage for _, stage in found["streaminfer_dead_letters_total"]} == {stage.value for stage in Stage}
