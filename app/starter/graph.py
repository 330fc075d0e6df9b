"""A small ONNX model made of weights: the first model of a new pipeline, until somebody has trained one.

Written as the protobuf that ONNX is, by hand, because what runs models here needs nothing that writes them. The score
is 0.5 + z / (1 + |z|) / 2 where z is the weighted sum of a row and the bias: it grows as a logistic score does. The
sum is made column by column: ReduceSum gave a row other last bits in another place of the batch.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

OPSET, IR_VERSION = 17, 8
FLOAT, INT = 1, 2  # TensorProto.DataType, AttributeProto.AttributeType


def weighted(weights: Sequence[float], bias: float) -> bytes:
    """A model that takes x [N, len(weights)] and gives y [N, 1]."""
    columns = [f"x{i}" for i in range(len(weights))]
    nodes = [_node("Split", ("x",), *columns, attribute=_axis(1))]
    total = "bias"
    for i, column in enumerate(columns):
        nodes += [_node("Mul", (column, f"weight{i}"), f"part{i}"), _node("Add", (total, f"part{i}"), f"sum{i}")]
        total = f"sum{i}"
    nodes += [
        _node("Abs", (total,), "size"),
        _node("Add", ("size", "one"), "above"),
        _node("Div", (total, "above"), "squashed"),
        _node("Mul", ("squashed", "half"), "halved"),
        _node("Add", ("halved", "half"), "y"),
    ]
    named = {f"weight{i}": weight for i, weight in enumerate(weights)} | {"bias": bias, "one": 1.0, "half": 0.5}
    constants = [_constant(name, value) for name, value in named.items()]
    graph = b"".join(
        (
            *(_bytes(1, node) for node in nodes),
            _text(2, "weighted"),
            *(_bytes(5, constant) for constant in constants),
            _bytes(11, _value("x", len(weights))),
            _bytes(12, _value("y", 1)),
        )
    )
    return _number(1, IR_VERSION) + _text(2, "streaminfer") + _bytes(7, graph) + _bytes(8, _number(2, OPSET))


def _node(kind: str, inputs: Sequence[str], *outputs: str, attribute: bytes = b"") -> bytes:
    names = b"".join(_text(1, name) for name in inputs) + b"".join(_text(2, name) for name in outputs)
    return names + _text(4, kind) + attribute


def _axis(axis: int) -> bytes:
    return _bytes(5, _text(1, "axis") + _number(3, axis) + _number(20, INT))


def _constant(name: str, value: float) -> bytes:
    return _number(1, 1) + _number(2, FLOAT) + _text(8, name) + _bytes(9, struct.pack("<f", value))


def _value(name: str, columns: int) -> bytes:
    """A matrix of any number of rows."""
    shape = _bytes(1, _text(2, "N")) + _bytes(1, _number(1, columns))
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, FLOAT) + _bytes(2, shape)))


# -- protobuf: a field is its number and kind in one varint, and then a varint, or a length and so many bytes ----------


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))
