"""Writes a new pipeline: its file, its schema, a tiny model, a test, and orders to try it on. Overwrites nothing."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from app.errors import Refused
from app.pipeline import NAME
from app.pipelines import PIPELINES

TEMPLATES = ("pipeline.py", "schema.py", "test_pipeline.py")
EVENTS = "orders.jsonl"
FEATURES = ("amount", "customer_count_1h", "customer_mean_1h", "customer_count_1d", "customer_mean_1d")
# Many orders of a customer within an hour, or a large one, make a high score.
WEIGHTS, BIAS, THRESHOLD = (0.004, 0.25, 0.0, 0.05, 0.0), -2.5, 0.5
ROWS = ((20.0, 1.0, 20.0, 1.0, 20.0), (35.5, 6.0, 22.25, 8.0, 24.0), (900.0, 2.0, 465.0, 3.0, 320.0))
START_MS = 1_736_150_400_000  # 2025-01-06T08:00:00Z


def write(name: str, folder: Path) -> list[Path]:
    """The files of a new pipeline in `folder`, all or none. Raises Refused where something is there already."""
    if not NAME.fullmatch(name):
        raise Refused(f"The name {name!r} must be lower-case letters, digits and dashes.", exit_code=2)
    if name in PIPELINES:
        raise Refused(f"There is a pipeline {name} already, and its name is its group's: take another.", exit_code=2)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused(f"{folder} is there already, and nothing is written over: take another --folder.", exit_code=2)
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
    try:
        _fill(beside, name, folder)
        beside.chmod(0o755)  # a temporary folder is its maker's alone
        beside.rename(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _fill(to: Path, name: str, folder: Path) -> None:
    import numpy as np

    from app.starter.graph import weighted
    from app.starter.manifest import add_version

    for file in TEMPLATES:
        text = resources.files("app.starter").joinpath("template", f"{file}.txt").read_text()
        (to / file).write_text(text.replace("NAME", name).replace("FOLDER", str(folder)))
    (to / EVENTS).write_text("".join(json.dumps(order, separators=(",", ":")) + "\n" for order in _orders()))
    add_version(
        to / "models",
        name,
        weighted(WEIGHTS, BIAS),
        features=FEATURES,
        rows=np.array(ROWS, np.float32),
        threshold=THRESHOLD,
        command=f"streaminfer new {name}",
    )


def _orders() -> Iterator[dict[str, object]]:
    """Three hundred orders of twelve customers over a day; the last customer buys ever faster."""
    times = [START_MS + number * 280_000 for number in range(288)]
    for number, time_ms in enumerate(times):
        yield _order(number, customer=number * 5 % 11, cents=900 + number * 7919 % 6000, time_ms=time_ms)
    for number in range(12):
        yield _order(288 + number, customer=11, cents=2_500, time_ms=times[-1] + (number + 1) * 45_000)


def _order(number: int, *, customer: int, cents: int, time_ms: int) -> dict[str, object]:
    return {"order_id": str(number), "customer_id": str(customer), "amount_cents": cents, "time_ms": time_ms}
