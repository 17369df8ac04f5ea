"""A device that no certificate can name is not revoked by mistake; without the setting it warns."""

import pytest

from control_plane.serving.config import ServeSettings
from shared.environment import ConfigurationError, load
from tests.support.control_plane import ControlPlane
from tests.support.shell import shell
from tests.system.control_plane.test_openapi import require_documented

PATH = "/v1/device-revocations"
PATTERN = "spiffe://example.com/fleet/{fleet}/device/{device}"
DEVICE = "spiffe://example.com/fleet/line-a/device/press-7"


async def test_what_no_certificate_says_is_refused(own_plane: ControlPlane) -> None:
    """A typing error, another trust domain; a serial is of no form. Lists find it still."""
    bob = own_plane.client("bob")
    before = await bob.revoke_device(device="press-7")
    assert "CONTROL_PLANE_DEVICE_IDENTITY" in before["notes"][0]
    own_plane.environment["CONTROL_PLANE_DEVICE_URI_PATTERN"] = PATTERN
    await own_plane.restart()
    for wrong in ("press-8", DEVICE.replace("example.com", "exmaple.com"), f"{DEVICE}/x"):
        answer = await bob.call("POST", PATH, {"device": wrong})
        require_documented("POST", PATH, answer)
        assert [error["pointer"] for error in answer.json["errors"]] == ["/device"]
        assert PATTERN in answer.json["errors"][0]["detail"]
        refused = await shell(own_plane, "devices", "revoke", wrong, operator="bob")
        assert (refused.status, PATTERN in refused.words) == (1, True)
    assert (await bob.revoke_device(device=DEVICE))["notes"] == []
    assert (await bob.revoke_device(serial="abc"))["notes"] == []
    found = (await bob.call("GET", f"{PATH}?device=press-7")).json["items"]
    assert [each["id"] for each in found] == [before["id"]]
    assert PATTERN in found[0]["notes"][0]
    await bob.lift(before["id"])
    view = await own_plane.client("alice").connect("registry.example", fleets=["line-a", "Line A"])
    assert len(view["notes"]) == 1
    assert "names the fleet Line A" in view["notes"][0]
    messages = [line["event"] for line in own_plane.log_lines]
    assert messages.count("the form of devices' identities is not known") == 1


async def test_without_the_setting_a_shell_warns(plane: ControlPlane) -> None:
    """It did revoke something; whether it is anybody, nobody knows."""
    revoked = await shell(plane, "devices", "revoke", "press-of-a-warning", operator="bob")
    assert (revoked.status, "WARNING" in revoked.words) == (0, True)
    by_serial = await shell(plane, "devices", "revoke", "--serial", "abcdef0123", operator="bob")
    assert (by_serial.status, "WARNING" in by_serial.words) == (0, False)


@pytest.mark.parametrize(
    "settings, variable",
    [
        ({"DEVICE_IDENTITY": "spifee"}, "DEVICE_IDENTITY"),
        ({"DEVICE_URI_PATTERN": "spiffe://example.com/{devise}"}, "DEVICE_URI_PATTERN"),
        ({"DEVICE_IDENTITY": "dns", "DEVICE_URI_PATTERN": PATTERN}, "DEVICE_URI_PATTERN"),
    ],
)
def test_a_form_that_facades_would_refuse_is_a_wrong_setting(
    plane: ControlPlane, settings: dict[str, str], variable: str
) -> None:
    """In the facade's own words."""
    environment = plane.environment | {
        f"CONTROL_PLANE_{name}": value for name, value in settings.items()
    }
    with pytest.raises(ConfigurationError) as refused:
        load(ServeSettings, "CONTROL_PLANE", environment)
    (problem,) = refused.value.problems
    assert problem.startswith(f"CONTROL_PLANE_{variable}: expected")
