"""A model that nobody has tried is tried in a process of its own, with bounds on what it may take.

ONNX Runtime does what a file says: loop for ever, ask for all memory, or crash. Here that ends a child, after a bounded
time and within bounded memory, and becomes a sentence. The child may write no file, and stands in an empty folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from app.errors import Fatal, Refused
from app.inference.manifest import read_manifest
from app.settings import PROJECT

TIME_S = 60.0
ROOM_BYTES = 2 * 1024**3  # beyond what the libraries take
TIMES = 4  # as much again as the model's file, so often: it is read, parsed, and its constants are laid out anew
_STATM = Path("/proc/self/statm")


class Question(msgspec.Struct):
    """What the child does: a function of this project, as module:name, and its arguments."""

    function: str
    arguments: dict[str, Any]
    room_bytes: int


class Answer(msgspec.Struct, omit_defaults=True):
    """What it gave, or the sentence with which it was refused."""

    value: Any = None
    fatal: str | None = None
    refused: str | None = None


def apart(function: str, arguments: dict[str, Any], *, what: str, size: int, time_s: float = TIME_S) -> Any:
    """Call a function in a process of its own. `what` names the model in a sentence, `size` is its bytes.

    Raises Fatal or Refused as the function does, and Fatal where it takes too long, takes too much or crashes.
    """
    question = msgspec.json.encode(Question(function, arguments, ROOM_BYTES + TIMES * size))
    with tempfile.TemporaryDirectory() as nowhere:
        path = os.pathsep.join([str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])])
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", __name__],
                input=question,
                capture_output=True,
                cwd=nowhere,
                env=os.environ | {"PYTHONPATH": path},
                timeout=time_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Fatal(
                f"{what} was tried in a process of its own and did not end within {time_s:g} s: it must not serve. "
                "Look for a loop in it that does not end."
            ) from None
    return _heard(done, what)


def _heard(done: subprocess.CompletedProcess[bytes], what: str) -> Any:
    try:
        answer = msgspec.json.decode(done.stdout, type=Answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        how = f"was ended by {signal.Signals(-done.returncode).name}" if done.returncode < 0 else "ended half way"
        raise Fatal(f"{what} was tried in a process of its own, which {how}: it must not serve.") from None
    if answer.fatal is not None:
        raise Fatal(answer.fatal)
    if answer.refused is not None:
        raise Refused(answer.refused, exit_code=2)
    return answer.value


def try_version(folder: Path, features: tuple[str, ...], *, home: Path | None = None) -> None:
    """Load a version as a worker will, apart. What was tried well is noted under `home`, and not tried again.

    Raises Fatal where it must not serve.
    """
    manifest = read_manifest(folder)
    words = (manifest.model_dump_json(), features, version("onnxruntime"), str(folder.resolve()))
    stamp = home / "cache" / "tried" / hashlib.sha256(repr(words).encode()).hexdigest() if home is not None else None
    if stamp is not None and stamp.exists():
        return
    arguments = {"folder": str(folder.resolve()), "features": features}
    apart("app.inference.load:check", arguments, what=f"Model {manifest.ref}", size=manifest.bytes)
    if stamp is None:
        return
    with contextlib.suppress(OSError):  # a home that cannot be written to: then it is tried each time
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()


def main() -> int:
    """Answer the question on standard input."""
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    answers = os.dup(1)
    os.dup2(2, 1)  # whoever prints meanwhile does not spoil the answer
    module, _, name = question.function.partition(":")
    function = getattr(importlib.import_module(module), name)
    _bound(question.room_bytes)
    try:
        answer = Answer(value=function(**question.arguments))
    except Fatal as error:
        answer = Answer(fatal=str(error))
    except Refused as error:
        answer = Answer(refused=str(error))
    except MemoryError:
        answer = Answer(fatal=f"It takes more memory than the {question.room_bytes // 2**20:,} MiB that it is given.")
    with os.fdopen(answers, "wb") as pipe:
        pipe.write(msgspec.json.encode(answer))
    return 0


def _bound(room_bytes: int) -> None:
    """No more memory than this beyond what is taken already, where the system can say so; no file, no core."""
    if _STATM.exists():
        taken = int(_STATM.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + room_bytes, taken + room_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main())
