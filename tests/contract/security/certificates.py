"""Certificates of one authority, for servers on loopback and for clients; and those of a stranger."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

from app.local.ports import HOST


@dataclass(frozen=True)
class Certificate:
    """PEM files. `whole` has the key before the chain, as a Kafka broker reads it."""

    certificate: Path
    key: Path
    locked: Path
    whole: Path


class Authority:
    """Issues into a folder. Keys in `locked` files open with `key_password` alone."""

    def __init__(self, folder: Path, *, key_password: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key_password = key_password
        self._ca = trustme.CA()
        self.file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.file))

    def issue(self, name: str, *, host: str = HOST) -> Certificate:
        """For this host, with `name` as its common name."""
        issued = self._ca.issue_cert(host, common_name=name)
        key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
        password = serialization.BestAvailableEncryption(self._key_password.encode())
        chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
        open_key = self._pem(key, serialization.NoEncryption())
        return Certificate(
            certificate=self._written(f"{name}.pem", chain),
            key=self._written(f"{name}.key", open_key),
            locked=self._written(f"{name}.locked.key", self._pem(key, password)),
            whole=self._written(f"{name}.whole.pem", open_key + chain),
        )

    @staticmethod
    def _pem(key: object, how: serialization.KeySerializationEncryption) -> bytes:
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8  # a broker reads no other
        return bytes(key.private_bytes(pem, pkcs8, how))  # type: ignore[attr-defined]  # each kind of key has it

    def _written(self, name: str, text: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(text)
        return path
