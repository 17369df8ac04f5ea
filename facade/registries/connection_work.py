"""The work that runs through each connection: pulls, downloads, proofs. A revocation ends it.

Whatever is done on behalf of a connection runs in a block of `running`, also if the registry is
not asked: what is stored is read no more, either. A device that is revoked has its TLS connections
cut instead (`devices/live_connections.py`).
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from attrs import define, field

from facade.errors import PullError
from shared.approved_connection import ApprovedConnection


class ConnectionRevokedError(PullError):
    """The connection was revoked while a pull went through it."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__("the connection was revoked meanwhile")


@define(eq=False)
class ConnectionWork:
    """The work of one process, by connection. For one event loop."""

    # The tasks of each connection, and whether it was revoked while they worked.
    _tasks: dict[UUID, dict[asyncio.Task[object], bool]] = field(factory=dict, init=False)
    _revoked: set[UUID] = field(factory=set, init=False)

    @contextmanager
    def running(self, connection: ApprovedConnection) -> Iterator[None]:
        """Run the block on behalf of a connection.

        Raises `ConnectionRevokedError` in the middle of whatever the block does, or before it. Of
        blocks of one task within each other the outermost does.
        """
        if connection.id in self._revoked:
            raise ConnectionRevokedError
        task = _current_task()
        tasks = self._tasks.setdefault(connection.id, {})
        if task in tasks:
            yield
            return
        tasks[task] = False
        try:
            yield
        except asyncio.CancelledError:
            if tasks[task] and task.uncancel() == 0:
                raise ConnectionRevokedError from None
            raise
        finally:
            del tasks[task]
            if not tasks:
                del self._tasks[connection.id]
            del task  # if it ends with an error from here, it holds this frame

    def revoke(self, connection_id: UUID) -> None:
        """End what runs through a connection, with whatever revision; let nothing begin."""
        self._revoked.add(connection_id)
        tasks = self._tasks.get(connection_id, {})
        for task in tasks:
            tasks[task] = True
            task.cancel()

    def serve(self, connection_id: UUID) -> None:
        """Let work begin: the connection is approved."""
        self._revoked.discard(connection_id)


def _current_task() -> asyncio.Task[object]:
    """Return the running task; raise `RuntimeError` outside of any."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("work is done by a task")
    return task
