"""What counts as a number of a row that others wrote: finite as float32, which is what models get."""

from __future__ import annotations

from typing import Any, Literal

Kind = Literal["float", "int", "bool"]

FLOAT32_END = 3.4028235677973366e38  # from here on a float32 is infinite
WHOLE_END = 1 << 53  # from here on not every whole number is a float64

_BOOLS = {b"true": 1.0, b"1": 1.0, b"false": 0.0, b"0": 0.0}


def number_of_text(text: bytes, kind: Kind) -> float | None:
    """The number that a text is; None where it is none of this kind. A bool is true, false, 1 or 0."""
    if kind == "bool":
        return _BOOLS.get(text.strip().lower())
    try:
        value = float(text) if b"_" not in text else None  # Python would read 1_0 as 10
    except ValueError:
        return None
    return None if value is None else _fitting(value, kind)


def number_of_json(value: Any, kind: Kind) -> float | None:
    """The number that a JSON value is; None where it is none of this kind. A text is no number here."""
    if kind == "bool":
        return float(value) if isinstance(value, (bool, int, float)) and value in (0, 1) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return _fitting(value, kind)


def _fitting(value: float, kind: Kind) -> float | None:
    if kind == "int" and not (abs(value) < WHOLE_END and value == int(value)):
        return None
    return float(value) if abs(value) < FLOAT32_END else None
