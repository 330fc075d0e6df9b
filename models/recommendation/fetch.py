"""MovieLens-100k as it lies inside a package of the Python index, at a pinned version and hash.

Owns the pins. Promises that the file is the published one or is not there. Imports the package never: only the one
file is unpacked, beside this program, where git does not look.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from app.errors import Refused, Unavailable
from app.simulate.interactions import FILE, FOLDER, parse

PACKAGE = "recbole==1.2.1"
WHEEL_SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
MEMBER = f"recbole/dataset_example/{FOLDER}/{FILE}"

TIMEOUT_S = 180.0


def fetch(folder: Path) -> None:
    """Put the file into `folder`/FOLDER if it is not there.

    Raises:
        Unavailable: when the package cannot be had.
        Refused: when it does not hold the published file.
    """
    target = folder / FOLDER / FILE
    if target.is_file():
        return
    with tempfile.TemporaryDirectory(prefix="streaminfer-") as temporary:
        wheel = _download(Path(temporary))
        try:
            with zipfile.ZipFile(wheel) as archive:
                content = archive.read(MEMBER)
        except (zipfile.BadZipFile, KeyError) as error:
            raise Refused(f"The package {PACKAGE} does not hold {MEMBER} ({error}).") from error
    parse(content)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    part.write_bytes(content)
    part.replace(target)


def _download(folder: Path) -> Path:
    """The wheel; pip refuses another file than the one with the pinned hash."""
    pinned = folder / "pinned.txt"
    pinned.write_text(f"{PACKAGE} --hash=sha256:{WHEEL_SHA256}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    flags = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--retries", "2", "--dest", str(folder)]
    try:
        done = subprocess.run(
            [*pip, *flags, "-r", str(pinned)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"The package {PACKAGE} was not there within {TIMEOUT_S:.0f} s.") from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise Unavailable(f"The package {PACKAGE} cannot be had ({said[-1].strip() if said else 'pip says nothing'}).")
    return wheels[0]
