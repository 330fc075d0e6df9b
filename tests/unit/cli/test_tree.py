"""What every command has: help with an example, sentences, --json, and answers to wrong use."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.commands import LEAVES, arguments, flags, groups
from tests.unit.cli.test_main import ran

# What they print is no data: a script for a shell.
NO_DATA = {"completion"}


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KAFKA", "REDIS", "SETTINGS"):
        monkeypatch.delenv(f"STREAMINFER_{name}", raising=False)
    monkeypatch.setenv("STREAMINFER_HOME", str(tmp_path / "home"))


def test_there_are_the_commands_that_others_rely_on() -> None:
    relied_on = {
        *("up", "down", "status", "topics apply", "produce", "run", "tail", "audit", "lag", "features get"),
        *("features rebuild", "features load", "new", "settings", "completion", "models add"),
    }
    assert relied_on <= set(LEAVES)


@pytest.mark.parametrize("path", LEAVES)
def test_help_begins_with_a_sentence_and_ends_with_examples_of_this_very_command(path: str) -> None:
    code, told, why = ran(*path.split(), "--help")
    assert (code, why) == (0, "")
    said = LEAVES[path].help or ""

    assert re.match(r"[A-Z][^.]+[.:]", " ".join(said.split())), said
    examples = re.split(r"\n\s*Examples?:\n", said)[-1].strip().splitlines()
    assert examples
    for line in examples:
        assert f"streaminfer {path}" in line
        assert line.strip() in told


@pytest.mark.parametrize("path", LEAVES)
def test_the_examples_of_a_command_are_taken_by_its_parser(path: str) -> None:
    """Parsed and not run: an example that shows a flag of yesterday is found here."""
    examples = re.findall(rf"streaminfer {path}(?: [^\n]*|)(?=\n|$)", LEAVES[path].help or "")
    assert examples
    for line in examples:
        words = [word.rstrip(")") for word in shlex.split(line, comments=True)[1 + len(path.split()) :]]
        LEAVES[path].make_context(path, words[: words.index("|")] if "|" in words else words)


@pytest.mark.parametrize("path", LEAVES)
def test_every_flag_and_argument_says_what_it_is_in_a_sentence(path: str) -> None:
    for param in LEAVES[path].params:
        assert (param.help or "").endswith((".", "?")), f"{path}: {param.name}: {param.help}"


@pytest.mark.parametrize("path", [path for path in LEAVES if path not in NO_DATA])
def test_every_command_that_prints_data_has_json(path: str) -> None:
    assert "--json" in flags(LEAVES[path])


@pytest.mark.parametrize("path", LEAVES)
def test_an_unknown_flag_is_wrong_use(path: str) -> None:
    _is_wrong_use(ran(*path.split(), *_given(LEAVES[path]), "--nonsense"), "--nonsense")


@pytest.mark.parametrize("path", [path for path in LEAVES if any(it.required for it in arguments(LEAVES[path]))])
def test_an_argument_that_is_left_out_is_wrong_use(path: str) -> None:
    _is_wrong_use(ran(*path.split()), "Missing argument")


@pytest.mark.parametrize(
    "path", [path for path in LEAVES if all(argument.nargs == 1 for argument in arguments(LEAVES[path]))]
)
def test_an_argument_too_many_is_wrong_use(path: str) -> None:
    _is_wrong_use(ran(*path.split(), *_given(LEAVES[path]), "x", "y"), "unexpected extra arg")


@pytest.mark.parametrize("path", groups())
def test_a_group_without_a_command_shows_its_help_and_is_wrong_use(path: str) -> None:
    code, told, why = ran(*path.split())
    assert code == 2
    assert f"Usage: root {path}" in told + why or f"{path} [OPTIONS] COMMAND" in told + why
    _is_wrong_use(ran(*path.split(), "nonsense"), "No such command 'nonsense'")


def _given(command: Any) -> list[str]:
    """Words for every argument and flag that the command cannot do without; what they name is not looked for yet."""
    words = {"shell": "bash"}
    given = [words.get(argument.name, "x") for argument in arguments(command) if argument.required]
    for param in command.params:
        if param.param_type_name == "option" and param.required:
            given += [param.opts[0], "x"]
    return given


def _is_wrong_use(result: tuple[int, str, str], said: str) -> None:
    code, told, why = result
    assert (code, told) == (2, ""), (told, why)
    assert said in why
    assert "Traceback" not in why
