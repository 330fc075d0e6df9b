"""Whether Kafka and Redis let this program in, found out at once where clients alone would try again for minutes.

What no waiting mends (a password, a certificate, a name) is Refused with what to do. A server that is away is nobody's
concern here: whoever needs it waits for it, or says so, in its own way.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import ssl
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import redis
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from app.access.clients import kafka_client
from app.access.files import tls_of
from app.access.rights import redis_user
from app.errors import Refused, Unavailable
from app.features.cluster import nodes
from app.features.store import connected

if TYPE_CHECKING:
    from app.settings import Settings

PATIENCE_S = 3.0
ALERT_S = 1.0  # for a server to end what it does not take
ASK_S = 0.1
AWAY = frozenset({KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE})
UNTRUSTED = "its certificate is not signed by those in {ca}: name the file of who signs it there"
DEMANDS = "it demands a client's certificate that it trusts: set {of}_certificate_file and {of}_key_file"


class _Heard(logging.Handler):
    """What librdkafka says about its connections, in its log and by its callback."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.codes: set[int] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def error(self, error: KafkaError) -> None:
        self.codes.add(error.code())
        self.lines.append(error.str())

    def has(self, *words: str) -> str:
        """The first line that holds one of these."""
        return next((line for line in self.lines if any(word in line for word in words)), "")


def enter_kafka(settings: Settings, *, patience_s: float = PATIENCE_S) -> None:
    """Raises Refused where Kafka does not let this client in, or is not who it should be; silent where it is away.

    Raises Unavailable where the listener speaks another protocol: a server that is half up looks the same.
    """
    heard = _Heard()
    logger = logging.Logger("librdkafka", logging.DEBUG)
    logger.addHandler(heard)
    try:
        admin = AdminClient(kafka_client(settings) | {"error_cb": heard.error}, logger=logger)
    except KafkaException as error:
        raise Refused(f"The setting kafka or kafka_options is wrong: {error.args[0].str()}.", exit_code=2) from None
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        with contextlib.suppress(KafkaException):
            admin.list_topics(timeout=ASK_S)
            return
        admin.poll(0)
        _judge_kafka(settings, heard)
        if heard.codes & AWAY:
            return


def _judge_kafka(settings: Settings, heard: _Heard) -> None:
    where = f"Kafka at {settings.kafka}"
    if heard.codes & {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED}:
        if "nsupported" in (said := heard.has("SASL", "nsupported")):
            mechanism = f"kafka_sasl_mechanism={settings.kafka_sasl_mechanism}"
            raise Refused(f"{where} does not offer {mechanism} ({_end(said)}).", exit_code=2)
        raise Refused(
            f"{where} does not know the user {settings.kafka_username} with this password and "
            f"{settings.kafka_sasl_mechanism}: see kafka_username, kafka_password and kafka_sasl_mechanism.",
            exit_code=2,
        )
    if heard.has("certificate verify failed"):
        raise Refused(
            f"{where} is not trusted: {_verdict(_handshake(settings, 'kafka', settings.kafka), settings, 'kafka')}.",
            exit_code=2,
        )
    if said := heard.has("alert certificate", "alert bad certificate", "alert unknown ca", "alert handshake failure"):
        raise Refused(f"{where} ends TLS ({_end(said)}): {DEMANDS.format(of='kafka')}.", exit_code=2)
    if heard.codes & AWAY and heard.has("Disconnected"):
        raise Unavailable(
            f"{where} ends the connection at once: it may not speak {settings.kafka_security_protocol}; "
            "kafka_security_protocol must be that of its listener (plaintext, ssl, sasl_plaintext or sasl_ssl)."
        )


def _end(line: str) -> str:
    """The part of librdkafka's line that tells why."""
    return line.split(": ", 1)[-1].partition(" (after ")[0].partition(" (in state")[0].rstrip(".")[:200]


def _handshake(settings: Settings, service: str, addresses: str) -> ssl.SSLError | None:
    """What the first server that does not take our TLS says about it: clients do not always hear that to its end."""
    for address in addresses.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            with (
                socket.create_connection((host.strip("[]"), int(port)), timeout=ALERT_S) as connection,
                tls_of(settings, service).wrap_socket(connection, server_hostname=host.strip("[]")) as secured,
            ):
                secured.recv(1)  # a server that refuses the client's certificate says so after the handshake
        except ssl.SSLError as error:
            return error
        except (OSError, ValueError):
            continue
    return None


def _verdict(error: ssl.SSLError | None, settings: Settings, service: str) -> str:
    said = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else ""
    if "mismatch" in said or "not valid for" in said:
        return f"{said.rstrip('.')}; name the server as its certificate does"
    if "expired" in said or "not yet valid" in said:
        return f"{said}; see its certificate and the clock here"
    ca = getattr(settings, f"{service}_ca_file") or f"this machine's store of authorities ({service}_ca_file)"
    return UNTRUSTED.format(ca=ca)


def enter_redis(settings: Settings, *, patience_s: float = PATIENCE_S) -> None:
    """As `enter_kafka`, for Redis: each server of a cluster."""
    with contextlib.closing(connected(settings, least_s=patience_s)) as client:
        try:
            for node in nodes(client):
                node.ping()
        except redis.RedisError as error:
            _judge_redis(settings, error)


def _judge_redis(settings: Settings, error: redis.RedisError) -> None:
    address = urlsplit(settings.redis).netloc.rpartition("@")[2]
    where, said, has_tls = f"Redis at {address or 'its socket'}", str(error), settings.redis.startswith("rediss")
    if isinstance(error, redis.AuthenticationError) or "NOAUTH" in said or "WRONGPASS" in said:
        raise Refused(
            f"{where} does not know this user and password: see redis_username and redis_password, or its address.",
            exit_code=2,
        )
    if isinstance(error, redis.exceptions.NoPermissionError):
        command = re.search(r"'([^']+)' command", said)
        cure = f" Allow it by `ACL SETUSER {redis_user(settings)} +{command[1]}`;" if command else ""
        raise Refused(
            f"{where} does not allow its user to connect ({said}).{cure} `streaminfer acls` prints all rights."
        )
    if has_tls:
        _judge_tls(settings, where, _handshake(settings, "redis", address))
        if "handshake" in f"{said} {error.__cause__} {error.__context__}":
            raise Unavailable(f"{where} does not answer TLS: if it has none, write redis:// in its address.")
    elif "closed by server" in said or "reset by peer" in said:
        raise Unavailable(f"{where} ends the connection at once: if it demands TLS, write rediss:// in its address.")


def _judge_tls(settings: Settings, where: str, error: ssl.SSLError | None) -> None:
    reason = (error.reason or "") if error is not None else ""
    if isinstance(error, ssl.SSLCertVerificationError):
        raise Refused(f"{where} is not trusted: {_verdict(error, settings, 'redis')}.", exit_code=2)
    if reason.endswith(("CERTIFICATE_REQUIRED", "UNKNOWN_CA", "BAD_CERTIFICATE", "HANDSHAKE_FAILURE")):
        raise Refused(f"{where} ends TLS ({reason}): {DEMANDS.format(of='redis')}.", exit_code=2)
