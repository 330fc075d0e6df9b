"""A Kafka that lets in who it knows, and allows what it was told: one broker with a listener for each way in.

The local broker's own settings, with other listeners: TLS, TLS with the client's certificate, SASL over TLS. Its
users and rights are made by its administrator, over a listener that nobody else uses.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, not exported
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from app.local import broker as local
from app.local.jars import ensure_jars
from app.local.kafka import format_data, run
from app.local.leash import Leash
from app.local.ports import HOST, free_ports
from app.local.process import detach, last_lines, wait_until
from tests.contract.security.certificates import Authority

WAYS = ("TLS", "MUTUAL", "SASL")
ADMIN = "administrator"
ADMIN_PASSWORD = "for-the-administrator-alone"
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


class GuardedKafka:
    """`passwords` are those of users, by name: each by PLAIN and by both kinds of SCRAM."""

    def __init__(self, home: Path, leash: Leash, authority: Authority, passwords: dict[str, str]) -> None:
        self._leash = leash
        internal, controller, *ports = free_ports(2 + len(WAYS))
        self._broker = local.Broker(1, home / "kafka", internal, controller)
        self._ports = dict(zip(WAYS, ports, strict=True))
        self._authority = authority
        self._passwords = passwords
        self._start()
        self.admin = AdminClient(self._administrators())
        self._make_users()

    def address(self, way: str) -> str:
        return f"{HOST}:{self._ports[way]}"

    @property
    def unsecured(self) -> str:
        """The administrator's listener."""
        return self._broker.address

    # -- rights --------------------------------------------------------------------------------------------------------

    def allow(self, rights: Iterable[AclBinding]) -> None:
        for future in self.admin.create_acls(list(rights)).values():
            future.result(20)

    def forbid(self, rights: Iterable[AclBinding]) -> None:
        """Take exactly these back."""
        filters = [
            AclBindingFilter(r.restype, r.name, r.resource_pattern_type, r.principal, r.host, r.operation,
                             r.permission_type) for r in rights
        ]  # fmt: skip
        for future in self.admin.delete_acls(filters).values():
            assert len(future.result(20)) == 1

    # -- the broker ----------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        kafka, broker = ensure_jars(), self._broker
        format_data(kafka, [broker], cluster_id=local.new_cluster_id(), register=self._leash.hold)
        broker.configuration.write_text(local.render(local.settings(broker, [broker]) | self._settings()))
        process = run(kafka, ["kafka.Kafka", str(broker.configuration)], log=broker.log, register=self._leash.hold)
        detach(process)
        assert wait_until(lambda: process.poll() is not None or self._answers(), timeout_s=60.0)
        assert process.poll() is None, last_lines(broker.log)

    def _settings(self) -> dict[str, str]:
        listeners = {"CLIENT": self._broker.client_port, **self._ports}
        whole = self._authority.issue("broker").whole
        users = " ".join(f'user_{name}="{password}"' for name, password in self._passwords.items())
        itself = f'username="{ADMIN}" password="{ADMIN_PASSWORD}" user_{ADMIN}="{ADMIN_PASSWORD}"'
        internal = {
            f"listener.name.{name}.{key}": value
            for name in ("client", "controller")
            for key, value in {
                "sasl.enabled.mechanisms": "PLAIN",
                "plain.sasl.jaas.config": f"{PLAIN} {itself};",
            }.items()
        }
        return internal | {
            "listeners": ",".join(f"{name}://{HOST}:{port}" for name, port in listeners.items())
            + f",CONTROLLER://{HOST}:{self._broker.controller_port}",
            "advertised.listeners": ",".join(f"{name}://{HOST}:{port}" for name, port in listeners.items()),
            "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT,TLS:SSL,MUTUAL:SSL,"
            "SASL:SASL_SSL",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "sasl.mechanism.controller.protocol": "PLAIN",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{ADMIN}",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(whole),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self._authority.file),
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.mutual.ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/,DEFAULT",
            "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            "listener.name.sasl.plain.sasl.jaas.config": f"{PLAIN} {users};",
            "listener.name.sasl.scram-sha-256.sasl.jaas.config": SCRAM,
            "listener.name.sasl.scram-sha-512.sasl.jaas.config": SCRAM,
        }

    def _administrators(self) -> dict[str, Any]:
        return {
            "bootstrap.servers": self._broker.address,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": ADMIN,
            "sasl.password": ADMIN_PASSWORD,
            "log_level": 0,
        }

    def _answers(self) -> bool:
        try:
            return bool(AdminClient(self._administrators()).list_topics(timeout=2.0).brokers)
        except Exception:  # not yet
            return False

    def _make_users(self) -> None:
        wanted = [
            UserScramCredentialUpsertion(name, ScramCredentialInfo(mechanism, 4096), password.encode())
            for name, password in self._passwords.items()
            for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)
        ]
        for one in wanted:  # one change of a user in a request
            for future in self.admin.alter_user_scram_credentials([one]).values():
                future.result(20)


def right(
    principal: str, operation: AclOperation, kind: ResourceType, name: str, *, prefixed: bool = False
) -> AclBinding:
    """That this principal may do this, from any host."""
    pattern = ResourcePatternType.PREFIXED if prefixed else ResourcePatternType.LITERAL
    return AclBinding(kind, name, pattern, principal, "*", operation, AclPermissionType.ALLOW)
