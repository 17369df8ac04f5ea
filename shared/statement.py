"""Signed statements: everything that the control plane asserts, and all that a reader believes.

An envelope holds a type, a key id, payload bytes and an Ed25519 signature over type and payload.
Readers believe only verified payload bytes; database columns beside them are projections for
queries. An unknown type, version or field is refused. Every statement names its subject and a
generation. Of the statements about one subject, the one with the highest generation holds.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Final, Self
from uuid import UUID

from attrs import field, frozen, validators
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from shared.canonical_json import InvalidDocumentError, from_json, from_proven_json, to_json
from shared.keys import key_id
from shared.outside_bytes import Party, reads_bytes_of
from shared.safe_message import SafeMessage
from shared.statement_level import since

MAX_GENERATION: Final = 2**53 - 1  # exact in every JSON reader; milliseconds until the year 287396
_GENERATION: Final = [validators.ge(1), validators.le(MAX_GENERATION)]
_SIGNED_PREFIX: Final = b"registry-statement/1"


class StatementRefusedError(SafeMessage, ValueError):
    """The envelope is not believed; the message says why and quotes nothing of it."""


class UnknownTypeError(StatementRefusedError):
    """The reader does not know the type: perhaps the writer is newer."""


class UnknownKeyError(StatementRefusedError):
    """None of the reader's keys signed it."""


class WrongSignatureError(StatementRefusedError):
    """It says which key signed it, and that key did not sign these bytes."""


@frozen(repr=False)
class StoredStatement:
    """An envelope as it lies in a database or a file: not yet believed."""

    type: str
    key_id: str
    payload: bytes
    signature: bytes

    @classmethod
    def of_columns(cls, kind: object, key_id: object, payload: object, signature: object) -> Self:
        """Return the envelope of a row, whatever somebody has written into the database.

        NULL, or a value of another type, counts as empty. No envelope with an empty part verifies.
        """
        return cls(
            kind if isinstance(kind, str) else "",
            key_id if isinstance(key_id, str) else "",
            payload if isinstance(payload, bytes) else b"",
            signature if isinstance(signature, bytes) else b"",
        )

    def __repr__(self) -> str:
        """Name the type and key alone."""
        return f"StoredStatement(type={self.type!r}, key_id={self.key_id!r})"


def connection_subject(connection_id: UUID) -> str:
    """Return the subject of every statement about a connection."""
    return f"connection/{connection_id}"


def operator_subject(name: str) -> str:
    """Return the subject of every statement about an operator."""
    return f"operator/{name}"


def device_subject(device: str | None, serial: str | None, issuer: str | None) -> str:
    """Return the subject of a device's revocation and lifting, by identity or certificate."""
    if device is not None:
        return f"device/{device}"
    return f"certificate/{serial}/{issuer or ''}"


def _require_one_subject(device: str | None, serial: str | None, issuer: str | None) -> None:
    if (device is None) == (serial is None) or (issuer is not None and serial is None):
        raise ValueError("a device's statement names a device, or a serial that may have an issuer")


@frozen
class ConnectionApproval:
    """A revision of a connection may be served: the whole document, as the approver saw it."""

    TYPE: ClassVar = "connection-approval/1"
    connection_id: UUID
    document: str  # the stored bytes of a ConnectionDocument, exactly
    fingerprint: str
    approved_by: str
    approved_at: datetime
    generation: int = field(validator=_GENERATION)
    expires_at: datetime | None = None
    sealed_secret: bytes | None = field(default=None, repr=False)

    @property
    def subject(self) -> str:
        """The connection."""
        return connection_subject(self.connection_id)


@frozen
class ConnectionRevocation:
    """A connection is served no longer, for ever."""

    TYPE: ClassVar = "connection-revocation/1"
    connection_id: UUID
    revoked_by: str
    revoked_at: datetime
    generation: int = field(validator=_GENERATION)
    reason: str = ""

    @property
    def subject(self) -> str:
        """The connection."""
        return connection_subject(self.connection_id)


@frozen
class DeviceRevocation:
    """A device, or one certificate, is served no longer until this is lifted."""

    TYPE: ClassVar = "device-revocation/1"
    revocation_id: UUID
    revoked_by: str
    revoked_at: datetime
    generation: int = field(validator=_GENERATION)
    device: str | None = None  # the identity, verbatim as in the certificate
    serial: str | None = None  # lower-case hexadecimal without leading zeros
    issuer: str | None = None  # RFC 4514; only with `serial`
    reason: str = ""

    @property
    def subject(self) -> str:
        """The device or the certificate."""
        return device_subject(self.device, self.serial, self.issuer)

    def __attrs_post_init__(self) -> None:
        """Refuse a statement about nobody, or about two."""
        _require_one_subject(self.device, self.serial, self.issuer)


@frozen
class DeviceLifting:
    """A device's revocation holds no longer."""

    TYPE: ClassVar = "device-lifting/1"
    revocation_id: UUID
    lifted_by: str
    lifted_at: datetime
    generation: int = field(validator=_GENERATION)
    device: str | None = None
    serial: str | None = None
    issuer: str | None = None

    @property
    def subject(self) -> str:
        """The device or the certificate."""
        return device_subject(self.device, self.serial, self.issuer)

    def __attrs_post_init__(self) -> None:
        """Refuse a statement about nobody, or about two."""
        _require_one_subject(self.device, self.serial, self.issuer)


@frozen
class Operator:
    """Somebody who may call the admin API with the token of this hash."""

    TYPE: ClassVar = "operator/1"
    name: str
    role: str
    token_sha256: str = field(repr=False)
    issued_by: str
    issued_at: datetime
    generation: int = field(validator=_GENERATION)
    expires_at: datetime | None = None
    # Who holds the token, as single sign-on knows them: `oidc:<issuer>:<sub>`.
    person: str | None = field(default=None, metadata=since(2))

    @property
    def subject(self) -> str:
        """The operator."""
        return operator_subject(self.name)


@frozen
class OperatorRemoval:
    """An operator may call no longer."""

    TYPE: ClassVar = "operator-removal/1"
    name: str
    removed_by: str
    removed_at: datetime
    generation: int = field(validator=_GENERATION)

    @property
    def subject(self) -> str:
        """The operator."""
        return operator_subject(self.name)


@frozen
class AuditEntry:
    """One act: who did what to which subject. Each entry bears the hash of the one before."""

    TYPE: ClassVar = "audit-entry/1"
    generation: int = field(validator=_GENERATION)  # the entry's place in the chain, from 1
    previous: str  # hexadecimal SHA-256 of the previous envelope's signed bytes; the first: empty
    at: datetime
    actor: str
    action: str
    about: str  # the subject acted upon
    about_generation: int | None = None  # of the statement that the act made, if it made one
    details: dict[str, str] = field(factory=dict)

    @property
    def subject(self) -> str:
        """The entry itself, by its place."""
        return f"audit/{self.generation}"


@frozen
class AuditCheckpoint:
    """What the audit log says up to one entry, so that a start need not walk all of it again."""

    TYPE: ClassVar = "audit-checkpoint/1"
    generation: int = field(validator=_GENERATION)  # the entry's place in the chain, from 1
    entry: str  # hexadecimal SHA-256 of the entry's signed bytes
    heads_sha256: str  # hexadecimal, of the bytes beside it: the newest act about each subject
    heads_bytes: int  # how many those are
    made_at: datetime

    @property
    def subject(self) -> str:
        """The log; there is one checkpoint of it."""
        return "audit/checkpoint"


Statement = (
    ConnectionApproval
    | ConnectionRevocation
    | DeviceRevocation
    | DeviceLifting
    | Operator
    | OperatorRemoval
    | AuditEntry
    | AuditCheckpoint
)
_TYPES: Final[dict[str, type[Statement]]] = {
    cls.TYPE: cls
    for cls in (
        ConnectionApproval,
        ConnectionRevocation,
        DeviceRevocation,
        DeviceLifting,
        Operator,
        OperatorRemoval,
        AuditEntry,
        AuditCheckpoint,
    )
}


def signed_bytes(statement_type: str, payload: bytes) -> bytes:
    """Return what the signature covers: prefix, type and payload, each with its length."""
    kind = statement_type.encode()
    return b"%s %d %s %d %s" % (_SIGNED_PREFIX, len(kind), kind, len(payload), payload)


def sign(statement: Statement, private_key: Ed25519PrivateKey) -> StoredStatement:
    """Return the statement's envelope."""
    payload = to_json(statement)
    return StoredStatement(
        type=statement.TYPE,
        key_id=key_id(private_key.public_key()),
        payload=payload,
        signature=private_key.sign(signed_bytes(statement.TYPE, payload)),
    )


@reads_bytes_of(Party.DATABASE)
def verify(stored: StoredStatement, public_keys: Mapping[str, Ed25519PublicKey]) -> Statement:
    """Return the statement of an envelope that a known key signed, or raise.

    Raises `StatementRefusedError` for an unknown key or type, a signature that does not hold,
    or a payload that is not exactly what its type has.
    """
    cls = _TYPES.get(stored.type)
    if cls is None:
        raise UnknownTypeError("of an unknown type or version")
    public_key = public_keys.get(stored.key_id)
    if public_key is None:
        raise UnknownKeyError("signed with an unknown key")
    try:
        # libsodium takes half of OpenSSL's time, and lets other threads go on (docs/decisions).
        VerifyKey(public_key.public_bytes_raw()).verify(
            signed_bytes(stored.type, stored.payload), stored.signature
        )
    except CryptoError:  # also for a signature of another length than 64 bytes
        raise WrongSignatureError("the signature does not hold") from None
    try:
        return from_json(stored.payload, cls)
    except InvalidDocumentError as error:
        raise StatementRefusedError(str(error)) from None


def read_proven(stored: StoredStatement) -> Statement:
    """Return the statement of an envelope that `verify` has accepted before, in another process."""
    return from_proven_json(stored.payload, _TYPES[stored.type])


def next_generation(last: int, now_milliseconds: int) -> int:
    """Return the greater of the last generation plus 1 and the time.

    The time lets a restored database go on above what readers remember.
    """
    return max(last + 1, now_milliseconds)
