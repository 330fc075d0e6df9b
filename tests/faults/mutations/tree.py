"""A copy of the project whose `app/` is broken by a patch; everything else is the project's own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
APPLY_S = 30.0


class DoesNotApply(Exception):
    """The code has moved on, and the patch must be made anew."""


def broken(patch: Path, tree: Path) -> Path:
    """Make the copy in `tree`, an empty folder outside of the project. Raises DoesNotApply."""
    shutil.copytree(ROOT / "app", tree / "app", ignore=shutil.ignore_patterns("__pycache__"))
    for entry in ROOT.iterdir():
        if entry.name not in ("app", ".git"):
            (tree / entry.name).symlink_to(entry)
    # Fewer lines of context: what is written beside the broken place is not the mutation's business.
    argv = ["git", "apply", "-C1", str(patch)]
    done = subprocess.run(argv, cwd=tree, capture_output=True, text=True, timeout=APPLY_S, check=False)
    if done.returncode:
        raise DoesNotApply(done.stderr.strip())
    return tree
