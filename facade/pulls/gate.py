"""Who asks, and may they? Only this decides, for each request, also if its answer is cached.

Nothing here waits, so that answers from memory are decided on in the same way. `now` is the moment
of the decision: whoever waits in between asks with another one.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from attrs import frozen

from facade.answers import distribution_errors as errors
from facade.answers.distribution_errors import DeviceRefusal, DeviceRefusedError, PullRefusedError
from facade.approvals.access import DenialReason, authorize_pull
from facade.approvals.snapshot import Snapshot
from facade.devices.device_connection import DeviceConnection
from facade.metrics.pull_metrics import RefusedBy
from facade.values.device_identity import DeviceIdentity
from facade.values.pull_path import Pull
from shared.approved_connection import ApprovedConnection

_DENIED_BY: Final = {
    DenialReason.NOT_CONNECTED: RefusedBy.NOT_CONNECTED,
    DenialReason.EXPIRED: RefusedBy.EXPIRED,
    DenialReason.REPOSITORY: RefusedBy.SCOPE,
    DenialReason.FLEET: RefusedBy.SCOPE,
}


@frozen
class Gate:
    """Decides by the certificate, the revocations and the approvals as they are now."""

    _snapshot: Snapshot
    _staleness: Callable[[], str | None]  # why the snapshot may not be relied on; None: it may

    def identify_device(self, connection: DeviceConnection, now: datetime) -> DeviceIdentity:
        """Return who asks; raise `PullRefusedError` if nobody may with this certificate.

        It is a `DeviceRefusedError` if the device itself is refused.
        """
        presented = connection.device
        device = presented.identity
        if device is None:
            raise DeviceRefusedError(
                errors.DEVICE_DENIED, presented.problem, DeviceRefusal.UNIDENTIFIED
            )
        if (problem := connection.certificate_problem(now)) is not None:
            raise DeviceRefusedError(errors.DEVICE_DENIED, problem, DeviceRefusal.CERTIFICATE)
        if self._snapshot.revoked.includes(device, presented.issuer):
            raise DeviceRefusedError(
                errors.DEVICE_REVOKED, "the device is revoked", DeviceRefusal.REVOKED
            )
        if connection.is_too_late:
            raise PullRefusedError(
                errors.SHUTTING_DOWN,
                "the facade has stopped",
                RefusedBy.DRAINING,
            )
        return device

    def authorize(self, pull: Pull, device: DeviceIdentity, now: datetime) -> ApprovedConnection:
        """Return the connection that the pull goes through; raise `PullRefusedError`."""
        if stale := self._staleness():
            answer = errors.unavailable("the facade does not know what is approved")
            raise PullRefusedError(answer, stale, RefusedBy.STALE)
        candidates = self._snapshot.connections_covering(pull.host, pull.repository)
        if candidates is None:
            answer = errors.unavailable("the facade does not know yet what is approved")
            raise PullRefusedError(answer, "many rows are not verified yet", RefusedBy.STALE)
        decision = authorize_pull(pull, device, candidates, now)
        if isinstance(decision, DenialReason):
            raise PullRefusedError(errors.NAME_UNKNOWN, decision, _DENIED_BY[decision])
        return decision
