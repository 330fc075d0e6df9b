"""What others do with the same topic and model: a Faust agent, and a loop by hand, each with less to do than a worker.

Both are at least once: they may answer an event twice. Neither folds windows nor looks anything up: the model gets the
payment's own three features, and noughts for the others. Each is written as its documentation shows, with batches.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from confluent_kafka.cimpl import NewTopic

from app.pipelines.fraud import FRAUD
from app.settings import PROJECT
from tests.bench.ground import Ground
from tests.bench.throughput import WARM, score

EVENTS = 40_000
START = f"""
import json, os, sys, time
import numpy as np
import onnxruntime
kafka, want = sys.argv[1], int(sys.argv[2])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession({str(PROJECT / "models" / "fraud" / "1" / "model.onnx")!r}, options)
(given,), seen, began = session.get_inputs(), 0, 0.0

def scores(payments):
    rows = np.zeros((len(payments), 15), np.float32)
    for row, payment in zip(rows, payments):
        days, ms = divmod(payment["time_ms"], 86_400_000)
        row[:3] = payment["amount_cents"] / 100, (days + 3) % 7 >= 5, ms < 25_200_000
    return session.run(["probabilities"], {{given.name: rows}})[0][:, -1].tolist()

def count(more):
    global seen, began
    began = began or time.monotonic()
    seen += more
    if seen >= want:
        os.write(1, f" {{(seen - more) / (time.monotonic() - began)}}".encode())  # Faust takes what is printed
        return True
"""
FAUST = (
    START
    + """
import faust
app = faust.App("bench-faust", broker="kafka://" + kafka, store="memory://", web_enabled=False, topic_partitions=6,
                value_serializer="json", consumer_auto_offset_reset="earliest", datadir=sys.argv[3])
payments = app.topic("payments", value_serializer="json", key_serializer="raw")
answers = app.topic("scored-faust", value_serializer="json", key_serializer="raw")

@app.agent(payments)
async def score(stream):
    async for batch in stream.take(512, within=0.05):
        for payment, value in zip(batch, scores(batch)):
            answer = {"event_id": payment["payment_id"], "score": value}
            await answers.send(key=payment["customer_id"].encode(), value=answer)
        if count(len(batch)):
            os._exit(0)

faust.Worker(app, loglevel="ERROR").execute_from_commandline()
"""
)
BY_HAND = (
    START
    + """
from confluent_kafka import Consumer, Producer
consumer = Consumer({"bootstrap.servers": kafka, "group.id": "bench-hand", "enable.auto.commit": False,
                     "auto.offset.reset": "earliest"})
producer = Producer({"bootstrap.servers": kafka})
consumer.subscribe(["payments"])
while True:
    batch = [m for m in consumer.consume(512, 0.05) if m.error() is None]
    if batch:
        payments = [json.loads(m.value()) for m in batch]
        for m, payment, value in zip(batch, payments, scores(payments)):
            producer.produce("scored-hand", json.dumps({"event_id": payment["payment_id"], "score": value}), m.key())
        producer.flush()
        consumer.commit(asynchronous=False)
        if count(len(batch)):
            break
"""
)


def peers(ground: Ground, _: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Events a second of each, one process, on the same input."""
    say(f"\npeers: events a second on the same {EVENTS + WARM:,} payments, one process each")
    ground.topics([NewTopic(f"scored-{name}", FRAUD.partitions, 1) for name in ("faust", "hand")])
    ground.fold_outcomes(EVENTS + WARM)
    mine, _cpu = score(ground, EVENTS, 0)
    result = {"streaminfer": mine}
    say(f"  a streaminfer worker: exactly once, windows, outcomes, features in the answer {mine:9,.0f}")
    for name, program, what in (
        ("by_hand", BY_HAND, "a loop by hand: at least once, no state, commit after each batch"),
        ("faust", FAUST, "a Faust agent, take(512): at least once, no state"),
    ):
        result[name] = _run(ground, program)
        say(f"  {what:<76} {result[name]:9,.0f}")
    return result


def _run(ground: Ground, program: str) -> float:
    argv = [sys.executable, "-c", program, ground.settings.kafka, str(EVENTS), str(ground.settings.home / "faust")]
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=True, timeout=300)
    return float(done.stdout.split()[-1])
