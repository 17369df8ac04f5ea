"""Who is let through is decided by what holds now, anew each time."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from facade.answers import distribution_errors as errors
from facade.devices.device_trust import DeviceTrust
from facade.devices.pulls_under_way import DrainStage
from facade.devices.revocation_list import RevocationList
from facade.values.pull_path import Pull
from shared.oci import Digest, Kind, RepositoryName
from shared.registry_host import RegistryHost
from shared.repository_pattern import RepositoryPattern
from shared.statement import DeviceLifting, DeviceRevocation
from tests.unit.facade.pulls.at_the_door import AUTHORITY, CA, HOST, Door

PULL = Pull(
    RegistryHost.parse(HOST),
    RepositoryName.parse("team/app"),
    Kind.MANIFEST,
    Digest.of(b"content"),
)
SERIAL = "abc"


async def test_a_device_is_known_by_its_certificate() -> None:
    """And nothing else is asked of it."""
    connection = Door().connection()
    device = Door().identify(connection)
    assert device is connection.device.identity


async def test_a_certificate_that_names_nobody_is_denied() -> None:
    """In the certificate's words to the log, in ours to the device."""
    door = Door()
    with pytest.raises(errors.PullRefusedError, match="no URI") as refused:
        door.identify(door.connection(problem="no URI"))
    assert refused.value.answer is errors.DEVICE_DENIED


async def test_whoever_gets_nothing_at_all_is_refused_by_a_code() -> None:
    """By which it is counted."""
    door = Door()
    door.say(door.writer.device_revocation("press-8"))
    for connection, code in (
        (door.connection(problem="no URI"), errors.DeviceRefusal.UNIDENTIFIED),
        (door.connection(lasts=-1.0), errors.DeviceRefusal.CERTIFICATE),
        (door.connection("press-8"), errors.DeviceRefusal.REVOKED),
    ):
        with pytest.raises(errors.DeviceRefusedError) as refused:
            door.identify(connection)
        assert refused.value.code is code


@pytest.mark.parametrize("lasts", [0.0, -1.0, -86400.0])
async def test_a_certificate_that_has_expired_is_denied(lasts: float) -> None:
    """Also on a connection whose handshake it was good for."""
    door = Door()
    with pytest.raises(errors.PullRefusedError, match="expired") as refused:
        door.identify(door.connection(lasts=lasts))
    assert refused.value.answer is errors.DEVICE_DENIED


async def test_while_the_facade_drains_whoever_is_in_is_served() -> None:
    """What it cannot begin any more is refused with 503; until then nobody is."""
    door = Door()
    connection = door.connection()
    for stage in (DrainStage.LEAVING, DrainStage.FINISHING):
        door.pulls.advance(stage)
        assert door.identify(connection) is connection.device.identity
    door.pulls.advance(DrainStage.OVER)
    with pytest.raises(errors.PullRefusedError, match="has stopped") as refused:
        door.identify(connection)
    assert refused.value.answer is errors.SHUTTING_DOWN
    assert (refused.value.answer.status, refused.value.answer.closes) == (503, True)


async def test_new_trust_holds_for_an_open_connection() -> None:
    """A CRL that was read a moment ago, say."""
    door = Door()
    connection = door.connection()
    door.identify(connection)
    lists = RevocationList.parse_all(CA.crl([0xABC]))
    door.live.adopt(DeviceTrust.build([CA.certificate], lists))
    with pytest.raises(errors.PullRefusedError, match="CRL"):
        door.identify(connection)
    door.identify(door.connection(serial=0xABD))


@pytest.mark.parametrize(
    "about",
    [
        {"device": "press-7"},
        {"serial": SERIAL, "issuer": None},
        {"serial": SERIAL, "issuer": AUTHORITY.name},
    ],
)
async def test_a_revoked_device_is_denied_until_that_is_lifted(
    about: dict[str, Any],
) -> None:
    """By its name, by its certificate, and nobody else with it."""
    door = Door()
    connection, now = door.connection(), datetime.now(UTC)
    revoked = DeviceRevocation(uuid4(), "bob", now, generation=1, **about)
    door.say(revoked)
    with pytest.raises(errors.PullRefusedError) as refused:
        door.identify(connection)
    assert refused.value.answer is errors.DEVICE_REVOKED
    door.identify(door.connection("press-8", serial=0xABD))
    door.say(DeviceLifting(revoked.revocation_id, "bob", now, generation=2, **about))
    door.identify(connection)


async def test_what_is_approved_is_what_the_newest_statement_says() -> None:
    """Between two requests of one connection, everything may have changed."""
    door = Door()
    device = door.identify(door.connection())
    require_unknown(door)
    approval = door.approve()
    assert door.authorize(PULL, device).id == approval.connection_id
    door.say(door.writer.revocation(approval.connection_id))
    require_unknown(door)


@pytest.mark.parametrize(
    "scope",
    [
        {"fleets": ("line-b",)},
        {"repositories": (RepositoryPattern.parse("team/other"),)},
        {"repository_prefix": RepositoryName.parse("others")},
        {"expires_in": timedelta(0)},
    ],
)
async def test_a_pull_out_of_scope_is_told_what_an_unknown_one_is(scope: dict[str, object]) -> None:
    """Who guesses learns nothing."""
    door = Door()
    door.approve(**scope)
    require_unknown(door)


async def test_without_knowing_what_is_approved_nothing_is() -> None:
    """A snapshot that is too old refuses the approved and the unknown alike, with a later try."""
    door = Door(stale="too old")
    device = door.identify(door.connection())
    door.approve()
    with pytest.raises(errors.PullRefusedError, match="too old") as refused:
        door.authorize(PULL, device)
    assert refused.value.answer.status == 503
    assert "Retry-After" in refused.value.answer.headers
    door.stale = None
    door.authorize(PULL, device)


def require_unknown(door: Door) -> None:
    """Fail unless the pull is answered as one that nobody connected."""
    device = door.identify(door.connection())
    with pytest.raises(errors.PullRefusedError) as refused:
        door.authorize(PULL, device)
    assert refused.value.answer is errors.NAME_UNKNOWN
