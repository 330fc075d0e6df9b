"""The reference says what the tests run: it is made from their tables, and names tests and settings that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from app.settings import Settings
from tests.reference import FOLDER, PAGES, TABLES, renewed
from tests.waits import WAITS, Wait

TESTS = Path(__file__).parent.parent


def page(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_the_tables_in_the_reference_are_those_that_the_tests_run(name: str) -> None:
    """Else: `python -m tests.reference` puts them in anew."""
    assert page(name) == renewed(page(name))


def test_each_table_is_in_the_reference() -> None:
    assert all(table() in "".join(map(page, PAGES)) for table in TABLES.values())


@pytest.mark.parametrize("wait", WAITS, ids=lambda wait: wait.what)
def test_each_wait_names_a_test_and_a_setting_that_there_are(wait: Wait) -> None:
    path, name = wait.test.split("::")
    tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert not wait.setting or wait.setting in Settings.model_fields


@pytest.mark.parametrize("name", PAGES)
def test_the_settings_in_the_reference_are_settings(name: str) -> None:
    told = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", page(name))) - {"max_record_bytes"}  # a pipeline's
    assert told
    assert told <= set(Settings.model_fields)
