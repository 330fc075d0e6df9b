"""The Java that runs the broker, and the Maven that fetches it: found, or one sentence that says what to install."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.errors import Unavailable

OLDEST = 17  # Kafka 4 brokers

_INSTALL = "for example with `apt install openjdk-17-jre-headless` or `brew install openjdk@17`"


@dataclass(frozen=True, slots=True)
class Java:
    """A Java launcher and its version as it names itself, "17.0.15"."""

    path: Path
    version: str

    @property
    def home(self) -> Path | None:
        """What JAVA_HOME should say; None where the launcher is a stub that lies elsewhere, as on macOS."""
        return _home(self.path)


def major(version: str) -> int:
    """The number that people call a Java by: 8 for "1.8.0_392", 17 for "17.0.15", 22 for "22-ea"; 0 for none."""
    numbers = [int(number) for number in re.findall(r"\d+", version)[:2]]
    if not numbers:
        return 0
    return numbers[1] if numbers[0] == 1 and len(numbers) > 1 else numbers[0]


def find_java(environment: Mapping[str, str] = os.environ) -> Java:
    """The first Java of JAVA_HOME and PATH that is new enough. Raises Unavailable with what to install."""
    found = list(_candidates(environment))
    for java in found:
        if major(java.version) >= OLDEST:
            return java
    if not found:
        raise Unavailable(
            f"Kafka needs Java {OLDEST} or newer, and neither JAVA_HOME nor PATH has a working one: "
            f"install it, {_INSTALL}, and run ops/setup again."
        )
    raise Unavailable(
        f"Kafka needs Java {OLDEST} or newer, and {found[0].path} is Java {found[0].version}: "
        f"install a newer one, {_INSTALL}, or point JAVA_HOME at it, and run ops/setup again."
    )


def find_maven(environment: Mapping[str, str] = os.environ) -> Path:
    """Raises Unavailable with what to install."""
    found = shutil.which("mvn", path=environment.get("PATH", ""))
    if found is None:
        raise Unavailable(
            "Maven is needed once, to fetch Kafka, and there is no `mvn` in PATH: install it, "
            "for example with `apt install maven` or `brew install maven`, and run ops/setup again."
        )
    return Path(found)


def _candidates(environment: Mapping[str, str]) -> Iterator[Java]:
    home = environment.get("JAVA_HOME")
    in_home = shutil.which("java", path=f"{home}/bin") if home else None
    for place in (in_home, shutil.which("java", path=environment.get("PATH", ""))):
        version = _version(Path(place)) if place else None
        if place and version:
            yield Java(Path(place), version)


def _version(java: Path) -> str | None:
    # A JDK names its version in a file; asking the program takes a tenth of a second, at every `up`.
    home = _home(java)
    text = (home / "release").read_text() if home else _ask(java)
    found = re.search(r'(?:JAVA_VERSION=|version )"([^"]+)"', text)
    return found.group(1) if found else None


def _home(java: Path) -> Path | None:
    home = java.resolve().parents[1]
    return home if (home / "release").is_file() else None


def _ask(java: Path) -> str:
    try:
        asked = subprocess.run([str(java), "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stderr
