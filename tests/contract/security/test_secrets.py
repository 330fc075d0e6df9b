"""Secrets that are planted wherever one may stand are shown nowhere: in success, in failure, or in the process list."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
from confluent_kafka.admin import AclOperation, ResourceType  # type: ignore[attr-defined]  # public, not exported

from app.local.leash import Leash
from app.local.ports import HOST, free_ports
from tests.contract.loop.rig import wait_for
from tests.contract.security.conftest import KAFKA_PASSWORD, KEY_PASSWORD, SCORER, Guarded
from tests.contract.security.guarded import right
from tests.contract.security.visitor import Visitor

pytestmark = [pytest.mark.broker, pytest.mark.redis]

IN_URL, IN_OTLP, IN_HEADERS = "planted-in@redis/url", "planted-in-otlp-url", "planted-in-otlp-headers"
IN_OPTIONS, MISTAKEN = "planted-in-the-options", "planted-and-mistaken"
USER = "planted"
SECRETS = (KAFKA_PASSWORD, KEY_PASSWORD, IN_URL, IN_OTLP, IN_HEADERS, IN_OPTIONS, MISTAKEN)


@dataclass
class Seen:
    """Everything that was shown, and by what."""

    texts: dict[str, str] = field(default_factory=dict)

    def leaks(self) -> list[tuple[str, str]]:
        forms = {form for secret in SECRETS for form in (secret, quote(secret, safe=""))}
        return [(where, form) for where, text in self.texts.items() for form in forms if form in text]


def of_group(pgid: int) -> list[Path]:
    """The processes that a run has started, and the run."""
    found = []
    for place in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if os.getpgid(int(place.name)) == pgid:
                found.append(place)
    return found


@pytest.fixture(scope="module")
def planted(guarded: Guarded, leash: Leash) -> Iterator[Visitor]:
    """Who comes in by secrets in variables, in an address, in files and in the settings file."""
    kinds = (ResourceType.TOPIC, ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID)
    rights = [right(f"User:{SCORER}", AclOperation.ALL, kind, "*") for kind in kinds]
    guarded.kafka.allow(rights)
    guarded.redis.paste(f"ACL SETUSER {USER} reset on >PASSWORD ~* +@all", IN_URL)
    file = guarded.home / "planted.toml"
    options = f'kafka_options = {{ "sasl.oauthbearer.client.secret" = "{IN_OPTIONS}" }}\n'
    file.write_text(f"kafka_password = {json.dumps(KAFKA_PASSWORD)}\n{options}")
    address = guarded.redis.url("rediss", guarded.redis.mutual)
    visitor = guarded.visitor(
        leash,
        settings=file,
        kafka_password=None,
        kafka_certificate_file=guarded.scorer.certificate,
        kafka_key_file=guarded.scorer.locked,
        kafka_key_password=KEY_PASSWORD,
        redis=address.replace("://", f"://{USER}:{quote(IN_URL, safe='')}@"),
        redis_username=None,
        redis_password=None,
        otlp_url=f"http://somebody:{IN_OTLP}@{HOST}:1/v1/traces",
    )
    visitor.environment["OTEL_EXPORTER_OTLP_HEADERS"] = f"authorization=Bearer%20{IN_HEADERS}"
    yield visitor
    guarded.kafka.forbid(rights)


def test_a_run_shows_no_secret_though_it_is_watched_and_its_worker_dies(planted: Visitor) -> None:
    (port,) = free_ports(1)
    seen = Seen()
    address = f"{HOST}:{port}"
    process = planted.start("run", "fraud", "--json", "--log-format", "json", "--observe", address,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    try:
        wait_for("a run that is ready", lambda: _asked(f"http://{address}/readyz")[0] == 200, within_s=90.0)
        processes = of_group(process.pid)
        assert len(processes) >= 2
        commands = {place.name: (place / "cmdline").read_bytes().decode() for place in processes}
        seen.texts["process list"] = " ".join(commands.values())
        for page in ("metrics", "healthz", "readyz"):
            seen.texts[page] = _asked(f"http://{address}/{page}")[1]
        for command in (("status",), ("status", "--json"), ("health",), ("settings",), ("settings", "--json")):
            seen.texts[" ".join(command)] = planted.tried(*command).output
        (worker,) = [int(pid) for pid, words in commands.items() if "app.stream" in words]
        os.kill(worker, signal.SIGABRT)
        wait_for("another worker", lambda: _asked(f"http://{address}/readyz")[0] == 200, within_s=60.0)
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=90)
    seen.texts |= {"output": out.decode(), "log": err.decode()}

    assert '"event": "ended"' in seen.texts["output"]
    assert "kafka_password = " in seen.texts["settings"]
    assert seen.leaks() == []


def _asked(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


MISTAKES = {
    "wrong password": {"STREAMINFER_KAFKA_PASSWORD": MISTAKEN},
    "wrong address": {"STREAMINFER_REDIS": f"rediss://:{MISTAKEN}@[nowhere"},
    "wrong user in the address": {"STREAMINFER_REDIS": f"redis://{USER}:{MISTAKEN}@{HOST}:1/0"},
    "said twice": {"STREAMINFER_REDIS_PASSWORD": MISTAKEN},
    "a key that does not open": {"STREAMINFER_KAFKA_KEY_PASSWORD": MISTAKEN},
    "no options": {"STREAMINFER_KAFKA_OPTIONS": f'{{"sasl.password": "{MISTAKEN}"'},
    "options of another kind": {"STREAMINFER_KAFKA_OPTIONS": f'["{MISTAKEN}"]'},
    "an option that is none": {"STREAMINFER_KAFKA_OPTIONS": f'{{"sasl.passwort": "{MISTAKEN}"}}'},
    "a password of another kind": {"STREAMINFER_SETTINGS": "number.toml"},
    "a file that is no TOML": {"STREAMINFER_SETTINGS": "broken.toml"},
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_shows_no_secret(planted: Visitor, guarded: Guarded, mistake: str) -> None:
    (guarded.home / "number.toml").write_text(f'kafka_password = ["{MISTAKEN}"]\n')
    (guarded.home / "broken.toml").write_text(f"kafka_password = {MISTAKEN}\n")
    given = {name: str(guarded.home / it) if it.endswith(".toml") else it for name, it in MISTAKES[mistake].items()}
    seen = Seen()
    for command in (("topics", "list"), ("features", "clean"), ("settings",)):
        done = planted.tried(*command, **given)
        assert isinstance(done.exception, SystemExit | None), done.exception
        seen.texts[" ".join(command)] = done.output

    assert any(len(text) > 20 for text in seen.texts.values())
    assert seen.leaks() == []
