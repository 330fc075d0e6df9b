"""What a model says about itself: model.yaml beside model.onnx, read strictly.

Owns the manifests' forms, one for each kind of model, and the check that a file is the one that the manifest
describes. Promises that the bytes it hands over are the bytes that were checked. Knows no ONNX.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal, Self

import msgspec
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.errors import Fatal
from app.inference.plain_yaml import plain_yaml

MANIFEST = "model.yaml"

_MAX_MANIFEST_BYTES = 1024 * 1024
_MAX_MODEL_BYTES = 512 * 1024 * 1024

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class InputTensor(_Strict):
    """A matrix with a row an event and a column a feature, in this order."""

    name: str
    dtype: Literal["float32"]
    features: Annotated[tuple[str, ...], Field(min_length=1)]


class OutputTensor(_Strict):
    """A probability a row. With two columns the second is that of the positive class; None is a flat list."""

    name: str
    dtype: Literal["float32"]
    columns: Literal[1, 2] | None


class Training(_Strict):
    """What the model was fitted on, and what its measures were taken on."""

    data: str
    train_days: str
    train_rows: Count
    train_frauds: Count
    train_sha256: Sha256
    test_days: str
    test_rows: Count
    test_frauds: Count
    parameters: dict[str, float]
    parameters_rule: str
    threshold_rule: str


class Metrics(_Strict):
    """Area under the ROC curve, average precision, compromised cards among the first 100 a day."""

    auc: Share
    average_precision: Share
    card_precision_100: Share


class Golden(_Strict):
    """One row and the score that the model gave where it was made, both exact as float32."""

    features: tuple[float, ...]
    score: Share


class Distribution(_Strict):
    """How a feature, or the score, lay in training: what drift is measured against.

    Bin i ends at edges[i], which belongs to it; the last one is open. A value that is frequent by itself, such as
    nought, has a bin of its own: else a feature that is nearly always nought would never be seen to drift.
    """

    edges: Annotated[tuple[float, ...], Field(min_length=1, max_length=50)]
    shares: Annotated[tuple[Share, ...], Field(min_length=2, max_length=51)]
    mean: float

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if len(self.shares) != len(self.edges) + 1 or list(self.edges) != sorted(set(self.edges)):
            raise ValueError("edges must rise, and there must be one share more than edges")
        if abs(sum(self.shares) - 1) > 1e-3:
            raise ValueError("the shares must make 1 together")
        return self


class Reference(_Strict):
    """The training rows as the model was given them, feature by feature, and what it said of them."""

    rows: Annotated[int, Field(ge=1)]
    features: dict[str, Distribution]
    score: Distribution


class _Described(_Strict):
    """What every manifest says. `file` is a plain name in the manifest's own folder."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
    version: Annotated[int, Field(ge=1)]
    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,100}\.onnx$")]
    sha256: Sha256
    bytes: Annotated[int, Field(ge=1, le=_MAX_MODEL_BYTES)]
    opset: dict[str, int]

    @property
    def ref(self) -> str:
        """The model as headers and logs name it."""
        return f"{self.name}@{self.version}"


class Manifest(_Described):
    """Of a model that scores: a row of features in, a probability out. The kind that is meant where none is named."""

    kind: Literal["score"] = "score"
    inputs: Annotated[tuple[InputTensor, ...], Field(min_length=1, max_length=1)]
    outputs: Annotated[tuple[OutputTensor, ...], Field(min_length=1, max_length=1)]
    threshold: Share
    reference: Reference | None = None
    training: Training
    metrics: dict[str, Metrics]
    versions: dict[str, str]
    command: str
    golden: Annotated[tuple[Golden, ...], Field(min_length=1)]


class HistoryTensor(_Strict):
    """A matrix with a row an event: item indexes, filled up with `pad`; `fallback` alone where no item is known."""

    name: str
    dtype: Literal["int64"]
    features: Annotated[tuple[str, ...], Field(min_length=1, max_length=1)]
    pad: Count
    fallback: Count


class RankedTensor(_Strict):
    """A row an event, the best first: item indexes, or their scores (minus infinity where there is no more item)."""

    name: str
    dtype: Literal["int64", "float32"]
    columns: Annotated[int, Field(ge=1, le=1000)]


class ItemList(_Strict):
    """The items that the model knows, in the order of their indexes: a text file with one id a line."""

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,100}\.txt$")]
    sha256: Sha256
    bytes: Annotated[int, Field(ge=1, le=_MAX_MODEL_BYTES)]
    count: Annotated[int, Field(ge=1)]


class RankerTraining(_Strict):
    """What a ranker was fitted on, and what its measures were taken on. `recipe` is raised when the program changes."""

    recipe: Count
    data: str
    data_sha256: Sha256
    split_rule: str
    users: Count
    items: Count
    train_rows: Count
    test_rows: Count
    parameters: dict[str, float]
    parameters_rule: str


class RankerMetrics(_Strict):
    """Normalised discounted gain of the first ten items."""

    ndcg_10: Share


class GoldenRanking(_Strict):
    """A history of items and the answer to it where the model was made, scores with their 9 decimals."""

    history: tuple[str, ...]
    items: tuple[str, ...]
    scores: tuple[float, ...]


class RankerManifest(_Described):
    """Of a model that ranks: an entity's items in, the best items that are not among them out, with scores."""

    kind: Literal["ranker"]
    inputs: Annotated[tuple[HistoryTensor, ...], Field(min_length=1, max_length=1)]
    outputs: Annotated[tuple[RankedTensor, ...], Field(min_length=2, max_length=2)]
    items: ItemList
    training: RankerTraining
    metrics: dict[str, RankerMetrics]
    versions: dict[str, str]
    command: str
    golden: Annotated[tuple[GoldenRanking, ...], Field(min_length=1)]


_FORMS: dict[object, type[Manifest] | type[RankerManifest]] = {"score": Manifest, "ranker": RankerManifest}


def read_manifest(folder: Path) -> Manifest | RankerManifest:
    """Read `folder`/model.yaml, in the form of the kind that it names.

    Raises:
        Fatal: when it is not there, is no YAML, or says too little, too much or the wrong thing.
    """
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise Fatal(f"There is no model in {folder}: {MANIFEST} cannot be read ({error.strerror}).") from error
    if len(text) > _MAX_MANIFEST_BYTES:
        raise Fatal(f"{path} is longer than {_MAX_MANIFEST_BYTES:,} bytes: that is no manifest.")
    try:
        said = plain_yaml(text)
        # Through JSON, because strict JSON takes a list for a tuple and a whole number for a float, as YAML means it.
        return _form(path, said).model_validate_json(msgspec.json.encode(said))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}"
        why = " ".join(str(getattr(error, "problem", None) or error).split())
        raise Fatal(f"{path} is not YAML{where}: {why.rstrip('.')}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise Fatal(f"{path} is not a manifest: {where}: {first['msg']}{more}.") from error
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Fatal(f"{path} holds a value that no manifest holds: {error}.") from error


def _form(path: Path, said: object) -> type[Manifest] | type[RankerManifest]:
    kind = said.get("kind", "score") if isinstance(said, dict) else "score"
    if not isinstance(kind, str) or kind not in _FORMS:
        raise Fatal(f"{path} is not a manifest: its kind is none of {' and '.join(map(str, _FORMS))}.")
    return _FORMS[kind]


def read_model_bytes(folder: Path, manifest: Manifest | RankerManifest) -> bytes:
    """Read the file that the manifest describes; what is returned is what was checked.

    Raises:
        Fatal: when it is not there or is another file.
    """
    return _read(folder / manifest.file, size=manifest.bytes, sha256=manifest.sha256)


def read_items(folder: Path, manifest: RankerManifest) -> tuple[str, ...]:
    """Read the list of items that the manifest describes, in the order of their indexes.

    Raises:
        Fatal: when it is not there, is another file, or does not hold as many different items as the manifest says.
    """
    path, said = folder / manifest.items.file, manifest.items
    content = _read(path, size=said.bytes, sha256=said.sha256)
    try:
        items = tuple(content.decode().splitlines())
    except UnicodeDecodeError as error:
        raise Fatal(f"{path} is no list of items: it is not UTF-8 at byte {error.start + 1}.") from error
    if len(items) != said.count or len(set(items)) != len(items) or not all(items):
        raise Fatal(
            f"{path} is no list of items: the manifest says {said.count:,}, and it has {len(items):,} lines, "
            f"{len(set(items) - {''}):,} different items among them."
        )
    return items


def _read(path: Path, *, size: int, sha256: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(size + 1)
    except OSError as error:
        raise Fatal(f"{path}, which {MANIFEST} names, cannot be read ({error.strerror}).") from error
    found = hashlib.sha256(content).hexdigest()
    if len(content) > size:
        theirs = f"the file is longer, its first bytes have {found}"
    else:
        theirs = f"the file has {len(content):,} with {found}"
    if found != sha256:
        raise Fatal(
            f"{path} is not the file that {MANIFEST} describes: that has {size:,} bytes with sha256 "
            f"{sha256}, {theirs}. Put the right file back, or write the version again."
        )
    return content
