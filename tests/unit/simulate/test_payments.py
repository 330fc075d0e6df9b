"""The simulated payments are the published ones, and stay so."""

from __future__ import annotations

import csv
import gzip
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.errors import Fatal, Refused
from app.simulate import payments as module
from app.simulate.cache import load_columns, save_columns
from app.simulate.payments import COLUMNS, DAY_S, DAYS, Payments, simulate

SORTED_IDS = "import numpy as np; s = np.random.default_rng(1).integers(0, 20_000, 400_000)\n"
SORTED_IDS += "print(np.argsort(s.view('datetime64[s]')).sum(where=np.arange(400_000) % 3 == 0))"


def lines(payments: Payments, start: int, end: int) -> list[str]:
    columns = (column[start:end].tolist() for column in payments.columns)
    return [",".join(map(str, row)) + "\n" for row in zip(*columns, strict=True)]


def same(left: Payments, right: Payments) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(left.columns, right.columns, strict=True))


def test_each_day_has_the_published_digest(payments: Payments, published: Path) -> None:
    *days, whole = csv.DictReader((published / "fdh-digests.csv").read_text().splitlines())
    assert len(days) == DAYS
    everything = hashlib.sha256()
    for day in days:
        start, end = np.searchsorted(payments.seconds, np.array([0, 1]) * DAY_S + int(day["day"]) * DAY_S)
        text = "".join(lines(payments, int(start), int(end))).encode()
        everything.update(text)
        assert end - start == int(day["transactions"]), day
        assert payments.fraud[start:end].sum() == int(day["frauds"]), day
        assert hashlib.sha256(text).hexdigest() == day["sha256"], day
    assert everything.hexdigest() == whole["sha256"]
    assert (len(payments), payments.fraud.sum()) == (int(whole["transactions"]), int(whole["frauds"]))


def test_the_first_two_days_are_the_published_rows(payments: Payments, published: Path) -> None:
    with gzip.open(published / "fdh-transactions-days-0-1.csv.gz", "rt") as file:
        next(file)
        for row, line in enumerate(file):
            assert lines(payments, row, row + 1) == [line], row
    assert row == 19_070


def test_fewer_days_are_the_beginning_of_the_whole(payments: Payments, payments_cache: Path) -> None:
    few = simulate(days=2, cache=payments_cache)
    assert len(few) == 19_071
    assert few.day.max() == 1
    assert same(few, Payments(*(column[:19_071] for column in payments.columns)))


def test_the_cache_gives_back_what_was_simulated(payments: Payments, payments_cache: Path) -> None:
    (kept,) = payments_cache.iterdir()
    written = kept.stat().st_mtime_ns
    assert same(simulate(cache=payments_cache), payments)
    assert kept.stat().st_mtime_ns == written


@pytest.mark.parametrize("damage", ["torn", "empty", "text", "other columns"])
def test_a_damaged_cache_is_as_good_as_none(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CUSTOMERS", 40)
    payments = simulate(seed=1, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    if damage == "torn":
        path.write_bytes(path.read_bytes()[:-500])
    elif damage == "other columns":
        np.savez(path, seconds=payments.seconds)
    else:
        path.write_text("" if damage == "empty" else "no archive")
    assert same(simulate(seed=1, cache=tmp_path), payments)
    assert list(tmp_path.iterdir()) == [path]
    assert load_columns(path, COLUMNS) is not None


def test_a_cache_with_other_numbers_is_not_believed(
    payments: Payments, payments_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (kept,) = payments_cache.iterdir()
    save_columns(tmp_path / kept.name, dict(zip(COLUMNS, payments.first_days(3).columns, strict=True)))
    monkeypatch.setattr(module, "CUSTOMERS", 40)
    with pytest.raises(Fatal, match="not the published ones"):  # that is, it was simulated again
        simulate(cache=tmp_path)


def test_another_seed_gives_other_payments_and_the_same_ones_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CUSTOMERS", 40)
    first, again, other = simulate(seed=1), simulate(seed=1), simulate(seed=2)
    assert same(first, again)
    assert not same(first, other)
    assert set(np.unique(first.customer)) <= set(range(40))
    assert (np.diff(first.seconds) >= 0).all()


def test_payments_that_are_not_the_published_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CUSTOMERS", 40)
    with pytest.raises(Fatal, match=r"not the published ones.*ops/requirements\.lock"):
        simulate()


@pytest.mark.parametrize(("seed", "days"), [(-1, 1), (4_294, 1), (0, 0), (0, 184)])
def test_what_cannot_be_simulated_is_refused(seed: int, days: int) -> None:
    with pytest.raises(Refused, match="choose"):
        simulate(seed, days)


def test_the_order_of_equal_times_does_not_depend_on_the_processor() -> None:
    def run(without: str) -> str:
        environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": without}
        command = [sys.executable, "-W", "ignore", "-c", SORTED_IDS]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    assert run("X86_V3 X86_V4 AVX512_ICL AVX512_SPR AVX2 AVX512F AVX512_SKX") == run("")
