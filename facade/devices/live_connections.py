"""Every open connection of every device: found by its device, counted, bounded, cut.

A revocation finds its connections by the subject of the statement, at once however many there are.
If a bound is reached, a connection that waits for its next request gives way to a new one.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final, Protocol

from attrs import define, field

from facade.answers.repeated_refusals import RefusalKind, RepeatedRefusals
from facade.devices.admissions import Admissions
from facade.devices.connection_limits import ConnectionLimits
from facade.devices.device_trust import DeviceTrust
from facade.devices.presented_device import PresentedDevice
from facade.metrics.device_metrics import DeviceMetrics
from shared.structured_log import get_logger

WAITING_TOO: Final = 2  # times as many connections as pulls: the rest idle or wait
_NOT_ACCEPTED: Final = "certificate no longer accepted"
_log = get_logger("facade.live_connections")


class LiveConnection(Protocol):
    """What is kept of a connection."""

    device: PresentedDevice

    def cut(self) -> None:
        """Reset it; nothing that waits in a buffer is delivered any more."""


@define(eq=False)
class LiveConnections:
    """The open connections of this process, and the trust that they are checked by."""

    trust: DeviceTrust
    _metrics: DeviceMetrics
    limits: ConnectionLimits = field(factory=ConnectionLimits)
    admissions: Admissions = field(factory=Admissions, init=False)
    _by_subject: dict[str, set[LiveConnection]] = field(factory=dict, init=False)
    _all: set[LiveConnection] = field(factory=set, init=False)
    _idle: dict[LiveConnection, int] = field(factory=dict, init=False)  # the longest idle first
    _turn: int = field(default=0, init=False)  # in the order in which they became idle
    _lines: RepeatedRefusals = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Be counted, and put together what devices repeat."""
        self._lines = RepeatedRefusals(_tell_together)
        self._metrics.connections.set_function(lambda: len(self._all))

    def __len__(self) -> int:
        """Return how many are open."""
        return len(self._all)

    @property
    def is_full(self) -> bool:
        """Whether a new connection could only wait: the limit is reached and none is idle."""
        return len(self._all) >= self.limits.in_all and not self._idle

    def may_tell(self, device: PresentedDevice, why: str) -> bool:
        """Count the end of a device's connection; tell whether it has a line of its own."""
        return self._lines.is_told(RefusalKind(device.counts_as, None, why))

    def admit(self, connection: LiveConnection) -> bool:
        """Take in a new connection, if need be in an idle one's place; False if it has none."""
        device = connection.device
        of_device = self._by_subject.get(device.counts_as, set())
        if len(of_device) >= WAITING_TOO * self.limits.per_device and not self._make_room(
            self._longest_idle_of(of_device), "limit of its device"
        ):
            return False
        if len(self._all) >= self.limits.in_all and not self._make_room(
            next(iter(self._idle), None), "limit in all"
        ):
            return False
        self._all.add(connection)
        self.end_request(connection)
        for subject in device.subjects:
            self._by_subject.setdefault(subject, set()).add(connection)
        return True

    def release(self, connection: LiveConnection) -> None:
        """Forget a connection that is gone; harmless if it is forgotten already."""
        if connection not in self._all:
            return
        self._all.remove(connection)
        self._idle.pop(connection, None)
        for subject in connection.device.subjects:
            of_subject = self._by_subject[subject]
            of_subject.remove(connection)
            if not of_subject:
                del self._by_subject[subject]

    def begin_request(self, connection: LiveConnection) -> None:
        """Note that it is busy."""
        self._idle.pop(connection, None)

    def end_request(self, connection: LiveConnection) -> None:
        """Note that it waits for its next request."""
        if connection in self._all:
            self._turn += 1
            self._idle[connection] = self._turn

    def note_answer(self, connection: LiveConnection) -> None:
        """Note a request that was answered at once: it has waited for its next one since now."""
        if self._idle.pop(connection, None) is not None:
            self._turn += 1
            self._idle[connection] = self._turn

    def cut_revoked(
        self, subject: str, is_revoked: Callable[[PresentedDevice], bool], since: float | None
    ) -> None:
        """Cut the connections of a revoked device or certificate.

        `since`: when it was revoked (Unix seconds), for the metric; None if nobody revoked it.
        """
        revoked = [each for each in self._by_subject.get(subject, ()) if is_revoked(each.device)]
        self._cut(revoked, "revoked")
        if since is not None:
            seconds = max(0.0, datetime.now(UTC).timestamp() - since)
            for _ in revoked:
                self._metrics.revocation_seconds.observe(seconds)

    def adopt(self, trust: DeviceTrust) -> None:
        """From now on check every connection by other CAs and CRLs."""
        are_others = trust.authorities != self.trust.authorities
        self.trust = trust
        self.cut_refused()
        if are_others:
            self.begin_admissions_anew()

    def begin_admissions_anew(self) -> None:
        """Forget who came, unless somebody is in: other devices will be let in."""
        if not self._all:
            self.admissions.begin_anew()

    def identified(self) -> list[LiveConnection]:
        """Return the connections of devices whose certificate says who they are."""
        return [each for each in self._all if each.device.identity is not None]

    def cut_no_longer_accepted(self, connections: Iterable[LiveConnection]) -> None:
        """Cut those of them that are still open."""
        self._cut([each for each in connections if each in self._all], _NOT_ACCEPTED)

    def cut_refused(self) -> None:
        """Cut connections that would not be let in again. A CRL may have expired, too."""
        now = datetime.now(UTC)
        refused = [each for each in self._all if self.trust.refusal(each.device, now)]
        self._cut(refused, _NOT_ACCEPTED)

    def _make_room(self, idle: LiveConnection | None, reason: str) -> bool:
        if idle is None:
            return False
        self._cut([idle], reason)
        return True

    def _longest_idle_of(self, connections: set[LiveConnection]) -> LiveConnection | None:
        idle = [each for each in connections if each in self._idle]
        return min(idle, key=self._idle.__getitem__, default=None)

    def _cut(self, connections: Iterable[LiveConnection], reason: str) -> None:
        for connection in connections:
            if self.may_tell(connection.device, reason):
                _log.info("connection cut", device=connection.device.id, reason=reason)
            self._metrics.connections_cut.labels(reason).inc()
            self.release(connection)
            connection.cut()


def _tell_together(kind: RefusalKind, count: int) -> None:
    _log.info("connections ended again", device=kind.device, reason=kind.reason, count=count)
