"""Whether this process can work: the database is reached, migrated and of the same key.

Also what is wrong with it that does not keep it from working yet.
"""

import asyncio

from attrs import define, field

from control_plane.database.notification_queue import NotificationQueue
from control_plane.database.schema_revision import schema_problem
from control_plane.errors import UnavailableError
from control_plane.http.tls_reload import ReloadedTls
from control_plane.proof.audit_chain import AuditChain
from control_plane.serving.private_keys import PrivateKeys
from control_plane.serving.upkeep import Upkeep
from control_plane.single_sign_on.sign_on import SignOn
from control_plane.troubles import ControlPlanePart, Trouble
from control_plane.webhooks.webhooks import Webhooks
from shared.supervised import Supervisor


@define(eq=False)
class Health:
    """Tells whether this process can work, and what is wrong with it."""

    _chain: AuditChain
    _tls: ReloadedTls | None
    _keys: PrivateKeys
    _remembering: Upkeep
    _notifications: NotificationQueue
    _supervisor: Supervisor
    _sign_on: SignOn
    _webhooks: Webhooks | None = None
    _looking: asyncio.Task[str | None] | None = field(default=None, init=False)

    async def why_not_ready(self) -> str | None:
        """Return what is missing, in words, or nothing.

        Anybody may ask. Those who ask during one look share its result.
        """
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
            self._looking.add_done_callback(self._has_looked)
        return await asyncio.shield(self._looking)

    def _has_looked(self, _: object) -> None:
        self._looking = None

    async def _look(self) -> str | None:
        await self._notifications.look()
        found = await why_not_ready(self._chain)
        stopping = [trouble.words for trouble in self.troubles() if trouble.stops]
        reasons = dict.fromkeys([*([found] if found else []), *stopping])  # each of them once
        return "; ".join(reasons) or None

    async def status(self) -> str:
        """Return in one line what `/readyz` says."""
        reason = await self.why_not_ready()
        beside = [each.words for each in self.troubles() if not (reason and each.stops)]
        return "; ".join([f"not ready: {reason}" if reason else "ready", *beside])

    def troubles(self) -> list[Trouble]:
        """Return what is wrong now; each part has one trouble at most."""
        of_tls = [] if self._tls is None else self._tls.troubles(self._chain.clock())
        found = [
            *of_tls,
            *self._keys.troubles(),
            *self._remembering.troubles(),
            *self._notifications.troubles(),
            *self._sign_on.troubles(),
            *(self._webhooks.troubles() if self._webhooks else ()),
        ]
        if failing := "; ".join(self._supervisor.problems()):
            found.append(Trouble(ControlPlanePart.BACKGROUND, failing, stops=False, kind=failing))
        return found

    def refused_files(self) -> frozenset[str]:
        """Return the settings whose file cannot be used as it is now."""
        of_tls = frozenset() if self._tls is None else frozenset(self._tls.refused)
        return of_tls | (self._webhooks.refused_files() if self._webhooks else frozenset())


async def why_not_ready(chain: AuditChain) -> str | None:
    """Return what is missing, in words, or nothing."""
    try:
        async with chain.database.connection() as connection:
            problem = await schema_problem(connection)
        if problem is not None:
            return problem
        async with chain.reading():
            return chain.problem  # it stops acts alone; reads may go on
    except UnavailableError as error:
        return str(error)
