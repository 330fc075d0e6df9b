"""A version of a model, of whatever kind its manifest says."""

from __future__ import annotations

from pathlib import Path

from app.inference.manifest import RankerManifest
from app.inference.model import Model, described, load_model
from app.inference.ranker import Ranker, load_ranker


def load(folder: Path, features: tuple[str, ...]) -> Model | Ranker:
    """Load the version in `folder` for a pipeline that gives `features`, in this order.

    Raises:
        Fatal: when it must not serve, with a sentence that shows both sides.
    """
    ranks = isinstance(described(folder, features), RankerManifest)
    return load_ranker(folder, features) if ranks else load_model(folder, features)


def check(folder: str, features: list[str]) -> None:
    """Load a version and let it go: what a process of its own is asked for."""
    load(Path(folder), tuple(features))
