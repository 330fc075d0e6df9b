"""One mutation tried: the project is broken, its scenario runs, and what turned red is told."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.faults.mutations.catalogue import Mutation
from tests.faults.mutations.tree import ROOT, DoesNotApply, broken

LIMIT_S = 120.0  # of a whole run of pytest, on a machine that has other work
RED, PASSED = 1, 0
WORDS = 110  # of what did not hold, for a line


@dataclass(frozen=True)
class Tried:
    """What became of it. `check` is what did not hold, in the test's words, or why nothing was caught.

    `seconds` are the scenario's own, without the time that pytest takes to start.
    """

    mutation: Mutation
    caught: bool
    check: str
    seconds: float


def try_out(mutation: Mutation, home: Path) -> Tried:
    """Runs the scenario on the servers of `home`. Never raises for what the mutation does."""
    with tempfile.TemporaryDirectory(prefix="streaminfer-mutant-") as folder:
        tree, report = Path(folder) / "tree", Path(folder) / "report.xml"
        tree.mkdir()
        try:
            broken(mutation.patch, tree)
        except DoesNotApply as error:
            return Tried(mutation, caught=False, check=f"the patch does not apply: {error}", seconds=0.0)
        code = _run(mutation, tree, report, home)
        caught, check = _told(code, report)
        return Tried(mutation, caught, check, _seconds(report))


def _run(mutation: Mutation, tree: Path, report: Path, home: Path) -> int | None:
    argv = [sys.executable, "-m", "pytest", "-p", "tests.faults.mutations.within", "-p", "no:cacheprovider", "-q"]
    argv += ["--override-ini=addopts=--strict-markers", f"--junitxml={report}", mutation.scenario]
    env = os.environ | {"MUTANT": str(tree), "SERVERS_HOME": str(home)}
    if mutation.inside:
        env["MUTANT_INSIDE"] = "1"
    log = report.with_name("log")
    with log.open("wb") as out:
        process = subprocess.Popen(argv, cwd=ROOT, env=env, stdout=out, stderr=out)
        try:
            return process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait(30)
            return None
        finally:
            if process.poll() is None:
                process.kill()


def _told(code: int | None, report: Path) -> tuple[bool, str]:
    """Whether a check of the test itself turned red, and which. Trouble on the way to it counts for nothing."""
    if code is None:
        return False, f"the scenario did not end within {LIMIT_S:.0f} s"
    if code == PASSED:
        return False, "survived"
    failure = ElementTree.parse(report).find(".//failure") if report.exists() else None
    if code != RED or failure is None:
        return False, f"the scenario did not come to a check (pytest ended with {code})"
    return True, _words(failure.get("message") or "", failure.text or "")


def _seconds(report: Path) -> float:
    case = ElementTree.parse(report).find(".//testcase") if report.exists() else None
    return float(case.get("time", "0")) if case is not None else 0.0


def _words(message: str, text: str) -> str:
    """What failed, as the test says it: the assert's own words where it has some, else the line itself."""
    said = message.splitlines()[0].removeprefix("AssertionError: ") if message else ""
    lines = re.findall(r"^>\s+(.+)$", text, re.MULTILINE)
    return (lines[-1] if lines and (not said or said.startswith("assert ")) else said)[:WORDS]
