"""A model that is served: an ONNX session that gives every row the same bits, alone or in any company.

Owns the session and what must hold before it may score. Promises that a model which is not what its manifest says,
does not take what the pipeline gives, or whose scores depend on the batch is refused with a sentence, at start.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

from app.errors import Fatal, RecordError, Stage
from app.inference.manifest import Manifest, RankerManifest, read_manifest, read_model_bytes
from app.inference.trial import check_batches, check_golden

Matrix = NDArray[np.float32]
Scores = NDArray[np.float64]
Tensor = tuple[str, str, list[int | None]]  # name, type, shape; None is a dimension that may be anything

# What ONNX Runtime raises has no class in common, and of some of its messages it cannot decode the bytes.
ORT_ERRORS: tuple[type[Exception], ...] = (
    *(error for error in vars(ort_state).values() if isinstance(error, type) and issubclass(error, Exception)),
    UnicodeDecodeError,
    RuntimeError,
)

# A tensor kept outside the file must name its place by this key, a protobuf string; both bytes before it may be
# spelled longer than they need be. ONNX Runtime would look for the place in the working directory.
_EXTERNAL = re.compile(rb"(?:\x0a|\x8a\x80*\x00)(?:\x08|\x88\x80*\x00)location")

# A file, a line and a signature of ONNX Runtime's source, which its messages begin with.
_PLACES = re.compile(r"/\S*onnxruntime/\S+:\d+ .*?\)(?: \[with [^\]]*\])? (?=[^\s,)>&])", re.DOTALL)
_LONGEST = 400


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded model. One thread at a time; it holds no state between calls."""

    manifest: Manifest
    _session: onnxruntime.InferenceSession

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> int:
        return self.manifest.version

    @property
    def ref(self) -> str:
        """name@version, as headers and logs name it."""
        return self.manifest.ref

    @property
    def threshold(self) -> float:
        """A score at or above it is an alert."""
        return self.manifest.threshold

    @property
    def features(self) -> tuple[str, ...]:
        """The inputs' names in the order of the matrix's columns."""
        return self.manifest.inputs[0].features

    def score(self, matrix: Matrix) -> Scores:
        """Give a probability for each row, rounded to 9 decimals; (n, features) float32 in, (n,) float64 out.

        Raises:
            RecordError: when the model fails on at least one of these rows; halve the batch to find which.
        """
        try:
            found = self.probabilities(matrix)
        except ORT_ERRORS as error:
            raise RecordError(Stage.SCORE, "model-failed", f"Model {self.ref} fails on this event.") from error
        if not np.isfinite(found).all():
            raise RecordError(Stage.SCORE, "not-finite", f"Model {self.ref} gives no finite score for this event.")
        scores: Scores = found.astype(np.float64)
        return scores.round(9)

    def probabilities(self, matrix: Matrix) -> Matrix:
        """Give the model's own float32 answers, (n,). A single row runs as two: some models have a way of their own
        for one row, with other bits."""
        rows = len(matrix)
        if rows == 1:
            matrix = np.repeat(matrix, 2, axis=0)
        (found,) = self._session.run((self.manifest.outputs[0].name,), {self.manifest.inputs[0].name: matrix})
        answers: Matrix = found if found.ndim == 1 else found[:, -1]
        return answers[:rows]


def load_model(folder: Path, features: tuple[str, ...]) -> Model:
    """Load the version in `folder`, a model that scores, for a pipeline that gives `features`, in this order.

    Raises:
        Fatal: when it must not serve, with a sentence that shows both sides.
    """
    manifest = described(folder, features)
    if not isinstance(manifest, Manifest):
        raise Fatal(f"Model {manifest.ref} is of the kind {manifest.kind}, and gives no scores of one number.")
    model = Model(manifest, opened(folder, manifest))
    columns, given = len(model.features), manifest.outputs[0]
    shape: list[int | None] = [None] if given.columns is None else [None, given.columns]
    check_tensors(
        model._session,
        manifest,
        inputs=[(manifest.inputs[0].name, "tensor(float)", [None, columns])],
        outputs=[(given.name, "tensor(float)", shape)],
    )
    try:
        check_golden(manifest, model.probabilities)
        check_batches(manifest, model.probabilities)
    except ORT_ERRORS as error:
        raise Fatal(f"Model {manifest.ref} fails on its manifest's own golden rows: {in_words(error)}.") from error
    return model


def described(folder: Path, features: tuple[str, ...]) -> Manifest | RankerManifest:
    """Read the manifest of the version in `folder`, if it is that version's and takes what the pipeline gives.

    Raises:
        Fatal: when it is not.
    """
    manifest = read_manifest(folder)
    if folder.name.isdecimal() and int(folder.name) != manifest.version:
        raise Fatal(f"{folder} is not version {folder.name}: its manifest says {manifest.ref}.")
    _check_features(manifest, features)
    return manifest


def opened(folder: Path, manifest: Manifest | RankerManifest) -> onnxruntime.InferenceSession:
    """Open the file that the manifest describes.

    Raises:
        Fatal: when it is not there, is another one, is no model, or is not whole in itself.
    """
    content = read_model_bytes(folder, manifest)
    if keeps_outside(content):
        raise Fatal(
            f"Model {manifest.ref} keeps values outside {manifest.file} (or calls a tensor 'location', which looks "
            "the same), where no checksum guards them. Export it as one file."
        )
    try:
        return open_session(content)
    except ORT_ERRORS as error:
        raise Fatal(
            f"ONNX Runtime {onnxruntime.__version__} cannot load model {manifest.ref}: {in_words(error)}."
        ) from error


def in_words(error: Exception) -> str:
    """What ONNX Runtime says, without the places in its own source, as the end of a sentence."""
    said = " ".join(_PLACES.sub("", str(error)).split())
    return said.rpartition(" : ")[2].strip(" .")[:_LONGEST] or type(error).__name__


def keeps_outside(content: bytes) -> bool:
    """Whether the file names another file for a tensor's values, wherever in it: it must not be opened then."""
    return _EXTERNAL.search(content) is not None


def newest_version(models_dir: Path, name: str) -> Path:
    """Find the folder of the highest version of model `name`, or of the one version that name@version names.

    Raises:
        Fatal: when there is none.
    """
    name, at, version = name.partition("@")
    folders = models_dir / name
    versions = [path for path in folders.glob("*") if path.name.isdecimal() and path.is_dir()]
    if not versions:
        raise Fatal(
            f"There is no version of a model {name}: {folders} holds no folder named by a number. ops/setup makes "
            "those that are not in the repository."
        )
    if at:
        return _version(name, version, versions)
    return max(versions, key=lambda path: int(path.name))


def _version(name: str, version: str, folders: list[Path]) -> Path:
    for folder in folders:
        if version.isdecimal() and int(folder.name) == int(version):
            return folder
    there = ", ".join(f"{name}@{number}" for number in sorted(int(folder.name) for folder in folders))
    raise Fatal(f"There is no model {name}@{version}; there is {there}.")


def open_session(content: bytes) -> onnxruntime.InferenceSession:
    """Open an ONNX file's bytes as they are served; raises ONNX Runtime's own errors."""
    options = onnxruntime.SessionOptions()
    # One thread: with two, which of them adds what to a sum depends on the batch, and so do the last bits.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4  # what goes wrong is raised, and need not be printed as well
    # Its fallback would print, and try the same again.
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"], enable_fallback=0)


def _check_features(manifest: Manifest | RankerManifest, given: tuple[str, ...]) -> None:
    taken = manifest.inputs[0].features
    if taken == given:
        return
    place = next((i for i, (a, b) in enumerate(zip(taken, given, strict=False)) if a != b), min(len(taken), len(given)))
    theirs, ours = (names[place] if place < len(names) else "nothing" for names in (taken, given))
    raise Fatal(
        f"Model {manifest.ref} does not take what the pipeline gives: input {place + 1} is {theirs} in the manifest "
        f"and {ours} in the pipeline ({len(taken)} inputs in the manifest, {len(given)} in the pipeline)."
    )


def check_tensors(
    session: onnxruntime.InferenceSession,
    manifest: Manifest | RankerManifest,
    *,
    inputs: list[Tensor],
    outputs: list[Tensor],
) -> None:
    """Compare what the file takes and gives with what the manifest says; it may give more.

    Raises:
        Fatal: when they differ.
    """
    taken = [(tensor.name, tensor.type, _free(tensor.shape)) for tensor in session.get_inputs()]
    if taken != inputs:
        raise Fatal(f"Model {manifest.ref} takes {_spelled(taken)}; its manifest says {_spelled(inputs)}.")
    given = {tensor.name: (tensor.name, tensor.type, _free(tensor.shape)) for tensor in session.get_outputs()}
    if any(given.get(wanted[0]) != wanted for wanted in outputs):
        raise Fatal(
            f"Model {manifest.ref} gives {_spelled(list(given.values()))}; its manifest says {_spelled(outputs)}."
        )


def _free(shape: list[int | str | None]) -> list[int | None]:
    """A dimension that may be anything is None, whatever the file calls it."""
    return [size if isinstance(size, int) else None for size in shape]


def _spelled(tensors: list[Tensor]) -> str:
    return " and ".join(
        f"{name} {kind} [{', '.join('N' if size is None else str(size) for size in shape)}]"
        for name, kind, shape in tensors
    )
