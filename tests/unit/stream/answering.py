"""A processor without Kafka and Redis: records in, answers out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from app.features.held import Held
from app.features.lookups import Field, Lookup
from app.features.marker import Marker
from app.features.memory import Memory, Owned
from app.features.store import Store, connect
from app.features.tables import Table
from app.inference.model import Model
from app.pipeline import Pipeline
from app.pipelines.fraud import FRAUD as FRAUD_AS_OF
from app.record import Output, Record
from app.stream.processor import Processor
from schemas import FraudPrediction

# Its terminal features are a table that a test can fill by hand.
FRAUD = replace(
    FRAUD_AS_OF,
    lookups=(Lookup("terminal", key="terminal_id", fields=tuple(map(Field, FRAUD_AS_OF.lookups[0].columns))),),
)
assert FRAUD.event is not None
EVENT_COLUMNS = FRAUD.event.columns
SECRET = "hush-7b1e"
TERMINAL = (3.0, 0.5, 4.0, 0.25, 5.0, 0.125)
TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class StandIn:
    """A model of one line in place of an ONNX file. `rule` is given rows of features."""

    name, version, ref, threshold = "stand-in", 7, "stand-in@7", 0.5

    def __init__(self, rule: Callable[[NDArray[np.float32]], Any]) -> None:
        self.score = rule


def tenth_of_amount(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    return rows[:, 0].astype(np.float64) / 1000


def processor(model: Any = None, pipeline: Pipeline = FRAUD) -> Processor:
    store = Store(connect("redis://127.0.0.1:1/0"), pipeline.name)  # which is never asked
    tables = [Table(lookup, store) for lookup in pipeline.lookups if isinstance(lookup, Lookup)]
    memory = Memory(pipeline, store, readers=tables)
    made = Processor(pipeline, cast("Model", model or StandIn(tenth_of_amount)), memory)
    for partition in range(6):
        marker = Marker("topic-1", 6, "b", "d", since=0, next=0)
        memory.owned[partition] = Owned(tuple(Held(v, partition, memory.store, marker) for v in pipeline.views), 0)
    return made


def table_of(processor: Processor) -> Table:
    (table,) = processor.memory.readers
    assert isinstance(table, Table)
    return table


def answered(processor: Processor, records: Sequence[Record], *, known: bool = True) -> list[Output]:
    """The answers to one batch, with new states and the same terminal row for all that were not seen before."""
    admitted, refused = processor.admit(records)
    for one in admitted:
        for held in processor.memory.owned[one.partition].held:
            if one.entity not in held.states:
                held.take(one.entity, None)
        if processor.memory.readers:
            table = table_of(processor)
            table.rows.setdefault(table.lookup.entity(one.event), TERMINAL if known else None)
    return processor.answer(admitted, refused)


def answer(one: Record, **how: Any) -> Output:
    (output,) = answered(processor(**how), [one])
    return output


def headers(output: Output) -> dict[str, bytes | None]:
    return dict(output.headers)


def prediction(output: Output) -> FraudPrediction:
    assert output.topic == "payments.scored", headers(output)
    assert output.value is not None
    return FraudPrediction.model_validate_json(output.value)
