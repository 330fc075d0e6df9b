"""The settings by which clients get in: TLS, certificates, users and passwords; and which of them go together.

Whether the files are what they should be is looked at when a command begins (app/access/files.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings

Protocol = Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

# What librdkafka calls them: an option that says the same is said twice.
OPTIONS = {
    "kafka_security_protocol": ("security.protocol",),
    "kafka_sasl_mechanism": ("sasl.mechanism", "sasl.mechanisms"),
    "kafka_username": ("sasl.username",),
    "kafka_password": ("sasl.password",),
    "kafka_ca_file": ("ssl.ca.location", "ssl.ca.pem"),
    "kafka_certificate_file": ("ssl.certificate.location", "ssl.certificate.pem"),
    "kafka_key_file": ("ssl.key.location", "ssl.key.pem"),
    "kafka_key_password": ("ssl.key.password",),
}


def _secret(what: str) -> Any:
    return Field(default=None, min_length=1, repr=False, description=what)


def _file(what: str) -> Any:
    return Field(default=None, description=what)


class Access(BaseSettings):
    """What a client proves who it is with, and knows the server by. Passwords may lie in files of their own."""

    kafka_security_protocol: Protocol = Field(
        default="plaintext", description="What Kafka's listener speaks: plaintext, ssl, sasl_plaintext or sasl_ssl."
    )
    kafka_sasl_mechanism: Mechanism | None = Field(
        default=None, description="How the user is proved: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."
    )
    kafka_username: str | None = Field(default=None, min_length=1, description="The SASL user.")
    kafka_password: str | None = _secret("The SASL user's password.")
    kafka_password_file: Path | None = _file("A file that holds it, in place of kafka_password.")
    kafka_ca_file: Path | None = _file(
        "Who signs Kafka's certificates, as PEM. Default: those that this machine trusts."
    )
    kafka_certificate_file: Path | None = _file("The client's certificate for Kafka, as PEM (mutual TLS).")
    kafka_key_file: Path | None = _file("The certificate's private key, as PEM.")
    kafka_key_password: str | None = _secret("What opens the private key.")
    kafka_key_password_file: Path | None = _file("A file that holds it, in place of kafka_key_password.")

    redis_username: str | None = Field(
        default=None, min_length=1, description="The ACL user of Redis, if not in its URL."
    )
    redis_password: str | None = _secret("The user's password, if not in the URL.")
    redis_password_file: Path | None = _file("A file that holds it, in place of redis_password.")
    redis_ca_file: Path | None = _file(
        "Who signs the certificates of a rediss:// server, as PEM. Default: this machine's."
    )
    redis_certificate_file: Path | None = _file("The client's certificate for Redis, as PEM (mutual TLS).")
    redis_key_file: Path | None = _file("The certificate's private key, as PEM.")
    redis_key_password: str | None = _secret("What opens the private key.")
    redis_key_password_file: Path | None = _file("A file that holds it, in place of redis_key_password.")

    @field_validator("kafka_security_protocol", mode="before")
    @classmethod
    def _in_small_letters(cls, protocol: Any) -> Any:
        return protocol.lower() if isinstance(protocol, str) else protocol

    @field_validator("kafka_sasl_mechanism", mode="before")
    @classmethod
    def _in_capitals(cls, mechanism: Any) -> Any:
        return mechanism.upper() if isinstance(mechanism, str) else mechanism

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        for name in ("kafka_password", "kafka_key_password", "redis_password", "redis_key_password"):
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                raise ValueError(f"{name} and {name}_file are both set: leave one of them out")
        self._refuse_said_twice(getattr(self, "kafka_options", {}))
        self._sasl()
        self._certificates("kafka")
        if "ssl" not in self.kafka_security_protocol and self._has("kafka_ca_file", "kafka_certificate_file"):
            raise ValueError(
                f"certificates for Kafka are set, and kafka_security_protocol is {self.kafka_security_protocol}: set "
                "it to ssl, or with a user to sasl_ssl"
            )
        self._redis(str(getattr(self, "redis", "")))
        return self

    def _has(self, *names: str) -> bool:
        return any(getattr(self, name) is not None for name in names)

    def _refuse_said_twice(self, options: dict[str, str]) -> None:
        for name, theirs in OPTIONS.items():
            said = self.kafka_security_protocol != "plaintext" if name == "kafka_security_protocol" else self._has(name)
            for option in theirs:
                if said and option in options:
                    raise ValueError(f"{name} and the kafka_options' {option} are both set: leave one of them out")

    def _sasl(self) -> None:
        user = self._has("kafka_sasl_mechanism", "kafka_username", "kafka_password", "kafka_password_file")
        if not self.kafka_security_protocol.startswith("sasl"):
            if user:
                raise ValueError(
                    f"a SASL user for Kafka is set, and kafka_security_protocol is {self.kafka_security_protocol}: "
                    "set it to sasl_ssl (or to sasl_plaintext, where nothing is encrypted)"
                )
            return
        missing = [name for name in ("kafka_sasl_mechanism", "kafka_username") if not self._has(name)]
        if not self._has("kafka_password", "kafka_password_file"):
            missing.append("kafka_password or kafka_password_file")
        if missing:
            raise ValueError(
                f"kafka_security_protocol={self.kafka_security_protocol} needs {' and '.join(missing)} too"
            )

    def _certificates(self, of: str) -> None:
        certificate, key = f"{of}_certificate_file", f"{of}_key_file"
        if self._has(certificate) != self._has(key):
            raise ValueError(f"{certificate} and {key} go together: set both, be it to one file that holds both")
        if self._has(f"{of}_key_password", f"{of}_key_password_file") and not self._has(key):
            raise ValueError(f"{of}_key_password opens no key: set {key} and {certificate} too")

    def _redis(self, url: str) -> None:
        scheme, there, rest = url.partition("://")  # a command that needs no Redis names none
        self._certificates("redis")
        if there and self._has("redis_ca_file", "redis_certificate_file") and not scheme.startswith("rediss"):
            raise ValueError("certificates for Redis are set, and its address is not one of TLS: write rediss://")
        login = self._has("redis_username", "redis_password", "redis_password_file")
        if login and "@" in rest.partition("/")[0]:
            raise ValueError("the address of Redis names a user or password, and so do its settings: leave one out")
        if self._has("redis_username") and not self._has("redis_password", "redis_password_file"):
            raise ValueError("redis_username needs redis_password or redis_password_file too")
