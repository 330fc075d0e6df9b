"""The quick profile, as everybody runs it with `ops/faults`: ten faults, and every answer judged."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.faults.runs import ROOT

SEED = "7"
WITHIN_S = 420  # three minutes where nothing else is done, and the rest for a machine that has other work

pytestmark = [pytest.mark.broker, pytest.mark.redis, pytest.mark.timeout(WITHIN_S + 60)]


def test_nothing_is_lost_doubled_or_wrong_through_ten_faults() -> None:
    argv = [sys.executable, "-m", "tests.faults", "--profile", "quick", "--seed", SEED, "--json"]
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert ended.stdout, ended.stderr[-4000:]
    told = json.loads(ended.stdout)
    assert told["findings"] == [], ended.stderr[-4000:]
    assert (told["lost"], told["doubled"], told["wrong"], told["hangs"]) == (0, 0, 0, 0)
    assert told["faults"] >= 3, "a machine so slow proves little"
    assert told["aborted_attempts"] >= 1
    assert (ended.returncode, told["ok"]) == (0, True)


@pytest.mark.soak
@pytest.mark.timeout(3_700)
def test_nothing_is_lost_doubled_or_wrong_through_a_hundred_faults() -> None:
    argv = [sys.executable, "-m", "tests.faults", "--profile", "long", "--count", "100", "--seed", SEED, "--json"]
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=3_600, check=False)
    assert ended.returncode == 0, (ended.stdout[-4000:], ended.stderr[-4000:])
