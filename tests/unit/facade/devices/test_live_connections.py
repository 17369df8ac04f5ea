"""Who is cut by what, and who gives way to whom."""

import datetime as dt

import pytest
from attrs import define, field
from prometheus_client import CollectorRegistry

from deploy.dev.device_ca import CertificateAuthority
from facade.answers.repeated_refusals import TOLD_AT_ONCE
from facade.devices.connection_limits import (
    DESCRIPTORS_PER_CONNECTION,
    MOST_CONNECTIONS_BY_DEFAULT,
    ConnectionLimits,
)
from facade.devices.device_trust import DeviceTrust
from facade.devices.live_connections import WAITING_TOO, LiveConnections
from facade.devices.presented_device import PresentedDevice
from facade.devices.revocation_list import RevocationList
from facade.metrics.device_metrics import DeviceMetrics
from facade.values.authority import Authority
from facade.values.device_identity import DeviceIdentity
from shared.statement import device_subject

CA = CertificateAuthority.create("live connections CA")
AUTHORITY = Authority.of(CA.certificate)
TRUST = DeviceTrust.build([CA.certificate], None)
LATER = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)


@define(eq=False)
class Connection:
    """A connection that remembers whether it was cut."""

    device: PresentedDevice
    is_cut: bool = field(default=False, init=False)

    def cut(self) -> None:
        """Remember."""
        self.is_cut = True


def connection_of(name: str, serial: int = 1) -> Connection:
    """Return a connection of a device."""
    identity = DeviceIdentity(name, None, f"{serial:x}", LATER)
    return Connection(
        PresentedDevice(identity, AUTHORITY.name, serial, LATER, AUTHORITY, AUTHORITY)
    )


@pytest.fixture
def registry() -> CollectorRegistry:
    """Where the metrics are."""
    return CollectorRegistry()


def live(registry: CollectorRegistry, **limits: int) -> LiveConnections:
    """Return no connections."""
    return LiveConnections(TRUST, DeviceMetrics.create(registry), ConnectionLimits(**limits))


def admitted(connections: LiveConnections, *those: Connection) -> None:
    """Take them in."""
    assert all(connections.admit(each) for each in those)


@pytest.mark.parametrize(
    "subject",
    [
        device_subject("press-7", None, None),
        device_subject(None, "a", None),
        device_subject(None, "a", AUTHORITY.name),
    ],
)
def test_a_revocation_cuts_by_device_by_certificate_and_by_issuer(
    registry: CollectorRegistry, subject: str
) -> None:
    """Every connection of its subject, once, and no other."""
    connections = live(registry)
    ours = [connection_of("press-7", 10) for _ in range(3)]
    others = [connection_of("press-8", 11), connection_of("press-9", 12)]
    admitted(connections, *ours, *others)
    connections.cut_revoked(subject, lambda _: True, since=0.0)
    connections.cut_revoked(subject, lambda _: True, since=0.0)
    assert [each.is_cut for each in ours] == [True] * 3
    assert not any(each.is_cut for each in others)
    assert len(connections) == 2
    assert registry.get_sample_value("facade_device_revocation_seconds_count") == 3


def test_a_lifting_cuts_nobody(registry: CollectorRegistry) -> None:
    """It names the same subject as the revocation that it ends."""
    connections, connection = live(registry), connection_of("press-7")
    admitted(connections, connection)
    connections.cut_revoked(connection.device.subjects[0], lambda _: False, since=0.0)
    assert not connection.is_cut


def test_a_revocation_without_a_time_is_not_measured(registry: CollectorRegistry) -> None:
    """A row that vanished cuts, and nobody knows since when."""
    connections, connection = live(registry), connection_of("press-7")
    admitted(connections, connection)
    connections.cut_revoked(connection.device.subjects[0], lambda _: True, since=None)
    assert connection.is_cut
    assert registry.get_sample_value("facade_device_revocation_seconds_count") == 0


def test_what_is_released_is_forgotten_whole(registry: CollectorRegistry) -> None:
    """A facade runs for months."""
    connections, connection = live(registry), connection_of("press-7")
    admitted(connections, connection)
    connections.release(connection)
    connections.release(connection)
    connections.end_request(connection)
    assert len(connections) == 0
    assert not connections._by_subject  # noqa: SLF001 - nothing is kept of who left
    assert not connections._idle  # noqa: SLF001 - the same


def test_other_trust_cuts_whom_it_does_not_accept(registry: CollectorRegistry) -> None:
    """And lets the others go on."""
    connections = live(registry)
    revoked, other = connection_of("press-7", 7), connection_of("press-8", 8)
    admitted(connections, revoked, other)
    connections.adopt(DeviceTrust.build([CA.certificate], RevocationList.parse_all(CA.crl([7]))))
    assert (revoked.is_cut, other.is_cut) == (True, False)


@pytest.mark.parametrize("is_at_once", [True, False])
def test_at_its_bound_a_devices_longest_idle_connection_gives_way(
    registry: CollectorRegistry, *, is_at_once: bool
) -> None:
    """Nobody else's, and none that is busy. A request that is answered at once counts as any."""
    connections = live(registry, per_device=1)
    other, first, second = (connection_of(name) for name in ("other", "press-7", "press-7"))
    admitted(connections, other, first, second)
    assert WAITING_TOO == 2
    if is_at_once:
        connections.note_answer(first)
    else:
        connections.begin_request(first)
        connections.end_request(first)
    # now the second one is idle for longer
    third = connection_of("press-7")
    admitted(connections, third)
    assert [each.is_cut for each in (other, first, second)] == [False, False, True]
    for each in (first, third):
        connections.begin_request(each)
    assert not connections.admit(connection_of("press-7"))
    admitted(connections, connection_of("press-8"))


def test_at_the_bound_in_all_the_longest_idle_one_gives_way(registry: CollectorRegistry) -> None:
    """Whoever's it is; where all are busy nobody is let in, and the listener waits."""
    connections = live(registry, in_all=2)
    first, second = connection_of("press-1"), connection_of("press-2")
    admitted(connections, first, second)
    connections.begin_request(first)
    full = [connections.is_full]
    third = connection_of("press-3")
    admitted(connections, third)
    assert (first.is_cut, second.is_cut) == (False, True)
    connections.begin_request(third)
    full.append(connections.is_full)
    assert not connections.admit(connection_of("press-4"))
    connections.release(first)
    assert [*full, connections.is_full] == [False, True, False]


def test_the_limit_in_all_follows_from_the_descriptors() -> None:
    """Unless it is set."""
    assert ConnectionLimits.of_descriptors(1024, 0, 1).in_all == 256
    assert ConnectionLimits.of_descriptors(10**6, 0, 1).in_all == MOST_CONNECTIONS_BY_DEFAULT
    assert ConnectionLimits.of_descriptors(1024, 20_000, 1).in_all == 20_000


@pytest.mark.parametrize("descriptors", [1, 256, 1024, 4096, 20_000, 10**6])
def test_stalled_handshakes_never_use_up_the_descriptors(descriptors: int) -> None:
    """Whatever the hard limit is: what devices need for their pulls is left."""
    limits = ConnectionLimits.of_descriptors(descriptors, 0, 1)
    assert 1 <= limits.handshakes <= 512
    assert 1 <= limits.farewells <= 256
    if descriptors >= 256:
        pulling = limits.in_all * (DESCRIPTORS_PER_CONNECTION - 1)
        assert pulling + limits.handshakes + limits.farewells <= descriptors * 15 // 16


async def test_a_device_that_makes_room_for_itself_does_not_fill_the_log(
    registry: CollectorRegistry,
) -> None:
    """Each new connection cuts an older one; the first have a line, all are counted."""
    connections, reason = live(registry, per_device=1), "limit of its device"
    cut = TOLD_AT_ONCE + 100
    for _ in range(cut + WAITING_TOO):
        admitted(connections, connection_of("press-7"))
    name = "facade_device_connections_cut_total"
    assert registry.get_sample_value(name, {"reason": reason}) == cut
    assert not connections.may_tell(connection_of("press-7").device, reason)
    assert connections.may_tell(connection_of("press-7").device, "revoked")
    assert connections.may_tell(connection_of("press-8").device, reason)
