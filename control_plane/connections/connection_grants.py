"""What a customer has to grant for a connection, read for whoever asks."""

from uuid import UUID

from attrs import frozen

from control_plane.connections.grant import Grant, grant_of
from control_plane.connections.reader import ConnectionReader
from control_plane.connections.revisions import editable


@frozen
class ConnectionGrants:
    """Tells what to grant, with the facade's own AWS identity, if that is configured."""

    _reader: ConnectionReader
    _aws_principal_arn: str | None

    async def show(self, connection_id: UUID) -> Grant:
        """Return what to grant for the draft; without a draft, for what serves.

        Raises `NotFoundError` if there is nothing to grant.
        """
        _, state = await self._reader.read(connection_id)
        base = editable(state)
        return grant_of(base.document, base.fingerprint, principal_arn=self._aws_principal_arn)
