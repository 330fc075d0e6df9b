"""A run's own verdict, asked over HTTP: what `health` and `status` tell. Every question is bounded."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from app.errors import Refused
from app.telemetry.place import Run

PATIENCE_S = 3.0
MOST_BYTES = 1_000_000


@dataclass(frozen=True)
class Verdict:
    """What a run says of itself. `wrong` are the parts that are not well, each with its sentence."""

    name: str
    url: str | None
    well: bool
    wrong: Mapping[str, str] = field(default_factory=dict)


def ask(run: Run, *, alive: bool = False, patience_s: float = PATIENCE_S) -> Verdict:
    """The verdict of a run on this machine. One that observes nothing is well, as far as anybody can say."""
    name = f"{run.pipeline}.{run.instance}"
    if run.url is None:
        return Verdict(name, None, well=True)
    return asked(name, run.url, alive=alive, patience_s=patience_s)


def asked(name: str, url: str, *, alive: bool = False, patience_s: float = PATIENCE_S) -> Verdict:
    """The verdict that is found at an address. No answer is one, too."""
    path = "/healthz" if alive else "/readyz"
    parts = _parts(url)
    try:
        connection = http.client.HTTPConnection(parts[0], parts[1], timeout=patience_s)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            told = json.loads(response.read(MOST_BYTES))
            checks = {str(check): str(words) for check, words in told["checks"].items()}
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError, TypeError, KeyError, AttributeError) as error:
        why = f"{url}{path} does not answer as a run does ({type(error).__name__})."
        return Verdict(name, url, well=False, wrong={"answer": why})
    wrong = {check: words for check, words in checks.items() if words != "ok"}
    return Verdict(name, url, well=response.status == http.client.OK and not wrong, wrong=wrong)


def _parts(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        if parts.scheme == "http" and parts.hostname and parts.path in ("", "/"):
            return parts.hostname, parts.port or 80
    except ValueError:
        pass
    raise Refused(f"{url} is not where a run answers: say http://HOST:PORT.", exit_code=2)
