"""Files for TLS: each that is not what it should be is told by its setting's name, before anybody connects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.access.files import refuse_unusable
from app.errors import Refused
from app.settings import Settings
from tests.contract.security.certificates import Authority, Certificate

PASSWORD = "opens-the-key"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), key_password=PASSWORD)


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Certificate:
    return authority.issue("me")


def refusal(**settings: Any) -> str:
    whole = Settings(kafka="k:1", redis="rediss://r:1", kafka_security_protocol="ssl", **settings)
    with pytest.raises(Refused) as refused:
        refuse_unusable(whole, kafka=True, redis=True)
    assert refused.value.exit_code == 2
    return str(refused.value)


@pytest.mark.parametrize("of", ["kafka", "redis"])
def test_files_that_are_not_what_they_should_be_are_told(
    authority: Authority, pair: Certificate, tmp_path: Path, of: str
) -> None:
    other, ca, certificate, key = authority.issue("other"), f"{of}_ca_file", f"{of}_certificate_file", f"{of}_key_file"
    (noise := tmp_path / "noise").write_bytes(b"\x00\xff no PEM")

    assert "cannot be read (No such file" in refusal(**{ca: tmp_path / "nowhere"})
    assert "cannot be read (Is a directory" in refusal(**{ca: tmp_path})
    assert "no certificate in PEM" in refusal(**{ca: noise})
    assert "cannot be read" in refusal(**{certificate: tmp_path / "nowhere", key: pair.key})
    assert "cannot be read" in refusal(**{certificate: pair.certificate, key: tmp_path / "nowhere"})
    assert "do not belong together" in refusal(**{certificate: pair.certificate, key: other.key})
    assert "are not a certificate and its key" in refusal(**{certificate: noise, key: pair.key})
    assert f"is encrypted: set {of}_key_password" in refusal(**{certificate: pair.certificate, key: pair.locked})
    locked = {certificate: pair.certificate, key: pair.locked, f"{of}_key_password": "mistaken"}
    assert f"{of}_key_password does not open {of}_key_file" in refusal(**locked)


def test_files_that_are_what_they_should_be_are_taken(authority: Authority, pair: Certificate) -> None:
    settings: dict[str, Any] = {
        f"{of}_{name}": value
        for of in ("kafka", "redis")
        for name, value in {
            "ca_file": authority.file,
            "certificate_file": pair.certificate,
            "key_file": pair.locked,
            "key_password": PASSWORD,
        }.items()
    }
    whole = Settings(kafka="k:1", redis="rediss://r:1", kafka_security_protocol="ssl", **settings)

    refuse_unusable(whole, kafka=True, redis=True)
