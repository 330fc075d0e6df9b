"""Kafka's jars: fetched once by Maven from the pinned list in ops/kafka/, each checked, and then left alone.

They lie in <project>/.kafka/<version>/libs and are shared by all homes. `python -m app.local.jars` fetches what is
missing; `python -m app.local.jars pin` rewrites ops/kafka/SHA256SUMS after a change of the pom.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from app.errors import Refused, StreamInferError, Unavailable
from app.local.java import Java, find_java, find_maven
from app.local.lock import locked

_PROJECT = Path(__file__).resolve().parents[2]
_FETCH_TIMEOUT_S = 900.0


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the pinned list is and where the jars go; another one than the project's is for tests."""

    pinned: Path = _PROJECT / "ops" / "kafka"
    store: Path = _PROJECT / ".kafka"

    @property
    def pom(self) -> Path:
        return self.pinned / "pom.xml"

    @property
    def sums(self) -> Path:
        return self.pinned / "SHA256SUMS"

    @property
    def version(self) -> str:
        found = re.search(r"<kafka\.version>([^<]+)</kafka\.version>", self.pom.read_text())
        if found is None:
            raise Refused(f"{self.pom} does not say which Kafka to fetch: give it a property kafka.version.")
        return found.group(1)


@dataclass(frozen=True, slots=True)
class Kafka:
    """A Kafka that can be started: `root` has the folder libs/; the jars in it are named in order."""

    java: Java
    version: str
    root: Path
    jars: tuple[str, ...]


def ensure_jars(sources: Sources | None = None) -> Kafka:
    """Kafka's jars, fetched if they are not there. Safe in two processes at once; takes no time where they are there.

    Raises Unavailable when Java or Maven is missing or the network is, Refused when a jar is not the pinned one.
    """
    sources = sources or Sources()
    java = find_java()
    version = sources.version
    root = sources.store / version
    if not _is_whole(root, sources):
        sources.store.mkdir(parents=True, exist_ok=True)
        # Also because Maven's own store is not safe for two writers.
        busy = "Another process has been fetching Kafka for long: wait for it, or end it, and run ops/setup again."
        with locked(sources.store / "fetch.lock", timeout_s=_FETCH_TIMEOUT_S, busy=busy):
            if not _is_whole(root, sources):
                print(f"Fetching Apache Kafka {version} with Maven, 44 MB, once.", file=sys.stderr)
                _fetch(sources, java, root)
    return Kafka(java, version, root, tuple(sorted(_pinned(sources.sums))))


def check(libs: Path, sums: Path) -> None:
    """Every jar in `libs` is the pinned one, none is missing, none is there besides. Raises Refused."""
    pinned, there = _pinned(sums), _digests(libs)
    for name in sorted(pinned.keys() | there.keys()):
        if name not in there:
            trouble = f"did not come, although {sums} names it"
        elif name not in pinned:
            trouble = f"came, although {sums} does not name it"
        elif there[name] != pinned[name]:
            trouble = f"has the sha256 {there[name]}, and {sums} says {pinned[name]}"
        else:
            continue
        raise Refused(
            f"Kafka was not installed, because {name} {trouble}: remove it from Maven's repository (~/.m2) and run "
            "ops/setup again; if it stays so, what is fetched is not what was reviewed, and must not be run."
        )


def pin(sources: Sources | None = None) -> None:
    """Fetches by the pom as it is now and writes SHA256SUMS anew. What changed is for a person to review."""
    sources = sources or Sources()
    with tempfile.TemporaryDirectory() as folder:
        _run_maven(sources, find_java(), Path(folder))
        lines = [f"{digest}  {name}\n" for name, digest in sorted(_digests(Path(folder)).items())]
        sources.sums.write_text("".join(lines))


def _is_whole(root: Path, sources: Sources) -> bool:
    # Checking 44 MB takes a second; the stamp says that it was done, and against which list.
    stamp = root / "checked"
    return stamp.is_file() and stamp.read_text() == _list_digest(sources.sums)


def _list_digest(sums: Path) -> str:
    return hashlib.sha256(sums.read_bytes()).hexdigest()


def _fetch(sources: Sources, java: Java, root: Path) -> None:
    """What is seen under `root` is always whole: it is made beside it and renamed. The caller holds the lock."""
    for left in sources.store.glob("fetch-*/"):
        shutil.rmtree(left)
    made = Path(tempfile.mkdtemp(prefix="fetch-", dir=sources.store))
    try:
        _run_maven(sources, java, made / "libs")
        check(made / "libs", sources.sums)
        (made / "checked").write_text(_list_digest(sources.sums))
        made.chmod(0o755)
        shutil.rmtree(root, ignore_errors=True)
        made.rename(root)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _run_maven(sources: Sources, java: Java, libs: Path) -> None:
    argv = [str(find_maven()), "--batch-mode", "--quiet", "--strict-checksums", "--file", str(sources.pom)]
    argv += ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={libs}"]
    environment = dict(os.environ)
    if java.home is not None:
        environment["JAVA_HOME"] = str(java.home)
    try:
        ran = subprocess.run(
            argv, env=environment, capture_output=True, text=True, timeout=_FETCH_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise Unavailable(
            f"Maven did not fetch Kafka within {_FETCH_TIMEOUT_S / 60:.0f} minutes: look at the network and at the "
            "proxy in ~/.m2/settings.xml, and run ops/setup again."
        ) from late
    if ran.returncode != 0:
        said = "\n".join(line for line in ran.stdout.splitlines() if "ERROR" in line)[:1500]
        raise Unavailable(
            "Maven could not fetch Kafka: look at the network and at the proxy in ~/.m2/settings.xml, and run "
            f"ops/setup again. It said:\n{said}"
        )


def _pinned(sums: Path) -> dict[str, str]:
    lines = (line.split() for line in sums.read_text().splitlines())
    return {name: digest for digest, name in lines}


def _digests(libs: Path) -> dict[str, str]:
    return {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in libs.glob("*.jar")}


def main(arguments: list[str]) -> int:
    try:
        if arguments == ["pin"]:
            pin()
        else:
            ensure_jars()
    except StreamInferError as error:
        print(error, file=sys.stderr)
        return 3 if isinstance(error, Unavailable) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
