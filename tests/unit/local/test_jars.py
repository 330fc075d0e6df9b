from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.errors import Refused, Unavailable
from app.local.jars import Sources, check, ensure_jars

PROJECT = Path(__file__).resolve().parents[3]
JARS = {"kafka_2.13-9.9.9.jar": b"broker", "log4j-core-1.jar": b"log"}


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sources:
    """A pinned list of two jars, and in PATH a program that stands for Maven and counts its runs."""
    pinned, bin_, repository = tmp_path / "pinned", tmp_path / "bin", tmp_path / "repository"
    for folder in (pinned, bin_, repository):
        folder.mkdir()
    (pinned / "pom.xml").write_text("<kafka.version>9.9.9</kafka.version>")
    for name, content in JARS.items():
        (repository / name).write_bytes(content)
    pin(pinned / "SHA256SUMS", JARS)
    maven = bin_ / "mvn"
    maven.write_text(
        f"#!/bin/sh\necho run >> {tmp_path}/runs\n"
        'for each; do case "$each" in -DoutputDirectory=*) to="${each#*=}";; esac; done\n'
        f'mkdir -p "$to" && cp {repository}/*.jar "$to"\n'
    )
    maven.chmod(0o755)
    java = bin_ / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"17.0.1\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return Sources(pinned=pinned, store=tmp_path / "store")


def pin(sums: Path, jars: dict[str, bytes]) -> None:
    sums.write_text("".join(f"{hashlib.sha256(jar).hexdigest()}  {name}\n" for name, jar in jars.items()))


def runs(sources: Sources) -> int:
    counted = sources.store.parent / "runs"
    return len(counted.read_text().splitlines()) if counted.exists() else 0


def test_the_committed_list_fits_the_committed_pom() -> None:
    sources = Sources()
    lines = sources.sums.read_text().splitlines()
    assert all(re.fullmatch(r"[0-9a-f]{64}  [\w.-]+\.jar", line) for line in lines)
    names = [line.split()[1] for line in lines]
    assert names == sorted(set(names))
    log4j = re.findall(r"<log4j\.version>(.+)</log4j", sources.pom.read_text())[0]
    for name in (f"kafka_2.13-{sources.version}.jar", f"log4j-core-{log4j}.jar", f"log4j-slf4j-impl-{log4j}.jar"):
        assert name in names


def test_the_pom_pins_every_version() -> None:
    versions = re.findall(r"version>([^<]+)</\w*\.?version>", Sources().pom.read_text())
    assert len(versions) == 7
    assert all(re.fullmatch(r"[\d.]+|\$\{\w+\.version\}", version) for version in versions)


def test_what_is_missing_is_fetched_once(sources: Sources) -> None:
    first, second = ensure_jars(sources), ensure_jars(sources)
    assert first == second
    assert first.jars == tuple(sorted(JARS))
    assert {jar.name: jar.read_bytes() for jar in (first.root / "libs").iterdir()} == JARS
    assert runs(sources) == 1


def test_two_processes_at_once_fetch_once(sources: Sources) -> None:
    code = (
        "import sys; from pathlib import Path; from app.local.jars import *;"
        "print(ensure_jars(Sources(Path(sys.argv[1]), Path(sys.argv[2]))).root)"
    )
    argv = [sys.executable, "-c", code, str(sources.pinned), str(sources.store)]
    both = [subprocess.Popen(argv, cwd=PROJECT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[0].strip() for process in both]
    assert said == [str(sources.store / "9.9.9")] * 2
    assert runs(sources) == 1


def test_a_jar_that_is_not_the_pinned_one_is_refused_and_nothing_is_installed(sources: Sources) -> None:
    pin(sources.sums, {**JARS, "log4j-core-1.jar": b"what was reviewed"})
    with pytest.raises(Refused, match=r"log4j-core-1\.jar has the sha256 .* must not be run\.$"):
        ensure_jars(sources)
    assert [path.name for path in sources.store.iterdir()] == ["fetch.lock"]


@pytest.mark.parametrize(
    ("there", "told"),
    [
        ({"a.jar": b"a"}, r"b\.jar did not come, although"),
        ({"a.jar": b"a", "b.jar": b"b", "c.jar": b"c"}, r"c\.jar came, although"),
        ({"a.jar": b"a", "b.jar": b"B"}, r"b\.jar has the sha256"),
    ],
)
def test_a_folder_that_differs_from_the_list_is_refused(tmp_path: Path, there: dict[str, bytes], told: str) -> None:
    pin(tmp_path / "sums", {"a.jar": b"a", "b.jar": b"b"})
    for name, content in there.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(Refused, match=told):
        check(tmp_path, tmp_path / "sums")


def test_another_list_is_fetched_anew(sources: Sources) -> None:
    ensure_jars(sources)
    (sources.store.parent / "repository" / "log4j-core-1.jar").write_bytes(b"newer")
    pin(sources.sums, {**JARS, "log4j-core-1.jar": b"newer"})
    assert (ensure_jars(sources).root / "libs" / "log4j-core-1.jar").read_bytes() == b"newer"


def test_what_a_killed_fetch_left_is_cleared_away(sources: Sources) -> None:
    (sources.store / "fetch-killed" / "libs").mkdir(parents=True)
    ensure_jars(sources)
    assert sorted(path.name for path in sources.store.iterdir()) == ["9.9.9", "fetch.lock"]


def test_when_maven_fails_its_reason_is_told(sources: Sources) -> None:
    maven = sources.store.parent / "bin" / "mvn"
    maven.write_text("#!/bin/sh\necho '[ERROR] no route to the repository'\nexit 1\n")
    with pytest.raises(Unavailable, match=r"(?s)^Maven could not fetch Kafka: .*no route to the repository"):
        ensure_jars(sources)
