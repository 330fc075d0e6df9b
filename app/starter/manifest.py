"""The manifest of a model that somebody brings: what it takes and gives, and the scores of rows that it was tried on.

Promises that what was written loads: the version is put through the very checks of a start before it stays.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import yaml
from numpy.typing import NDArray

from app.errors import Fatal, Refused
from app.inference.apart import apart, try_version
from app.inference.manifest import MANIFEST
from app.inference.model import in_words, keeps_outside, open_session

FILE = "model.onnx"
UNTOLD = "not told"
GOLDEN_ROWS = 16


def add_version(
    models: Path,
    name: str,
    content: bytes,
    *,
    features: Sequence[str],
    rows: NDArray[np.float32],
    threshold: float,
    command: str,
) -> Path:
    """Write the model as the next version of `name`, with its manifest. `rows` are features as the pipeline gives them.

    Raises Refused where it is no model that can serve; nothing is left then.
    """
    versions = [int(path.name) for path in (models / name).glob("*") if path.name.isdecimal()]
    version = max(versions, default=0) + 1
    folder = models / name / str(version)
    folder.mkdir(parents=True)
    try:
        (folder / FILE).write_bytes(content)
        some = rows[np.unique(np.linspace(0, len(rows) - 1, GOLDEN_ROWS).astype(int))]
        arguments = {"file": str((folder / FILE).resolve()), "rows": some.tolist(), "features": list(features)}
        found = apart("app.starter.manifest:probe", arguments, what="The model", size=len(content))
        named = {"name": name, "version": version, "threshold": threshold, "command": command}
        said = named | _described(content, found, features, some)
        (folder / MANIFEST).write_text(yaml.safe_dump(said, sort_keys=False, width=120))
        try_version(folder, tuple(features))
    except Fatal as error:
        shutil.rmtree(folder)
        raise Refused(str(error), exit_code=2) from None
    except BaseException:
        shutil.rmtree(folder)
        raise
    return folder


def probe(file: str, rows: list[list[float]], features: list[str]) -> dict[str, Any]:
    """What the model in `file` takes and gives, and its scores of these rows. For a process of its own (`apart`).

    Raises Refused where it is no model that can serve.
    """
    content = Path(file).read_bytes()
    if keeps_outside(content):
        raise Refused("The model keeps values in another file: export it as one file.", exit_code=2)
    matrix = np.array(rows, np.float32)
    try:
        session = open_session(content)
        taken, given = _tensors(session)
        if isinstance(taken.shape[-1], int) and taken.shape[-1] != len(features):
            raise Refused(
                f"The model takes {taken.shape[-1]} columns, and the pipeline gives {len(features)}: "
                f"{', '.join(features)}.",
                exit_code=2,
            )
        found = session.run([given.name], {taken.name: np.concatenate([matrix, matrix])})[0][: len(matrix)]
    except Refused:
        raise
    except Exception as error:  # what ONNX Runtime raises has no class in common
        why = in_words(error)
        raise Refused(f"ONNX Runtime {onnxruntime.__version__} does not run this model: {why}.", exit_code=2) from None
    scores = found if found.ndim == 1 else found[:, -1]
    if not np.isfinite(scores).all():
        raise Refused("The model gives scores for these events that are no finite numbers.", exit_code=2)
    columns = None if found.ndim == 1 else found.shape[1]
    return {"input": taken.name, "output": given.name, "columns": columns, "scores": scores.tolist()}


def _described(
    content: bytes, found: Mapping[str, Any], features: Sequence[str], rows: NDArray[np.float32]
) -> dict[str, Any]:
    """The manifest but for what the version is called. `found` is what `probe` gave for these rows."""
    return {
        "file": FILE,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "opset": {},
        "inputs": [{"name": found["input"], "dtype": "float32", "features": list(features)}],
        "outputs": [{"name": found["output"], "dtype": "float32", "columns": found["columns"]}],
        "training": {
            "data": UNTOLD,
            **dict.fromkeys(("train_days", "test_days", "parameters_rule", "threshold_rule"), UNTOLD),
            **dict.fromkeys(("train_rows", "train_frauds", "test_rows", "test_frauds"), 0),
            "train_sha256": "0" * 64,
            "parameters": {},
        },
        "metrics": {},
        "versions": {"onnxruntime": onnxruntime.__version__, "python": platform.python_version()},
        "golden": [
            {"features": row, "score": score} for row, score in zip(rows.tolist(), found["scores"], strict=True)
        ],
    }


def _tensors(session: onnxruntime.InferenceSession) -> tuple[Any, Any]:
    """The one input, and the output with the scores. Raises Refused where it is not clear which those are."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1:
        raise Refused(f"The model takes {len(inputs)} inputs; one matrix with a row an event is served.", exit_code=2)
    scores = [
        tensor
        for tensor in outputs
        if tensor.type == "tensor(float)" and (len(tensor.shape) == 1 or tensor.shape[1:] in ([1], [2]))
    ]
    if len(scores) != 1:
        names = ", ".join(f"{tensor.name} {tensor.type} {tensor.shape}" for tensor in outputs)
        raise Refused(
            f"The model gives {names}; one float output [N], [N, 1] or [N, 2] with probabilities is needed "
            "(skl2onnx: options={'zipmap': False}).",
            exit_code=2,
        )
    return inputs[0], scores[0]
