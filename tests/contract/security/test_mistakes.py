"""Every mistake on the way in is told in a sentence, with an exit code, where a client alone would try for ever."""

from __future__ import annotations

import pytest

from app.local.leash import Leash
from tests.contract.security.conftest import Guarded
from tests.contract.security.test_connecting import NOBODY, Of, of

pytestmark = [pytest.mark.broker, pytest.mark.redis]

RUN = ("run", "fraud", "--until-end", "--observe", "off")

KAFKA_MISTAKES: dict[str, tuple[int, str, Of]] = {
    "wrong password": (2, "does not know the user scorer with this password", {"kafka_password": "mistaken"}),
    "wrong password by PLAIN": (
        2,
        "does not know the user scorer with this password",
        {"kafka_password": "mistaken", "kafka_sasl_mechanism": "PLAIN"},
    ),
    "nobody by this name": (2, "does not know the user nobody", {"kafka_username": "nobody"}),
    "a mechanism that is not offered": (
        2,
        "does not offer kafka_sasl_mechanism=SCRAM-SHA-512",
        lambda it: {
            "kafka": it.kafka.unsecured, "kafka_security_protocol": "sasl_plaintext", "kafka_ca_file": None,
        },
    ),
    "signed by a stranger": (
        2, "is not signed by those in", lambda it: {"kafka_ca_file": it.stranger.file}
    ),
    "no file of who signs": (2, "(kafka_ca_file)", {"kafka_ca_file": None}),
    "another name": (
        2,
        "name the server as its certificate does",
        lambda it: {"kafka": it.kafka.address("SASL").replace("127.0.0.1", "localhost")},
    ),
    "no certificate of one's own": (
        2,
        "set kafka_certificate_file and kafka_key_file",
        lambda it: {**NOBODY, "kafka": it.kafka.address("MUTUAL"), "kafka_security_protocol": "ssl"},
    ),
    "a stranger's certificate": (
        2,
        "set kafka_certificate_file and kafka_key_file",
        lambda it: {
            **NOBODY,
            "kafka": it.kafka.address("MUTUAL"),
            "kafka_security_protocol": "ssl",
            "kafka_certificate_file": (issued := it.stranger.issue("x")).certificate,
            "kafka_key_file": issued.key,
        },
    ),
    "a key that does not open": (
        2,
        "kafka_key_password does not open kafka_key_file",
        lambda it: {
            "kafka_certificate_file": it.scorer.certificate,
            "kafka_key_file": it.scorer.locked,
            "kafka_key_password": "mistaken",
        },
    ),
    "no TLS where it is demanded": (
        3,
        "may not speak plaintext",
        lambda it: {
            **NOBODY, "kafka": it.kafka.address("TLS"), "kafka_security_protocol": None, "kafka_ca_file": None,
        },
    ),
    "TLS where there is none": (3, "may not speak sasl_ssl", lambda it: {"kafka": it.kafka.unsecured}),
    "no user where one is demanded": (
        3, "may not speak ssl", {**NOBODY, "kafka_security_protocol": "ssl"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", KAFKA_MISTAKES)
def test_a_mistake_on_the_way_to_kafka_is_told_in_a_sentence(guarded: Guarded, leash: Leash, mistake: str) -> None:
    code, words, settings = KAFKA_MISTAKES[mistake]
    visitor = guarded.visitor(leash, **of(settings, guarded))

    _is_told(visitor.refused("topics", "list", code=code), words)
    if code == 2:  # no waiting mends it; what may be mended is waited for
        _is_told(visitor.refused(*RUN, code=2), words)


REDIS_MISTAKES: dict[str, tuple[int, str, Of]] = {
    "wrong password": (2, "does not know this user and password", {"redis_password": "mistaken"}),
    "no password": (
        2,
        "does not know this user and password",
        {"redis_password": None, "redis_username": None},
    ),
    "signed by a stranger": (2, "is not signed by those in", lambda it: {"redis_ca_file": it.stranger.file}),
    "no file of who signs": (2, "(redis_ca_file)", {"redis_ca_file": None}),
    "another name": (
        2,
        "name the server as its certificate does",
        lambda it: {"redis": it.redis.url("rediss", it.redis.mutual, "localhost")},
    ),
    "no certificate of one's own": (
        2,
        "set redis_certificate_file and redis_key_file",
        {"redis_certificate_file": None, "redis_key_file": None, "redis_key_password": None},
    ),
    "a stranger's certificate": (
        2,
        "set redis_certificate_file and redis_key_file",
        lambda it: {
            "redis_certificate_file": (issued := it.stranger.issue("y")).certificate,
            "redis_key_file": issued.key,
            "redis_key_password": None,
        },
    ),
    "a key that does not open": (
        2, "redis_key_password does not open redis_key_file", {"redis_key_password": "mistaken"}
    ),
    "TLS where there is none": (
        3, "if it has none, write redis://", lambda it: {"redis": it.redis.url("rediss", it.redis.port)}
    ),
    "no TLS where it is demanded": (
        3,
        "if it demands TLS, write rediss://",
        lambda it: {
            "redis": it.redis.url("redis", it.redis.tls),
            **dict.fromkeys(("redis_ca_file", "redis_certificate_file", "redis_key_file", "redis_key_password")),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", REDIS_MISTAKES)
def test_a_mistake_on_the_way_to_redis_is_told_in_a_sentence(guarded: Guarded, leash: Leash, mistake: str) -> None:
    code, words, settings = REDIS_MISTAKES[mistake]
    visitor = guarded.visitor(leash, **of(settings, guarded))

    _is_told(visitor.refused("features", "clean", code=code), words)
    if code == 2:
        _is_told(visitor.refused(*RUN, code=2), words)


def _is_told(said: str, words: str) -> None:
    (line,) = said.splitlines()
    assert words in line
    assert line.endswith((".", "?"))
