from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import Unavailable
from app.local.java import find_java, find_maven, major


def a_java(home: Path, version: str) -> Path:
    """A program that says, as Java does, which version it is."""
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2024-01-16' >&2\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("version", "number"),
    [("1.8.0_392", 8), ("11.0.2", 11), ("17.0.15", 17), ("17", 17), ("22-ea", 22), ("25.0.1+8", 25), ("unknown", 0)],
)
def test_a_version_is_known_by_one_number(version: str, number: int) -> None:
    assert major(version) == number


def test_without_java_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"^Kafka needs Java 17 or newer, .* install it, .*\.$") as told:
        find_java({"PATH": str(tmp_path)})
    assert "\n" not in str(told.value)


def test_a_java_that_is_too_old_is_named_with_its_version(tmp_path: Path) -> None:
    old = a_java(tmp_path, "11.0.2")
    with pytest.raises(Unavailable, match=rf"{old} is Java 11\.0\.2: install a newer one"):
        find_java({"PATH": str(old.parent)})


def test_an_old_java_home_does_not_hide_a_newer_java_in_path(tmp_path: Path) -> None:
    old, new = a_java(tmp_path / "old", "1.8.0_392"), a_java(tmp_path / "new", "21.0.1")
    found = find_java({"JAVA_HOME": str(old.parents[1]), "PATH": str(new.parent)})
    assert (found.path, found.version) == (new, "21.0.1")


def test_java_home_goes_before_path(tmp_path: Path) -> None:
    home, path = a_java(tmp_path / "home", "17.0.1"), a_java(tmp_path / "path", "21.0.1")
    assert find_java({"JAVA_HOME": str(home.parents[1]), "PATH": str(path.parent)}).path == home


def test_the_file_of_a_jdk_is_believed_and_the_program_not_run(tmp_path: Path) -> None:
    program = a_java(tmp_path, "1.8.0_392")
    (tmp_path / "release").write_text('IMPLEMENTOR="x"\nJAVA_VERSION="17.0.15"\n')
    assert find_java({"PATH": str(program.parent)}).version == "17.0.15"


def test_a_java_that_cannot_run_is_no_java(tmp_path: Path) -> None:
    program = a_java(tmp_path, "17.0.1")
    program.write_text("#!/bin/sh\necho 'Unable to locate a Java Runtime.' >&2\nexit 1\n")
    with pytest.raises(Unavailable, match="neither JAVA_HOME nor PATH has a working one"):
        find_java({"PATH": str(program.parent)})


def test_without_maven_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"^Maven is needed once, .* install it, .*\.$"):
        find_maven({"PATH": str(tmp_path)})
