"""What a change of what is believed does at once: it ends what is served no more."""

import asyncio
from typing import Final
from uuid import UUID

from attrs import field, frozen

from facade.approvals.row_change import Change, RowOutcome
from facade.approvals.snapshot import Snapshot
from facade.devices.live_connections import LiveConnections
from facade.devices.presented_device import PresentedDevice
from facade.registries.connection_work import ConnectionWork
from facade.registries.upstreams import Upstreams

GENERATIONS_PER_SECOND: Final = 1000  # a generation is a time in milliseconds, or just above
_CONNECTION: Final = "connection"


@frozen
class ChangeEffects:
    """Where a change takes effect in this process."""

    _snapshot: Snapshot
    _upstreams: Upstreams
    _work: ConnectionWork
    _live: LiveConnections
    connections_changed: asyncio.Event = field(factory=asyncio.Event, init=False)

    def apply(self, change: Change) -> None:
        """Let a change of the snapshot take effect."""
        kind, _, identifier = change.subject.partition("/")
        if kind == _CONNECTION and _is_uuid(identifier):
            self._end_served(UUID(identifier), change.subject)
        elif kind != _CONNECTION:
            self._cut_revoked(change)

    def _end_served(self, connection_id: UUID, subject: str) -> None:
        serving = self._snapshot.serving(subject)
        self._upstreams.retire(connection_id, serving=serving)
        if serving is None:
            self._work.revoke(connection_id)
        else:
            self._work.serve(connection_id)
        self.connections_changed.set()

    def _cut_revoked(self, change: Change) -> None:
        def is_revoked(device: PresentedDevice) -> bool:
            return device.identity is not None and self._snapshot.revoked.includes(
                device.identity, device.issuer
            )

        # A statement's generation is the time of the API's act (or one more than the last one).
        said = change.generation if change.outcome is RowOutcome.ACCEPTED else None
        since = None if said is None else said / GENERATIONS_PER_SECOND
        self._live.cut_revoked(change.subject, is_revoked, since=since)


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
