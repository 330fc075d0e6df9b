"""One Kafka and one Redis that demand to know who comes, for all tests here; and a shell for each way to come in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.local.leash import Leash
from app.pipelines.fraud import FRAUD, FRAUD_LABELS
from app.settings import Settings, home_folder
from app.simulate.payments import simulate
from app.stream.topics import Topics
from tests.contract.security.certificates import Authority, Certificate
from tests.contract.security.guarded import ADMIN, ADMIN_PASSWORD, GuardedKafka
from tests.contract.security.guarded_redis import GuardedRedis
from tests.contract.security.visitor import Visitor

SCORER, READER = "scorer", "scorer-reader"
KAFKA_PASSWORD = "kafka-s3cret-40:of/scorer"
REDIS_PASSWORD = "redis-s3cret-%41@of/scorer"
READER_PASSWORD = "s3cret-of-who-looks"
ADMINISTRATORS = {
    "kafka_security_protocol": "sasl_plaintext",
    "kafka_sasl_mechanism": "PLAIN",
    "kafka_username": ADMIN,
    "kafka_password": ADMIN_PASSWORD,
}
KEY_PASSWORD = "key-s3cret-of-scorer"


@dataclass(frozen=True)
class Guarded:
    """The servers, the certificates, and a home for those who come."""

    home: Path
    authority: Authority
    stranger: Authority
    scorer: Certificate
    kafka: GuardedKafka
    redis: GuardedRedis

    def visitor(self, leash: Leash, **settings: object) -> Visitor:
        """A shell with these settings and no other; without any it comes by SCRAM, TLS and a client's certificate."""
        return Visitor(self.home, leash, self.scorers() | settings)

    def scorers(self) -> dict[str, object]:
        return {
            "kafka": self.kafka.address("SASL"),
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_mechanism": "SCRAM-SHA-512",
            "kafka_username": SCORER,
            "kafka_password": KAFKA_PASSWORD,
            "kafka_ca_file": self.authority.file,
            "redis": self.redis.url("rediss", self.redis.mutual),
            "redis_username": SCORER,
            "redis_password": REDIS_PASSWORD,
            "redis_ca_file": self.authority.file,
            "redis_certificate_file": self.scorer.certificate,
            "redis_key_file": self.scorer.locked,
            "redis_key_password": KEY_PASSWORD,
        }


@pytest.fixture(scope="session")
def guarded(leash: Leash) -> Iterator[Guarded]:
    home = Path(tempfile.mkdtemp(prefix="streaminfer-test-"))
    leash.remove_at_end(home)
    authority = Authority(home / "authority", key_password=KEY_PASSWORD)
    kafka = GuardedKafka(home, leash, authority, {SCORER: KAFKA_PASSWORD, READER: READER_PASSWORD})
    redis = GuardedRedis(home, leash, authority)
    simulate(cache=home_folder() / "cache")  # nobody waits twice
    (home / "cache").symlink_to(home_folder() / "cache")
    administrators = {**ADMINISTRATORS, "kafka": kafka.unsecured, "redis": "redis://not-needed"}
    Topics(Settings.model_validate(administrators)).apply([FRAUD, FRAUD_LABELS])
    stranger = Authority(home / "stranger", key_password=KEY_PASSWORD)
    yield Guarded(home, authority, stranger, authority.issue(SCORER), kafka, redis)
    redis.close()
