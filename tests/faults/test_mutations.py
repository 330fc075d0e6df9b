"""That every broken rule turns a test red: all patches fit the code of today, and some of them are tried each time."""

from __future__ import annotations

import difflib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.local.stack import Stack
from tests.faults.mutations.breaking import try_out
from tests.faults.mutations.catalogue import HERE, MUTATIONS, Mutation
from tests.faults.mutations.tree import ROOT, DoesNotApply, broken

BY_NAME = {mutation.name: mutation for mutation in MUTATIONS}
EACH_TIME = ("no-compare-and-set", "folded-twice", "window-one-millisecond-off", "read-uncommitted")

TOUCHED = "app/features/numbers.py"


def write_patch(path: Path, *, more: str, was: str = "") -> None:
    """A patch that adds a line at the end of a file, which should end with `was`."""
    now = (ROOT / TOUCHED).read_text().splitlines(keepends=True)
    before = [*now, was] if was else now
    path.write_text("".join(difflib.unified_diff(before, [*before, more], f"a/{TOUCHED}", f"b/{TOUCHED}")))


def changed(patch: Path) -> list[str]:
    return re.findall(r"^\+\+\+ b/(\S+)$", patch.read_text(), re.MULTILINE)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_patch_fits_the_code_of_today_and_is_a_program(mutation: Mutation, tmp_path: Path) -> None:
    tree = broken(mutation.patch, tmp_path)
    names = changed(mutation.patch)
    assert names
    for name in names:
        text = (tree / name).read_text()
        assert text != (ROOT / name).read_text()
        compile(text, name, "exec")


def test_every_patch_is_in_the_catalogue_and_every_scenario_in_the_suite() -> None:
    assert {patch.stem for patch in HERE.glob("*.patch")} == set(BY_NAME)
    assert len(BY_NAME) == len(MUTATIONS)
    for mutation in MUTATIONS:
        file, function = mutation.scenario.partition("[")[0].split("::")
        assert f"def {function}(" in (ROOT / file).read_text(), mutation.name


@pytest.mark.broker
@pytest.mark.redis
@pytest.mark.parametrize("name", EACH_TIME)
def test_a_broken_rule_turns_its_test_red(stack: Stack, name: str) -> None:
    tried = try_out(BY_NAME[name], stack.home)
    assert tried.caught, tried.check


@pytest.mark.soak
@pytest.mark.broker
@pytest.mark.redis
@pytest.mark.parametrize("name", sorted(set(BY_NAME) - set(EACH_TIME)))
def test_every_broken_rule_turns_its_test_red(stack: Stack, name: str) -> None:
    tried = try_out(BY_NAME[name], stack.home)
    assert tried.caught, tried.check


def test_a_change_that_breaks_nothing_is_told_to_have_survived(stack: Stack, tmp_path: Path) -> None:
    write_patch(tmp_path / "harmless.patch", more="# nothing\n")
    scenario = BY_NAME["window-one-millisecond-off"].scenario
    tried = try_out(Mutation("harmless", "-", "nothing", scenario, inside=True, folder=tmp_path), stack.home)
    assert (tried.caught, tried.check) == (False, "survived")


def test_a_scenario_that_comes_to_no_check_catches_nothing(stack: Stack, tmp_path: Path) -> None:
    write_patch(tmp_path / "harmless.patch", more="raise SystemError\n")
    scenario = "tests/unit/features/test_window.py::test_that_is_not_there"
    tried = try_out(Mutation("harmless", "-", "nothing", scenario, folder=tmp_path), stack.home)
    assert not tried.caught
    assert "did not come to a check" in tried.check


def test_a_patch_that_fits_no_more_is_told(tmp_path: Path) -> None:
    patch = tmp_path / "old.patch"
    write_patch(patch, more="# nothing\n", was="what is not there any more\n")
    tree = tmp_path / "tree"
    tree.mkdir()
    with pytest.raises(DoesNotApply):
        broken(patch, tree)


def test_a_name_that_is_none_is_refused_with_those_that_there_are() -> None:
    argv = [sys.executable, "-m", "tests.faults.mutations", "no-such-thing"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "no mutation called no-such-thing" in done.stderr
    assert "read-uncommitted" in done.stderr
