"""What a model says about itself: model.yaml beside model.onnx, read strictly.

Owns the manifest's form and the check that a file is the one that the manifest describes. Promises that the bytes it
hands over are the bytes that were checked. Knows no ONNX.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import Fatal

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


class Manifest(_Strict):
    """model.yaml. `file` is a plain name in the manifest's own folder."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
    version: Annotated[int, Field(ge=1)]
    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,100}\.onnx$")]
    sha256: Sha256
    bytes: Annotated[int, Field(ge=1, le=_MAX_MODEL_BYTES)]
    opset: dict[str, int]
    inputs: Annotated[tuple[InputTensor, ...], Field(min_length=1, max_length=1)]
    outputs: Annotated[tuple[OutputTensor, ...], Field(min_length=1, max_length=1)]
    threshold: Share
    training: Training
    metrics: dict[str, Metrics]
    versions: dict[str, str]
    command: str
    golden: Annotated[tuple[Golden, ...], Field(min_length=1)]

    @property
    def ref(self) -> str:
        """The model as headers and logs name it."""
        return f"{self.name}@{self.version}"


def read_manifest(folder: Path) -> Manifest:
    """Read `folder`/model.yaml.

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
        # Through JSON, because strict JSON takes a list for a tuple and a whole number for a float, as YAML means it.
        return Manifest.model_validate_json(msgspec.json.encode(yaml.load(text, _Loader)))  # noqa: S506 - a safe one
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}"
        raise Fatal(f"{path} is not YAML{where}: {getattr(error, 'problem', None) or error}.") from error
    except (TypeError, OverflowError, RecursionError) as error:
        raise Fatal(f"{path} holds a value that no manifest holds: {error}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise Fatal(f"{path} is not a manifest: {where}: {first['msg']}{more}.") from error


def read_model_bytes(folder: Path, manifest: Manifest) -> bytes:
    """Read the file that the manifest describes; what is returned is what was checked.

    Raises:
        Fatal: when it is not there or is another file.
    """
    path = folder / manifest.file
    try:
        with path.open("rb") as file:
            content = file.read(manifest.bytes + 1)
    except OSError as error:
        raise Fatal(f"{path}, which {MANIFEST} names, cannot be read ({error.strerror}).") from error
    found = hashlib.sha256(content).hexdigest()
    if len(content) > manifest.bytes:
        theirs = f"the file is longer, its first bytes have {found}"
    else:
        theirs = f"the file has {len(content):,} with {found}"
    if found != manifest.sha256:
        raise Fatal(
            f"{path} is not the file that {MANIFEST} describes: that has {manifest.bytes:,} bytes with sha256 "
            f"{manifest.sha256}, {theirs}. Put the right file back, or write the version again."
        )
    return content


# libyaml reads a manifest in 2 ms, the Python reader in 40; wheels have it, a build from source may not.
_Loader: type[yaml.SafeLoader] | type[yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
