"""`--yaml` says what `--json` says."""

import pytest
import yaml

from tests.support.control_plane import ControlPlane
from tests.support.eventually import eventually
from tests.support.shell import shell


@pytest.mark.parametrize(
    "arguments, operator",
    [
        (("connections", "list"), "eve"),
        (("connections", "list", "--status", "approved"), "eve"),
        (("connections", "show", "HOST"), "eve"),
        (("connections", "review", "HOST"), "eve"),
        (("connections", "history", "HOST"), "eve"),
        (("sessions", "list"), "eve"),
        (("sessions", "who"), "root"),
        (("devices", "list"), "bob"),
        (("audit", "list", "--action", "connection"), "eve"),
        (("audit", "verify"), None),
        (("operators", "list"), None),
        (("export",), "eve"),
        (("schema",), None),
        (("settings",), None),
    ],
)
async def test_yaml_is_the_same_as_json(
    plane: ControlPlane, host: str, arguments: tuple[str, ...], operator: str | None
) -> None:
    """Empty lists too; other readers of YAML read it so.

    Other tests use the control plane too: what changed meanwhile is asked again.
    """
    if operator:
        await plane.client("alice").connect(host, description="no", fleets=["1.10", "null"])
    words = [host if word == "HOST" else word for word in arguments]

    async def is_the_same() -> bool:
        before, as_yaml, after = [
            await shell(plane, *words, form, operator=operator)
            for form in ("--json", "--yaml", "--json")
        ]
        assert (before.status, as_yaml.status, after.status) == (0, 0, 0), before
        if before.result != after.result:
            return False
        assert yaml.safe_load(as_yaml.output) == before.result
        return True

    await eventually(is_the_same)


async def test_a_new_token_may_come_in_json(own_plane: ControlPlane) -> None:
    """For programs that make operators; it is shown once, as it is in words."""
    made = await shell(
        own_plane, "operators", "add", "ci", "--role", "viewer", "--json", operator=None
    )
    assert (made.result["name"], made.result["role"]) == ("ci", "viewer")
    answer = await own_plane.client(None, token=made.result["token"]).call("GET", "/v1/me")
    assert answer.status == 200
    removed = await shell(own_plane, "operators", "remove", "ci", "--yaml", operator=None)
    assert yaml.safe_load(removed.output) == {"name": "ci", "removed": True}
