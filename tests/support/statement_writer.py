"""Writes statements as a control plane does, without one: real keys, real seals, real rows.

Facade tests use it for states that the control plane would never write.
"""

import asyncio
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import attrs
from attrs import define, field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from shared.connection import (
    Anonymous,
    ConnectionDocument,
    Credential,
    UsernameAndToken,
    fingerprint,
    seal_context,
)
from shared.keys import key_id, private_pem, public_pem
from shared.registry_host import RegistryHost
from shared.sealed_secret import reference, seal
from shared.secret import Secret
from shared.statement import (
    ConnectionApproval,
    ConnectionRevocation,
    DeviceLifting,
    DeviceRevocation,
    Statement,
    StoredStatement,
    sign,
)

_COLUMNS: Final = ("subject", "type", "key_id", "payload", "signature", "generation")


@define
class StatementWriter:
    """Signs statements and writes them into the table behind the facade's view."""

    owner_url: str
    statement_key: Ed25519PrivateKey = field(factory=Ed25519PrivateKey.generate)
    sealing_key: X25519PrivateKey = field(factory=X25519PrivateKey.generate)
    _generation: int = 0

    @property
    def statement_public_pem(self) -> bytes:
        """What the facade verifies with."""
        return public_pem(self.statement_key.public_key())

    @property
    def sealing_private_pem(self) -> bytes:
        """What the facade opens with."""
        return private_pem(self.sealing_key)

    def generation(self) -> int:
        """Return a generation above all earlier ones."""
        self._generation = max(self._generation + 1, time.time_ns() // 1_000_000)
        return self._generation

    def approval(
        self,
        host: str,
        *,
        username: str | None = None,
        credential: Credential | None = None,
        token: str | None = None,
        connection_id: UUID | None = None,
        secret_version: int = 1,
        expires_in: timedelta | None = None,
        **scope: Any,
    ) -> ConnectionApproval:
        """Return an approval with its secret sealed, not yet written."""
        connection_id = connection_id or uuid4()
        now = datetime.now(UTC)
        if credential is None:
            credential = UsernameAndToken(username) if username else Anonymous()
        document = ConnectionDocument(
            host=RegistryHost.parse(host),
            credential=credential,
            connected_by="alice",
            connected_at=now,
            **scope,
        )
        sealed = None
        if token is not None:
            public_key = self.sealing_key.public_key()
            context = seal_context(
                connection_id, document, secret_version=secret_version, key_id=key_id(public_key)
            )
            sealed = seal(Secret(token), public_key, context)
            document = attrs.evolve(document, secret=reference(sealed, context))
        stored = document.to_bytes()
        return ConnectionApproval(
            connection_id=connection_id,
            document=stored.decode(),
            fingerprint=fingerprint(stored),
            approved_by="bob",
            approved_at=now,
            generation=self.generation(),
            expires_at=now + expires_in if expires_in is not None else None,
            sealed_secret=sealed,
        )

    def with_secret_of(
        self, approval: ConnectionApproval, other: ConnectionApproval
    ) -> ConnectionApproval:
        """Return the approval with another connection's sealed bytes, as a bug might make it."""
        document, others = (
            ConnectionDocument.from_bytes(each.document.encode()) for each in (approval, other)
        )
        stored = attrs.evolve(document, secret=others.secret).to_bytes()
        return attrs.evolve(
            approval,
            document=stored.decode(),
            fingerprint=fingerprint(stored),
            sealed_secret=other.sealed_secret,
        )

    def revocation(self, connection_id: UUID) -> ConnectionRevocation:
        """Return a revocation, not yet written."""
        return ConnectionRevocation(
            connection_id, "bob", datetime.now(UTC), generation=self.generation()
        )

    def device_revocation(self, device: str) -> DeviceRevocation:
        """Return a device's revocation, not yet written."""
        return DeviceRevocation(
            uuid4(), "bob", datetime.now(UTC), generation=self.generation(), device=device
        )

    def device_lifting(self, revocation: DeviceRevocation) -> DeviceLifting:
        """Return the lifting of a revocation, not yet written."""
        return DeviceLifting(
            revocation.revocation_id,
            "bob",
            datetime.now(UTC),
            generation=self.generation(),
            device=revocation.device,
        )

    def sign(self, statement: Statement) -> StoredStatement:
        """Return the envelope as the control plane would sign it."""
        return sign(statement, self.statement_key)

    async def approve(self, host: str, **fields: Any) -> ConnectionApproval:
        """Write an approval."""
        approval = self.approval(host, **fields)
        await self.write(approval)
        return approval

    async def revoke(self, connection_id: UUID) -> None:
        """Write a revocation."""
        await self.write(self.revocation(connection_id))

    async def write(self, statement: Statement) -> StoredStatement:
        """Sign a statement and write its row."""
        stored = self.sign(statement)
        await self.write_row(statement.subject, stored, statement.generation)
        return stored

    async def write_many(self, statements: Iterable[Statement]) -> None:
        """Write rows of subjects that have none yet, in one go."""

        def record(statement: Statement) -> tuple[object, ...]:
            stored = self.sign(statement)
            content = (stored.type, stored.key_id, stored.payload, stored.signature)
            return (statement.subject, *content, statement.generation)

        records = await asyncio.to_thread(lambda: [record(each) for each in statements])
        connection = await asyncpg.connect(self.owner_url)
        try:
            await connection.copy_records_to_table("statements", records=records, columns=_COLUMNS)
            await connection.execute("ANALYZE statements")
        finally:
            await connection.close()

    async def write_row(self, subject: str, stored: StoredStatement, generation: int = 1) -> None:
        """Write any row, as somebody may who can write in Postgres."""
        await self.sql(
            "INSERT INTO statements (subject, type, key_id, payload, signature, generation)"
            " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (subject) DO UPDATE SET type = $2,"
            " key_id = $3, payload = $4, signature = $5, generation = $6",
            subject,
            stored.type,
            stored.key_id,
            stored.payload,
            stored.signature,
            generation,
        )

    async def sql(self, statement: str, *parameters: object) -> str:
        """Run one SQL statement as the owner of the schema."""
        connection = await asyncpg.connect(self.owner_url)
        try:
            return str(await connection.execute(statement, *parameters))
        finally:
            await connection.close()
