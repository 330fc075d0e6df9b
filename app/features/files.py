"""Files of rows for a lookup: CSV, JSON lines, Parquet. Each row is judged; the first that is wrong refuses the file.

A refusal names the line or the row and quotes none of it. No more than a part of a file is in memory at a time.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import msgspec

from app.errors import Refused
from app.features.lookups import Field, Lookup
from app.features.numbers import number_of_json, number_of_text

Format = Literal["csv", "jsonl", "parquet"]
SUFFIXES: Mapping[str, Format] = {
    ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
ROWS = 10_000  # of a Parquet file in memory at a time
NOUNS = {"float": "a finite number of 32 bits", "int": "a whole number", "bool": "true or false"}


@dataclass(frozen=True)
class RowFile:
    """A file and its format, which is told by the name's end where it is not given. Text may end in .gz."""

    path: Path
    given: Format | None = None

    @property
    def format(self) -> Format:
        """Raises Refused where nothing says what it is."""
        name = self.path.with_suffix("") if self.path.suffix == ".gz" else self.path
        format_ = self.given or SUFFIXES.get(name.suffix.lower())
        if format_ is None:
            raise Refused(
                f"{self.path} does not say by its name what is in it: add --format csv, jsonl or parquet.", exit_code=2
            )
        return format_

    def rows(self, lookup: Lookup) -> Iterator[tuple[str, bytes]]:
        """Each row's entity and packed values. Raises Refused at the first thing that is wrong."""
        found = {"csv": _of_csv, "jsonl": _of_json_lines, "parquet": _of_parquet}[self.format]
        try:
            yield from found(self.path, lookup)
        except UnicodeDecodeError:
            raise Refused(f"{self.path} is not UTF-8. Nothing was loaded.") from None
        except (OSError, EOFError) as error:
            why = getattr(error, "strerror", None) or error
            raise Refused(f"{self.path} cannot be read: {why}.", exit_code=2) from None


class _WrongError(Exception):
    """What is wrong with a row, in words that quote none of it."""


def _opened(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


# -- CSV ---------------------------------------------------------------------------------------------------------------


def _of_csv(path: Path, lookup: Lookup) -> Iterator[tuple[str, bytes]]:
    with _opened(path) as file:
        lines = csv.reader(
            (line.decode("utf-8-sig" if i == 0 else "utf-8") for i, line in enumerate(file)), strict=True
        )
        try:
            places = _places(next(lines, []), lookup, path)
            for cells in lines:
                if cells:
                    yield _of_cells(cells, lookup, places)
        except (_WrongError, csv.Error) as error:
            raise Refused(f"{path}, line {lines.line_num}: {error}. Nothing was loaded.") from None


def _places(header: Sequence[str], lookup: Lookup, path: Path) -> list[int]:
    """Where each of the lookup's fields stands in a line. Raises Refused where the columns are not its fields."""
    names = [name.strip() for name in header]
    if names[:1] != [lookup.key] or sorted(names[1:]) != sorted(lookup.columns):
        raise Refused(
            f"{path} has the columns {', '.join(names) or '(none)'}; {lookup.name} needs {lookup.key} first, and then, "
            f"in any order, {', '.join(lookup.columns)}. Nothing was loaded."
        )
    return [names.index(column) for column in lookup.columns]


def _of_cells(cells: Sequence[str], lookup: Lookup, places: Sequence[int]) -> tuple[str, bytes]:
    if len(cells) != len(places) + 1:
        raise _WrongError(f"it has {len(cells)} columns, the header has {len(places) + 1}")
    if not cells[0]:
        raise _WrongError(f"it has no {lookup.key}")
    numbers = [
        _right(field, number_of_text(cells[place].encode(), field.type))
        for field, place in zip(lookup.fields, places, strict=True)
    ]
    return cells[0], lookup.pack(numbers)


def _right(field: Field, value: float | None) -> float:
    if value is None:
        raise _WrongError(f"{field.name} is not {NOUNS[field.type]}")
    return value


# -- JSON lines --------------------------------------------------------------------------------------------------------


def _of_json_lines(path: Path, lookup: Lookup) -> Iterator[tuple[str, bytes]]:
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if not text.strip():
                continue
            try:
                yield _of_object(_decoded(text), lookup)
            except _WrongError as error:
                raise Refused(f"{path}, line {number}: {error}. Nothing was loaded.") from None


def _decoded(text: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (ValueError, RecursionError):
        raise _WrongError("it is not a JSON object") from None


def _of_object(values: Mapping[str, Any], lookup: Lookup) -> tuple[str, bytes]:
    if wrong := set(values) ^ {lookup.key, *lookup.columns}:
        missing = [name for name in (lookup.key, *lookup.columns) if name in wrong]
        raise _WrongError(
            f"it has no {missing[0]}"
            if missing
            else f"it has other fields than {lookup.key}, {', '.join(lookup.columns)}"
        )
    numbers = [_right(field, number_of_json(values[field.name], field.type)) for field in lookup.fields]
    return _entity(values[lookup.key], lookup), lookup.pack(numbers)


def _entity(value: Any, lookup: Lookup) -> str:
    """Its name; a whole number is one as well, as the number's digits."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value:
        raise _WrongError(f"its {lookup.key} is not a text or a whole number")
    return value


# -- Parquet -----------------------------------------------------------------------------------------------------------


def _of_parquet(path: Path, lookup: Lookup) -> Iterator[tuple[str, bytes]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise Refused(
            "Parquet files are read with pyarrow, which is not installed: `pip install 'streaminfer[parquet]'`, or "
            "write the rows as CSV or JSON lines.",
            exit_code=2,
        ) from None
    with path.open("rb") as file:  # first: what the system says about a file is clearer than what pyarrow does
        try:
            opened = parquet.ParquetFile(file)
            _places([lookup.key, *(name for name in opened.schema_arrow.names if name != lookup.key)], lookup, path)
            if lookup.key not in opened.schema_arrow.names:
                raise Refused(f"{path} has no column {lookup.key}. Nothing was loaded.")
            columns = [lookup.key, *lookup.columns]
            yield from _numbered(opened.iter_batches(batch_size=ROWS, columns=columns), lookup, path)
        except (pyarrow.ArrowException, OSError) as error:
            raise Refused(f"{path} is no Parquet file that can be read ({type(error).__name__}).") from None


def _numbered(batches: Iterable[Any], lookup: Lookup, path: Path) -> Iterator[tuple[str, bytes]]:
    done = 0
    for batch in batches:
        columns = [batch.column(name).to_pylist() for name in (lookup.key, *lookup.columns)]
        for number, (entity, *values) in enumerate(zip(*columns, strict=True), done + 1):
            try:
                pairs = zip(lookup.fields, values, strict=True)
                packed = lookup.pack([_right(field, number_of_json(value, field.type)) for field, value in pairs])
                yield _entity(entity, lookup), packed
            except _WrongError as error:
                raise Refused(f"{path}, row {number}: {error}. Nothing was loaded.") from None
        done += batch.num_rows
