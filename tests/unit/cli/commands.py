"""Every command that there is, found by walking the tree: a new one is tested without being named here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer.main

from app.cli.main import cli


def leaves() -> dict[str, Any]:
    """Each command by its words."""
    return dict(_leaves(typer.main.get_command(cli), ""))


def _leaves(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path.strip(), command
    else:
        for name, one in inner.items():
            yield from _leaves(one, f"{path} {name}")


def groups() -> list[str]:
    """The words that stand before other commands: `topics`, `features`."""
    return sorted({path.rpartition(" ")[0] for path in LEAVES if " " in path})


def flags(command: Any) -> set[str]:
    return {flag for param in command.params for flag in param.opts if flag.startswith("--")}


def arguments(command: Any) -> list[Any]:
    return [param for param in command.params if param.param_type_name == "argument"]


LEAVES = leaves()
