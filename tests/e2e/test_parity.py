"""ops/parity over a few days, as a user runs it: what it finds out, and that nothing is left of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from app.pipelines.fraud import FRAUD, FRAUD_LABELS
from app.settings import PROJECT
from tests.contract.loop.rig import wait_for
from tests.interactions import needs_movielens

pytestmark = [pytest.mark.broker, pytest.mark.redis]
PAYMENTS = 134_288  # of the first fourteen days: three of them tell a delay of seven days from a second more


def parity(folder: Path, *flags: str) -> subprocess.Popen[str]:
    """A run whose home is in this folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMINFER_")}
    # Where somebody's own Kafka is must not decide where it writes.
    environment |= {"STREAMINFER_KAFKA": "127.0.0.1:1", "TMPDIR": str(folder)}
    return subprocess.Popen(
        [PROJECT / "ops" / "parity", *flags],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def left(folder: Path) -> list[str]:
    """What is left of such a run: processes that know its home, and the home."""
    mark = str(folder / "streaminfer-parity-")
    found = [str(path) for path in folder.glob("streaminfer-parity-*")]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes() + (process / "cmdline").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it has just ended, or is none of ours
    return found


def test_the_stream_gives_the_offline_features_and_the_same_bytes_after_kills(tmp_path: Path) -> None:
    process = parity(tmp_path, "--days", "14", "--json")
    told, log = process.communicate(timeout=280)

    assert process.returncode == 0, (told, log)
    found = json.loads(told)
    assert found["holds"]
    assert found["wrong"] == []
    waited = found["Payments wait for outcomes, to the record"]
    assert [stop["are scored"] for stop in waited] == [stop["may be scored"] for stop in waited]
    assert len({stop["are scored"] for stop in waited}) == 6
    assert (waited[0]["are scored"], waited[-1]["are scored"]) == (0, PAYMENTS)
    whole = {"payments": PAYMENTS, "predictions": PAYMENTS, "missing": 0, "twice": 0, "dead letters": 0}
    for run in ("first run", "second run"):
        assert found[run].items() >= whole.items()
    assert found["first run"]["marked"] == 0
    assert list(found["features"]) == list(FRAUD.features)
    for name, column in found["features"].items():
        assert (column["compared"], column["differ"]) == (PAYMENTS, []), name
        assert column["not nought"] > (100 if "risk" in name else 20_000), name
    assert min(found["again"]["kills"][pipeline.name] for pipeline in (FRAUD, FRAUD_LABELS)) > 0
    assert found["again"]["differ"] == []
    assert left(tmp_path) == []


@needs_movielens
def test_recommendations_through_the_stream_are_as_good_as_the_best_published(tmp_path: Path) -> None:
    process = parity(tmp_path, "--part", "recommendations", "--json")
    told, log = process.communicate(timeout=280)

    assert process.returncode == 0, (told, log)
    found = json.loads(told)["recommendations"]
    assert found["whole"] == found["live"] == {"answers": 74_992, "marked": 0}
    assert found["nDCG@10"]["whole"] >= 0.475
    assert found["nDCG@10"]["differs"] == 0
    assert 0.47 < found["nDCG@10"]["live"] < found["nDCG@10"]["whole"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_a_run_that_is_ended(number: signal.Signals, tmp_path: Path) -> None:
    process = parity(tmp_path, "--days", "2")
    assert process.stdout is not None
    while "0 payments scored" not in (line := process.stdout.readline()):
        assert line, "it ended by itself"
    assert left(tmp_path) != []
    process.send_signal(number)
    process.communicate(timeout=60)

    assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
    wait_for("the end of all that parity started", lambda: left(tmp_path) == [])


@pytest.mark.parametrize("days", ["0", "184", "some"])
def test_days_that_there_are_not_are_wrong_use(days: str, tmp_path: Path) -> None:
    process = parity(tmp_path, "--days", days)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--days" in told.splitlines()[-1]
