"""The files that settings name for TLS: whether each can be read and is what it should be, before anybody connects."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from app.access.clients import secret
from app.errors import Refused

if TYPE_CHECKING:
    from app.settings import Settings


def refuse_unusable(settings: Settings, *, kafka: bool, redis: bool) -> None:
    """Raises Refused where a file that these services need is not what it should be."""
    if kafka:
        secret(settings, "kafka_password")
        if "ssl" in settings.kafka_security_protocol:
            tls_of(settings, "kafka")
    if redis:
        secret(settings, "redis_password")
        if settings.redis.startswith("rediss"):
            tls_of(settings, "redis")


def tls_of(settings: Settings, service: str) -> ssl.SSLContext:
    """How a client of `service` (kafka or redis) checks the server and proves itself.

    Raises Refused, with the setting's name, where a file is not what it should be.
    """
    ca: Path | None = getattr(settings, f"{service}_ca_file")
    certificate: Path | None = getattr(settings, f"{service}_certificate_file")
    key: Path | None = getattr(settings, f"{service}_key_file")
    if ca is not None:
        _refuse_unreadable(f"{service}_ca_file", ca)
    try:
        context = ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        raise Refused(
            f"{service}_ca_file names {ca}, which holds no certificate in PEM: it must begin with "
            "-----BEGIN CERTIFICATE-----.",
            exit_code=2,
        ) from None
    if certificate is not None and key is not None:
        _load_pair(context, settings, service, certificate, key)
    return context


def _load_pair(context: ssl.SSLContext, settings: Settings, service: str, certificate: Path, key: Path) -> None:
    names = f"{service}_certificate_file ({certificate}) and {service}_key_file ({key})"
    locked = "ENCRYPTED" in _refuse_unreadable(f"{service}_key_file", key)
    _refuse_unreadable(f"{service}_certificate_file", certificate)
    password = secret(settings, f"{service}_key_password")
    if locked and password is None:
        raise Refused(f"{service}_key_file ({key}) is encrypted: set {service}_key_password.", exit_code=2)
    try:
        context.load_cert_chain(certificate, key, password=password or "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            why = f"{names} do not belong together: name the key that the certificate was issued for."
        elif locked:
            why = f"{service}_key_password does not open {service}_key_file ({key})."
        else:
            why = f"{names} are not a certificate and its key in PEM."
        raise Refused(why, exit_code=2) from None


def _refuse_unreadable(name: str, path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise Refused(f"{name} names {path}, which cannot be read ({error.strerror}).", exit_code=2) from None
