"""What bytes from outside reach: each target hands some over and lets out what nobody above would catch."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import msgspec

from app.contracts.admission import Admission, Admitted
from app.contracts.compile import compile_contract
from app.contracts.refusal import CODES
from app.errors import Fatal, RecordError, Refused, Stage, Unavailable
from app.features.history import History
from app.features.last import Last
from app.features.lookups import Field, HashLookup, JsonLookup, Lookup
from app.features.marker import decode_marker
from app.features.outcomes import Outcomes
from app.features.views import View
from app.features.window import Window
from app.inference.manifest import read_manifest
from app.inference.model import ORT_ERRORS, keeps_outside, open_session
from app.pipelines.fraud import FRAUD, FRAUD_LABELS
from app.pipelines.recommendation import RECOMMENDATION
from app.record import Headers, Record
from app.replay.shown import as_line, as_object
from app.settings import load_settings
from app.stream.answers import _is_trace
from app.stream.feed import is_member
from app.stream.letters import dead_letter, stub
from schemas import FraudPrediction

PIPELINES = (FRAUD, FRAUD_LABELS, RECOMMENDATION)
ADMISSIONS = {pipeline.name: Admission(pipeline) for pipeline in PIPELINES}
OF_ADMISSION = {*CODES, "key", "partition", "ahead", "content-type"}
TAKEN_MS = 1_700_000_000_000
BREAK = b"\0|\0"  # between the parts of what stands for a whole record

_predictions = compile_contract(FraudPrediction)


def value(content: bytes) -> None:
    """A record's value, for every contract that is read: an event, or a refusal that a letter can carry."""
    for pipeline in PIPELINES:
        admission = ADMISSIONS[pipeline.name]
        key = _key(content, pipeline.source.key)
        record = Record(pipeline.source.name, 0, 1, TAKEN_MS, key, content, None)
        found = admission.admit(record)
        _judge(found)
        assert type(admission.admit(record)) is type(found), "the verdict on the same bytes is another one"
    try:
        again = _predictions.encode(_predictions.decode(content))
    except (ValueError, RecursionError):
        _judge(_predictions.refusal(content))
    else:
        assert _predictions.encode(_predictions.decode(again)) == again


def _key(content: bytes, name: str) -> bytes | None:
    try:
        return str(json.loads(content)[name]).encode()
    except (ValueError, TypeError, KeyError, RecursionError):
        return b"596"


def _judge(found: Admitted | RecordError) -> None:
    if isinstance(found, RecordError):
        assert found.stage in (Stage.DECODE, Stage.VALIDATE)
        assert found.code in OF_ADMISSION, found.code
        assert found.reason.endswith("."), found.reason
        assert "\n" not in found.reason


def record(content: bytes) -> None:
    """A whole record: key, value, then names and values of headers, each part ended by BREAK."""
    key, body, *rest = [*content.split(BREAK), b"", b""][: content.count(BREAK) + 2]
    words = [part.decode(errors="replace") if i % 2 == 0 else (part or None) for i, part in enumerate(rest)]
    headers: Headers = [(str(name), said) for name, said in zip(words[::2], rest[1::2], strict=False)]
    whole = Record("payments", 0, 7, TAKEN_MS, key or None, body or None, headers or None)
    found = ADMISSIONS["fraud"].admit(whole)
    _judge(found)
    json.dumps(as_object(whole))
    as_line(whole).encode()
    any(map(_is_trace, headers))
    is_member(body)
    letter = dead_letter("payments.dead", whole, RecordError(Stage.DECODE, "not-json", "It is none."))
    assert (letter.value, letter.key) == (whole.value, whole.key)
    assert letter.headers[: len(headers)] == headers
    msgspec.json.decode(stub(letter, whole, "It is too large.").value or b"")


@contextlib.contextmanager
def _home(content: bytes, name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(content)
        yield Path(folder)


def settings(content: bytes) -> None:
    """A settings file."""
    with (
        _home(content, "settings.toml") as home,
        patch.dict(os.environ, {"STREAMINFER_HOME": str(home)}),
        contextlib.suppress(Refused, Unavailable),
    ):
        load_settings()


def environment(content: bytes) -> None:
    """Lines of NAME=value, as an environment can hold them."""
    lines = [line.partition("=") for line in content.replace(b"\0", b"").decode(errors="replace").split("\n")]
    given = {f"STREAMINFER_{name.strip().upper()}": said for name, _, said in lines if name.strip().isidentifier()}
    given = {name: said.encode(errors="replace").decode() for name, said in given.items()}
    with (
        _home(b"", "nothing") as home,
        patch.dict(os.environ, given | {"STREAMINFER_HOME": str(home)}),
        contextlib.suppress(Refused, Unavailable),
    ):
        load_settings()


def manifest(content: bytes) -> None:
    """A model.yaml."""
    with _home(content, "model.yaml") as folder, contextlib.suppress(Fatal):
        read_manifest(folder)


VIEWS: tuple[View, ...] = (
    *FRAUD.views,
    *FRAUD_LABELS.views,
    *RECOMMENDATION.views,
    Window("w", amount="a", spans_ms={"d": 86_400_000}),
    History("h", item="i", keep=5, within_ms=1000),
    Last("l", values=("a", "b"), within_ms=1000, age=True),
    Outcomes("o", amount="a", at="t", id="i", spans_ms={"d": 1000}, delay_ms=10, measures={"count": "count"}),
)


def blob(content: bytes) -> None:
    """What Redis holds: a state of any view, a marker, a row of any lookup."""
    for view in VIEWS:
        try:
            state = view.unpack(content)
        except (ValueError, IndexError, struct.error):
            continue
        view.read(state, TAKEN_MS)
        with contextlib.suppress(OverflowError):
            view.pack(state)
    decode_marker(content)
    for lookup in LOOKUPS:
        if isinstance(lookup, Lookup):
            lookup.unpack(content)
        elif isinstance(lookup, JsonLookup):
            lookup.parse(content)
        else:
            lookup.parse([content or None] * len(lookup.stored))


_FIELDS = (Field("a", default=0.0), Field("b", type="int", default=1.0))
LOOKUPS: tuple[Lookup | HashLookup | JsonLookup, ...] = (
    Lookup("packed", key="customer_id", fields=_FIELDS),
    HashLookup("hash", key="customer_id", fields=_FIELDS, rows="h:{entity}", written_at="at"),
    JsonLookup("json", key="customer_id", fields=_FIELDS, rows="j:{entity}", written_at="at"),
)

TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (value, record, settings, environment, manifest, blob)
}


def models(contents: list[str]) -> dict[str, int]:
    """ONNX files in base64, opened one after the other. For a process of its own: how many of them were opened."""
    opened = 0
    for content in map(base64.b64decode, contents):
        if keeps_outside(content):
            continue
        try:
            open_session(content)
        except ORT_ERRORS:
            continue
        opened += 1
    return {"tried": len(contents), "opened": opened}


def seeds(target: str) -> list[bytes]:
    """The corpus: what is sound, and what was found."""
    folder = Path(__file__).parent / "corpus" / target
    return [path.read_bytes() for path in sorted(folder.iterdir())]
