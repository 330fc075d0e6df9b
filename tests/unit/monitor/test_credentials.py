"""How the monitor's own client gets in to Kafka: what the settings say, as Faust takes it."""

from __future__ import annotations

from pathlib import Path

import faust
import pytest
import trustme

from app.errors import Refused
from app.monitor.app import credentials
from app.settings import Settings

WHERE = {"kafka": "127.0.0.1:1", "redis": "redis://127.0.0.1:1"}


def test_a_plain_kafka_needs_nothing() -> None:
    assert credentials(Settings.model_validate(WHERE)) is None


def test_a_user_by_password_over_tls(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(trustme.CA().cert_pem.bytes())
    (tmp_path / "password").write_text("as in the file\n")
    said = {
        "kafka_security_protocol": "sasl_ssl",
        "kafka_sasl_mechanism": "SCRAM-SHA-512",
        "kafka_username": "watcher",
        "kafka_password_file": tmp_path / "password",
        "kafka_ca_file": tmp_path / "ca.pem",
    }
    found = credentials(Settings.model_validate({**WHERE, **said}))
    assert isinstance(found, faust.SASLCredentials)
    assert (found.username, found.password) == ("watcher", "as in the file")
    assert found.ssl_context is not None


def test_what_its_client_cannot_do_is_refused() -> None:
    options = {"security.protocol": "sasl_plaintext", "sasl.mechanism": "GSSAPI"}
    with pytest.raises(Refused, match="PLAIN and SCRAM"):
        credentials(Settings.model_validate({**WHERE, "kafka_options": options}))
