"""Writes schemas/json/ and schemas/asyncapi.json from schemas and pipelines, or checks that they are up to date.

python -m app.contracts.generate            write
python -m app.contracts.generate --check    exit 1 and name each file that is not what would be written
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import schemas
from app.contracts.asyncapi import asyncapi
from app.contracts.jsonschema import json_schema
from app.pipelines import PIPELINES
from schemas.topics import TOPICS

FOLDER = Path(schemas.__file__).parent
COMMAND = ".venv/bin/python -m app.contracts.generate"


def generated() -> dict[str, str]:
    """Every generated file: its path below schemas/, and its text."""
    files = {f"json/{name}.schema.json": _text(json_schema(contract)) for name, contract in TOPICS.items()}
    return files | {"asyncapi.json": _text(asyncapi(PIPELINES.values(), TOPICS))}


def stale(folder: Path) -> list[str]:
    """The files below `folder` that differ, are missing, or belong to a topic that is no more. Paths, sorted."""
    wanted = generated()
    found = {path.relative_to(folder).as_posix() for path in folder.glob("json/*.schema.json")}
    differing = {name for name, text in wanted.items() if _read(folder / name) != text}
    return sorted(differing | (found - wanted.keys()))


def write(folder: Path) -> list[str]:
    """Makes the files below `folder` what they should be. Returns the paths of those that changed, sorted."""
    wanted, changed = generated(), stale(folder)
    for name in changed:
        path = folder / name
        if name in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[name], encoding="utf-8")
        else:
            path.unlink()
    return changed


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Generates JSON Schema and AsyncAPI from schemas/.")
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if a file is not up to date")
    if not parser.parse_args(arguments).check:
        for name in write(FOLDER):
            print(f"schemas/{name} is renewed.")
        return 0
    differing = stale(FOLDER)
    for name in differing:
        print(f"schemas/{name} is not what the schemas say: run {COMMAND} and look at the difference.")
    return 1 if differing else 0


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
