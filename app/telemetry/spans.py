"""A span for each committed batch, by OpenTelemetry, where settings say where to.

The room is imported only then; who sets nothing needs none of the packages. A span follows the conventions for
messaging: the batch is the consumer's, and links to the traces that its records bear, for it has many parents.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from app.errors import Fatal
from app.record import Record
from app.stream.measures import Times

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

    from app.pipeline import Pipeline

LINKS = 32  # of one span at most
LEAVE_S = 3.0  # for what is still to be sent when a worker leaves
TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


class Spans:
    """Draws batches. Times come from `perf_counter`, and are told as the clock's."""

    def __init__(self, pipeline: Pipeline, slot: str, exporter: SpanExporter) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource = Resource({"service.name": "streaminfer", "service.instance.id": slot})
        self.provider: TracerProvider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self.provider.get_tracer("streaminfer")
        self._topic, self._group, self._slot = pipeline.source.name, pipeline.name, slot

    def draw(self, times: Times) -> None:
        """The span of one committed batch, with its steps as children."""
        from opentelemetry import trace

        facts, lag_ns = times.facts, time.time_ns() - time.perf_counter_ns()

        def ns(seconds: float) -> int:
            return int(seconds * 1e9) + lag_ns

        partitions = sorted({record.partition for record in facts.records})
        batch = self._tracer.start_span(
            f"process {self._topic}",
            context=trace.set_span_in_context(trace.INVALID_SPAN),
            kind=trace.SpanKind.CONSUMER,
            links=[trace.Link(parent) for parent in _parents(facts.records)],
            start_time=ns(facts.polled),
            attributes={
                "messaging.system": "kafka",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": self._topic,
                "messaging.consumer.group.name": self._group,
                "messaging.client.id": self._slot,
                "messaging.batch.message_count": len(facts.records),
                "streaminfer.partitions": partitions,
            },
        )
        inside = trace.set_span_in_context(batch)
        for name, begin, end in _steps(times):
            self._tracer.start_span(name, context=inside, start_time=ns(begin)).end(ns(end))
        batch.end(ns(times.committed))

    def close(self) -> None:
        """Send what is left, for a moment: a collector that is away keeps no worker from leaving."""
        last = threading.Thread(target=self.provider.shutdown, daemon=True)
        last.start()
        last.join(LEAVE_S)


def _steps(times: Times) -> Iterator[tuple[str, float, float]]:
    facts = times.facts
    yield "load", facts.polled, facts.loaded
    if facts.noted is not None:
        yield "features", facts.loaded, facts.noted.began
        yield "score", facts.noted.began, facts.noted.ended
        yield "encode", facts.noted.ended, facts.prepared
    else:
        yield "encode", facts.loaded, facts.prepared
    yield "commit", times.begun, times.committed


def _parents(records: Sequence[Record]) -> list[Any]:
    """The first few traces that records bear, each once."""
    from opentelemetry import trace

    found: dict[bytes, Any] = {}
    for record in records:
        for name, value in record.headers or ():
            if name == "traceparent" and value is not None and (parts := TRACEPARENT.fullmatch(value)):
                trace_id, span_id, flags = (int(part, 16) for part in parts.groups())
                parent = trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(flags))
                if parent.is_valid:
                    found.setdefault(value, parent)
        if len(found) >= LINKS:
            break
    return list(found.values())[:LINKS]


def spans_to(url: str, pipeline: Pipeline, slot: str) -> Spans:
    """Spans by OTLP over HTTP. Raises Fatal where the packages are missing."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return Spans(pipeline, slot, OTLPSpanExporter(endpoint=url, timeout=2))
    except ImportError as error:
        raise Fatal(
            f"otlp_url is set, and {error.name or 'a package'} is missing: install what sends spans by "
            "`pip install 'streaminfer[otel]'`, or leave otlp_url out."
        ) from error
