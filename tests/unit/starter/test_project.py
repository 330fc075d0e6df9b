"""What `new` writes: files that pass their own test, and nothing over what is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.errors import Refused
from app.inference.model import load_model, newest_version
from app.offline import score
from app.pipelines import models_beside, pipeline_named
from app.starter import project
from app.starter.project import FEATURES, write

FILES = ["models/shop/1/model.onnx", "models/shop/1/model.yaml", "orders.jsonl", "pipeline.py", "schema.py"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new") / "shop"
    write("shop", folder)
    return folder


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STREAMINFER_", "PYTEST_"))}
    argv = [sys.executable, *arguments]
    return subprocess.run(argv, cwd=cwd, env=kept, capture_output=True, text=True, check=False, timeout=120)


def test_it_writes_a_pipeline_a_schema_a_model_a_test_and_events(tmp_path: Path) -> None:
    written = write("shop", tmp_path / "deep" / "shop")

    assert [str(path.relative_to(tmp_path / "deep" / "shop")) for path in written] == [*FILES, "test_pipeline.py"]
    assert os.listdir(tmp_path / "deep") == ["shop"]
    assert (tmp_path / "deep" / "shop").stat().st_mode & 0o777 == 0o755


def test_its_own_test_passes_and_fails_where_the_pipeline_is_spoiled(shop: Path, tmp_path: Path) -> None:
    done = python("-m", "pytest", "-q", "shop", cwd=shop.parent)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
    write("other", tmp_path / "other")
    file = tmp_path / "other" / "pipeline.py"
    file.write_text(file.read_text().replace("order.amount_cents / 100", "0.0").replace("HOUR_MS =", "HOUR_MS = 1 #"))

    assert python("-m", "pytest", "-q", "other", cwd=tmp_path).returncode == 1


def test_what_it_writes_is_formatted_and_has_no_fault_that_a_linter_sees(shop: Path) -> None:
    for step in (
        ["check", "--isolated", "--line-length", "120"],
        ["format", "--isolated", "--line-length", "120", "--check"],
    ):
        done = python("-m", "ruff", *step, str(shop), cwd=shop.parent)
        assert done.returncode == 0, done.stdout


def test_its_pipeline_gives_what_its_model_takes(shop: Path) -> None:
    name = f"{shop}/pipeline.py:pipeline"
    pipeline = pipeline_named(name)

    assert pipeline.features == FEATURES
    assert [spec.name for spec in pipeline.topics()] == ["shop.orders", "shop.scored", "shop.orders.dead"]
    models = models_beside(name)
    assert models is not None
    assert load_model(newest_version(models, "shop"), pipeline.features).ref == "shop@1"


def test_its_events_are_all_scored_and_a_few_are_alerts(shop: Path) -> None:
    with (shop / "orders.jsonl").open() as events:
        answers = score(f"{shop}/pipeline.py:pipeline", events)

    assert len(answers) == 300
    alerts = [answer["customer_id"] for answer in answers if answer["decision"] == "alert"]
    assert set(alerts) == {"11"}
    assert len(alerts) < 10


@pytest.mark.parametrize("name", ["Shop", "", "1shop", "a b", "../x", "x" * 64, "shop\n"])
def test_a_name_that_no_pipeline_may_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match="must be lower-case letters, digits and dashes"):
        write(name, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_a_pipeline_that_is_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="There is a pipeline fraud already"):
        write("fraud", tmp_path / "new")


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "pipeline.py").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for folder in ("shop", "file"):
        with pytest.raises(Refused, match="is there already, and nothing is written over"):
            write("shop", tmp_path / folder)
    assert (tmp_path / "shop" / "pipeline.py").read_text() == (tmp_path / "file").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert write("shop", tmp_path / "empty")


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("full")

    monkeypatch.setattr(project, "_orders", fail)
    with pytest.raises(OSError, match="full"):
        write("shop", tmp_path / "shop")
    assert list(tmp_path.iterdir()) == []
