"""A run's spans arrive at a collector, and the answers' traces are what they link to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from confluent_kafka import Producer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.contract.loop.rig import Rig, wait_for
from tests.contract.telemetry.seen import SeenRun
from tests.payments import payment

pytestmark = [pytest.mark.broker, pytest.mark.redis]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collector:
    """Takes what is sent by OTLP over HTTP."""

    def __init__(self) -> None:
        self.taken: list[ExportTraceServiceRequest] = []
        taken = self.taken

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") is None:
                    taken.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1/traces"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def names(self) -> set[str]:
        return {span.name for span in self._spans()}

    @property
    def links(self) -> set[str]:
        return {link.trace_id.hex() for span in self._spans() for link in span.links}

    def _spans(self) -> list[Any]:
        scopes = [scope for request in list(self.taken) for of in request.resource_spans for scope in of.scope_spans]
        return [span for scope in scopes for span in scope.spans]


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_each_batch_arrives_with_its_steps_and_links_to_the_traces_of_its_records(
    rig: Rig, new_run: Callable[..., SeenRun], collector: Collector
) -> None:
    run = new_run(otlp_url=collector.url)
    producer = Producer({"bootstrap.servers": rig.settings.kafka, "partitioner": "murmur2_random"})
    headers = [("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode())]
    producer.produce(rig.pipeline.source.name, payment(), b"596", headers=headers)  # type: ignore[arg-type]
    producer.flush(30)
    topic = rig.pipeline.source.name
    steps = {f"process {topic}", "load", "features", "score", "encode", "commit"}
    wait_for("the spans", lambda: collector.names >= steps, within_s=60)
    wait_for("the link", lambda: TRACE in collector.links, within_s=60)
    assert run.metric("records_total", "prediction") == 1
