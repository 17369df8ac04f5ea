"""The statement key: it signs everything that the control plane asserts, and verifies it."""

import re
from collections.abc import Mapping
from typing import Final, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from control_plane.errors import StatementLevelError
from control_plane.prefix import PREFIX
from shared.connection import ConnectionDocument
from shared.keys import (
    KEY_ID_HEX_DIGITS,
    InvalidKeyFileError,
    key_id,
    load_statement_private_key,
    load_statement_public_keys,
)
from shared.statement import (
    ConnectionApproval,
    Statement,
    StatementRefusedError,
    StoredStatement,
    UnknownKeyError,
    UnknownTypeError,
    WrongSignatureError,
    sign,
    signed_bytes,
    verify,
)
from shared.statement_level import NEWEST_LEVEL, level_of

PUBLIC_KEYS: Final = f"{PREFIX}_STATEMENT_PUBLIC_KEY_FILE"
KEY_ID: Final = re.compile(rf"[0-9a-f]{{{KEY_ID_HEX_DIGITS}}}", re.ASCII)

_Kind = TypeVar("_Kind", bound=Statement)


def not_configured(key_id: str) -> str:
    """Return the words for a missing key: which one, and which setting takes its public half.

    An id comes from the database: it is named only if it has the form of one.
    """
    if KEY_ID.fullmatch(key_id) is None:
        return "signed with an unknown key"
    return f"signed with the statement key {key_id}, which is not configured ({PUBLIC_KEYS})"


class Verifier:
    """Verifies what these keys signed."""

    def __init__(self, public_keys: dict[str, Ed25519PublicKey]) -> None:
        """Hold the keys by their ids."""
        self.public_keys = public_keys

    @classmethod
    def of_all(cls, *verifiers: "Verifier") -> "Verifier":
        """Return a verifier with the keys of all of these."""
        return cls({name: key for each in verifiers for name, key in each.public_keys.items()})

    @classmethod
    def from_pem(cls, pem: bytes) -> "Verifier":
        """Load the public keys, or the one private key's public half, of a PEM file.

        Raises `shared.keys.InvalidKeyFileError`.
        """
        try:
            return cls(load_statement_public_keys(pem))
        except InvalidKeyFileError as no_public_keys:
            try:
                return Signer.from_private_pem(pem)
            except InvalidKeyFileError:
                raise no_public_keys from None

    def verify(self, stored: StoredStatement) -> Statement:
        """Return the statement of an envelope, or raise `StatementRefusedError`."""
        try:
            return verify(stored, self.public_keys)
        except UnknownKeyError:
            raise UnknownKeyError(not_configured(stored.key_id)) from None

    def verify_as(self, stored: StoredStatement, kind: type[_Kind]) -> _Kind:
        """Return the statement if it is of this kind, or raise `StatementRefusedError`."""
        statement = self.verify(stored)
        if not isinstance(statement, kind):
            raise StatementRefusedError("of another type than is wanted here")
        return statement

    def verify_record(self, stored: StoredStatement, kind: str) -> bytes:
        """Return the bytes that `Signer.sign_record` signed, or raise `StatementRefusedError`."""
        if stored.type != kind:
            raise UnknownTypeError("of another type than is wanted here")
        public_key = self.public_keys.get(stored.key_id)
        if public_key is None:
            raise UnknownKeyError(not_configured(stored.key_id))
        try:
            public_key.verify(stored.signature, signed_bytes(kind, stored.payload))
        except InvalidSignature:
            raise WrongSignatureError("the signature does not hold") from None
        return stored.payload


class Signer(Verifier):
    """Signs with the statement key; verifies what that key and its predecessors signed."""

    def __init__(
        self,
        private_key: Ed25519PrivateKey,
        also_believed: Mapping[str, Ed25519PublicKey] | None = None,
        level: int = NEWEST_LEVEL,
    ) -> None:
        """Hold the key that signs, by their ids those that signed before it, and what it writes."""
        public_key = private_key.public_key()
        super().__init__({**(also_believed or {}), key_id(public_key): public_key})
        self._private_key = private_key
        self._level = level

    def believing(self, public_keys: Mapping[str, Ed25519PublicKey]) -> "Signer":
        """Return a signer that also verifies what these keys signed."""
        return Signer(self._private_key, public_keys, self._level)

    def writing(self, level: int) -> "Signer":
        """Return a signer that writes only what readers of this level understand."""
        return Signer(self._private_key, self.public_keys, level)

    @classmethod
    def from_private_pem(cls, pem: bytes) -> "Signer":
        """Load the one private key of a PEM file; raise `shared.keys.InvalidKeyFileError`."""
        return cls(load_statement_private_key(pem))

    def sign(self, statement: Statement) -> StoredStatement:
        """Return the statement's envelope; raise `StatementLevelError`."""
        self.require_level(statement)
        if isinstance(statement, ConnectionApproval):
            self.require_level(ConnectionDocument.from_bytes(statement.document.encode()))
        return sign(statement, self._private_key)

    def sign_record(self, kind: str, payload: bytes) -> StoredStatement:
        """Return the envelope of what this control plane notes for itself.

        It is no statement: whoever reads statements knows no such type, and refuses it.
        """
        signature = self._private_key.sign(signed_bytes(kind, payload))
        return StoredStatement(kind, key_id(self._private_key.public_key()), payload, signature)

    def require_level(self, value: object) -> None:
        """Raise `StatementLevelError` unless readers of this signer's level understand it."""
        if (needed := level_of(value)) > self._level:
            raise StatementLevelError(needed)
