"""Integer columns kept in a file between runs, so that nobody waits twice for the same simulation.

Owns the file's form. Promises that a file is whole or not there, and that a broken one reads as absent.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def load_columns(path: Path, names: tuple[str, ...]) -> list[NDArray[np.int64]] | None:
    """Give the columns in the order of `names`, or None where the file is absent, broken or holds others."""
    try:
        # Opened here, because numpy leaves a file open that turns out to be broken.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return [stored[name].astype(np.int64) for name in names]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def save_columns(path: Path, columns: Mapping[str, NDArray[np.int64]]) -> None:
    """Write 32-bit columns beside the final name, then rename: a reader sees the old file, none, or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.savez(file, allow_pickle=False, **{name: column.astype(np.int32) for name, column in columns.items()})
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
