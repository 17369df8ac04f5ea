"""The work beside the calls: what runs while the control plane serves, and ends with it."""

from collections.abc import Mapping
from typing import Final, Self

from attrs import frozen

from control_plane.audit.last_export import LastExport
from control_plane.connections.survey import ConnectionSurvey
from control_plane.database.notification_queue import NotificationQueue
from control_plane.metrics import ControlPlaneMetrics
from control_plane.operators.stranger_lines import StrangerLines
from control_plane.proof.missing_keys import MissingKeys
from control_plane.serving.config import ServeSettings
from control_plane.serving.logins import Logins
from control_plane.serving.private_keys import PrivateKeys
from control_plane.serving.startup_material import StartupMaterial
from control_plane.serving.upkeep import Upkeep
from control_plane.serving.use_cases import UseCases
from control_plane.webhooks.webhooks import WORK as WEBHOOKS
from control_plane.webhooks.webhooks import Webhooks
from shared.supervised import Endless, Supervisor

REMEMBERING: Final = "remembering"


@frozen
class BackgroundWork:
    """Everything that goes on until the process stops, but for what the listener needs."""

    upkeep: Upkeep
    notifications: NotificationQueue
    private_keys: PrivateKeys
    webhooks: Webhooks | None
    _survey: ConnectionSurvey
    _last_export: LastExport
    _logins: Logins
    _lines: StrangerLines
    _supervisor: Supervisor

    @classmethod
    def of(
        cls,
        configured: ServeSettings,
        material: StartupMaterial,
        use_cases: UseCases,
        logins: Logins,
        lines: StrangerLines,
        metrics: ControlPlaneMetrics,
        supervisor: Supervisor,
    ) -> Self:
        """Return it; nothing of it has begun."""
        chain = use_cases.chain
        upkeep = Upkeep(chain, use_cases.history, MissingKeys(chain), material.memory.file)
        webhooks = Webhooks.of(
            material.targets,
            chain,
            chain.clock,
            metrics,
            supervisor,
            upkeep.troubles,
            proxy=configured.outbound_proxy,
        )
        return cls(
            upkeep,
            NotificationQueue(chain.database),
            PrivateKeys.of(configured),
            webhooks,
            ConnectionSurvey(chain.database, metrics, chain.clock),
            LastExport(chain.database, metrics),
            logins,
            lines,
            supervisor,
        )

    def by_name(self) -> Mapping[str, Endless]:
        """Return what has to be kept going."""
        webhooks = {WEBHOOKS: self.webhooks.run} if self.webhooks else {}
        return {
            REMEMBERING: self.upkeep.run,
            "notifications": self.notifications.run,
            "survey": self._survey.run,
            "last export": self._last_export.run,
            "private keys": self.private_keys.run,
            "last uses": self._logins.last_uses.run,
            **self._logins.sign_on.work(),
            "refused calls": self._lines.run,
            **webhooks,
        }

    async def finish(self) -> None:
        """Do the last of it, once nobody is answered any more."""
        self._lines.tell()
        await self._end_in_order(REMEMBERING, self.upkeep.keep)
        if self.webhooks is not None:
            await self._end_in_order(WEBHOOKS, self.webhooks.close)

    async def _end_in_order(self, name: str, end: Endless) -> None:
        """Do the last of some work; if it fails, the process stops all the same."""
        try:
            await end()
        except Exception as error:  # noqa: BLE001 - it is logged and counted
            self._supervisor.failed(name, error)
