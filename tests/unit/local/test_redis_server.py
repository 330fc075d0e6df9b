from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app.local.redis_server import RedisServer, find_server, render

PROJECT = Path(__file__).resolve().parents[3]


def a_program(folder: Path, name: str) -> Path:
    program = folder / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("name", ["redis-server", "valkey-server"])
def test_a_server_in_path_goes_before_the_package(tmp_path: Path, name: str) -> None:
    program = a_program(tmp_path, name)
    assert find_server({"PATH": str(tmp_path)}) == program


def test_without_one_in_path_the_package_has_one(tmp_path: Path) -> None:
    found = find_server({"PATH": str(tmp_path)})
    assert subprocess.run([found, "--version"], capture_output=True, check=True).stdout.startswith(b"Valkey server")


def test_without_any_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(PROJECT)!r})\n"
        "from app.errors import Unavailable\nfrom app.local.redis_server import find_server\n"
        "try: find_server({'PATH': ''})\nexcept Unavailable as told: print(told)"
    )
    # Without site packages there is no package that could carry a server.
    ran = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("There is no redis-server or valkey-server in PATH")
    assert ran.stdout.count("\n") == 1


def test_nothing_is_evicted_and_every_write_is_logged(tmp_path: Path) -> None:
    text = render(RedisServer(tmp_path / 'a "home"', 21000))
    assert 'maxmemory-policy "noeviction"\n' in text
    assert 'appendonly "yes"\n' in text
    assert 'bind "127.0.0.1"\n' in text
    assert f'dir "{tmp_path}/a \\"home\\"/data"\n' in text
