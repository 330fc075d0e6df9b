"""Spans of batches: their parts, their links, and that nothing of it is there when nobody asks for it."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.errors import Fatal
from app.pipelines.fraud import FRAUD
from app.record import Headers, Record
from app.stream.answers import Noted
from app.stream.measures import Facts, Times
from app.telemetry.spans import LINKS, Spans, spans_to

TRACE = "0af7651916cd43dd8448eb211c80319c"


def record(i: int, headers: Headers | None = None) -> Record:
    return Record("payments", i % 2, i, 0, b"596", b"{}", headers)


def traced(i: int) -> Record:
    return record(i, [("other", b"x"), ("traceparent", f"00-{TRACE}-{i + 1:016x}-01".encode())])


def drawn(records: list[Record], *, scored: bool = True) -> list[ReadableSpan]:
    noted = Noted(3.0, 4.0, []) if scored else None
    exporter = InMemorySpanExporter()
    spans = Spans(FRAUD, "fraud.here-0", exporter)
    spans.draw(Times(Facts(records, 0, noted, 1.0, 2.0, 5.0), begun=6.0, committed=7.5))
    spans.close()
    return list(exporter.get_finished_spans())


def seconds(span: ReadableSpan) -> float:
    assert span.start_time is not None
    assert span.end_time is not None
    return round((span.end_time - span.start_time) / 1e9, 6)


def test_a_batch_is_a_span_and_its_steps_are_its_children() -> None:
    *steps, batch = drawn([record(0), record(1), record(3)])

    assert [(step.name, seconds(step)) for step in steps] == [
        ("load", 1.0), ("features", 1.0), ("score", 1.0), ("encode", 1.0), ("commit", 1.5),
    ]  # fmt: skip
    assert (batch.name, seconds(batch), batch.parent) == ("process payments", 6.5, None)
    assert {step.parent.span_id for step in steps if step.parent is not None} == {batch.context.span_id}
    assert batch.attributes is not None
    assert batch.attributes["messaging.system"] == "kafka"
    assert batch.attributes["messaging.batch.message_count"] == 3
    assert batch.attributes["messaging.consumer.group.name"] == "fraud"
    assert batch.attributes["streaminfer.partitions"] == (0, 1)


def test_a_batch_without_an_event_has_no_score() -> None:
    assert [span.name for span in drawn([record(0)], scored=False)] == ["load", "encode", "commit", "process payments"]


def test_times_are_the_clocks() -> None:
    now = time.perf_counter()
    exporter = InMemorySpanExporter()
    spans = Spans(FRAUD, "fraud.here-0", exporter)
    spans.draw(Times(Facts([record(0)], 0, None, now, now, now), begun=now, committed=now))
    spans.close()

    ended = exporter.get_finished_spans()[-1].end_time
    assert ended is not None
    assert abs(ended / 1e9 - time.time()) < 1.0


def test_a_batch_links_to_the_traces_of_its_records_each_once_and_not_to_all_of_many() -> None:
    links = drawn([traced(1), record(2), traced(1), traced(2)])[-1].links
    assert [(f"{link.context.trace_id:032x}", link.context.span_id) for link in links] == [(TRACE, 2), (TRACE, 3)]

    assert len(drawn([traced(i) for i in range(512)])[-1].links) == LINKS
    greedy = [header for i in range(512) for header in traced(i).headers or ()]
    assert len(drawn([record(0, greedy)])[-1].links) == LINKS


@pytest.mark.parametrize(
    "value",
    [b"", None, b"nonsense", b"00-" + b"0" * 32 + b"-0000000000000001-01", b"ff-" + TRACE.encode() + b"-01-01"],
)
def test_what_is_no_trace_is_no_link(value: bytes | None) -> None:
    assert drawn([record(0, [("traceparent", value)])])[-1].links == ()


class _Stuck(SpanExporter):
    """A collector that takes for ever."""

    def export(self, spans: object) -> SpanExportResult:  # noqa: ARG002 - the base's
        time.sleep(30)
        return SpanExportResult.FAILURE


def test_a_collector_that_hangs_keeps_no_worker_from_leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.telemetry.spans.LEAVE_S", 0.1)
    spans = Spans(FRAUD, "fraud.here-0", _Stuck())
    spans.draw(Times(Facts([record(0)], 0, None, 1.0, 2.0, 5.0), begun=6.0, committed=7.5))
    began = time.monotonic()
    spans.close()

    assert time.monotonic() - began < 10.0


@pytest.fixture
def _not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)


@pytest.mark.usefixtures("_not_installed")
def test_who_wants_spans_and_has_no_packages_is_told_what_to_install() -> None:
    with pytest.raises(Fatal, match=r"pip install 'streaminfer\[otel\]'"):
        spans_to("http://127.0.0.1:4318/v1/traces", FRAUD, "fraud.here-0")


def test_nothing_of_it_is_imported_where_nobody_asks_for_spans() -> None:
    ours = ("app.telemetry.spans", "opentelemetry.sdk.trace", "opentelemetry.exporter")  # redis-py has others in view
    program = f"import sys, app.stream.process; print([name for name in {ours!r} if name in sys.modules])"

    assert subprocess.check_output([sys.executable, "-c", program]) == b"[]\n"
