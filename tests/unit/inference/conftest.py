"""Writes small models where a test wants them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.unit.inference.small_models import Change, WriteModel, graph, manifest_of, mean_of_row, scores_of


@pytest.fixture
def write_model(tmp_path: Path) -> WriteModel:
    """Writes a version 1 of the model `small` and returns its folder; `change` spoils the manifest before that."""

    def write(
        content: bytes | None = None, *, scores: list[float] | None = None, change: Change = lambda _: None
    ) -> Path:
        content = graph(mean_of_row()) if content is None else content
        manifest = manifest_of(content, scores_of(content) if scores is None else scores)
        change(manifest)
        folder = tmp_path / "small" / "1"
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(content)
        (folder / "model.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))
        return folder

    return write
