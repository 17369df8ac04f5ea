"""Another statement key: what the one before it signed goes on holding, if that is configured."""

from pathlib import Path

import pytest

from deploy.dev.product import CommandFailedError, run_control_plane
from tests.support.control_plane import (
    ControlPlane,
    KeyFiles,
    approved_connection,
    make_keys,
    served,
)

OLD = "CONTROL_PLANE_STATEMENT_PUBLIC_KEY_FILE"
NEW = "CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE"


@pytest.fixture
def new_keys(tmp_path: Path) -> KeyFiles:
    """A second installation's keys; its statement key is the next one of the first."""
    return make_keys(tmp_path / "new")


def audit(plane: ControlPlane, *public_keys: Path, folder: Path) -> str:
    """Return the output of `audit verify` with these keys."""
    keyring = folder / "keyring.pem"
    keyring.write_bytes(b"".join(path.read_bytes() for path in public_keys))
    environment = {"CONTROL_PLANE_DATABASE_URL": plane.database_url, OLD: str(keyring)}
    return run_control_plane("audit", "verify", environment=environment)


async def test_what_the_key_before_signed_goes_on_holding(
    own_plane: ControlPlane, new_keys: KeyFiles, tmp_path: Path
) -> None:
    """Operators, approvals, revocations and the log; what is new has the new signature."""
    bob = own_plane.client("bob")
    old = await approved_connection(own_plane, "old.example")
    revoked = await bob.revoke_device(device="press-7")
    own_plane.stop()
    own_plane.environment |= {
        NEW: str(new_keys.statement_private),
        OLD: str(own_plane.keys.statement_public),
    }
    await own_plane.restart()
    assert await bob.show(old["id"]) == old
    assert await bob.device_revocations() == [revoked]
    await bob.lift(revoked["id"])
    assert (await bob.revoke(old["id"]))["status"] == "revoked"
    new = await approved_connection(own_plane, "new.example")
    own_plane.keys = new_keys
    assert (await served(own_plane, new["id"])).approved_by == "bob"
    both = own_plane.environment[OLD], str(new_keys.statement_public)
    audit(own_plane, *map(Path, both), folder=tmp_path)
    for alone in both:
        with pytest.raises(CommandFailedError, match="exit 1"):
            audit(own_plane, Path(alone), folder=tmp_path)


async def test_operators_of_the_key_before_are_rotated_from_a_shell(
    own_plane: ControlPlane, new_keys: KeyFiles
) -> None:
    """The command has the same keyring."""
    environment = {
        "CONTROL_PLANE_DATABASE_URL": own_plane.database_url,
        NEW: str(new_keys.statement_private),
    }
    for command in (("rotate", "alice"), ("remove", "alice")):
        with pytest.raises(CommandFailedError, match="exit 1"):
            run_control_plane("operators", *command, environment=environment)
    environment[OLD] = str(own_plane.keys.statement_public)
    token = run_control_plane("operators", "rotate", "alice", environment=environment).strip()
    own_plane.stop()
    own_plane.environment |= environment
    await own_plane.restart()
    assert (await own_plane.client(None, token=token).call("GET", "/v1/connections")).status == 200
    assert (await own_plane.client("alice").call("GET", "/v1/connections")).status == 401


def test_a_keyring_holds_public_keys_alone(plane: ControlPlane) -> None:
    """A private key in its place is a mistake that is said at the start."""
    environment = {
        "CONTROL_PLANE_DATABASE_URL": plane.database_url,
        NEW: str(plane.keys.statement_private),
        OLD: str(plane.keys.statement_private),
    }
    with pytest.raises(CommandFailedError, match=f"exit 2[\\s\\S]*{OLD}"):
        run_control_plane("operators", "list", environment=environment)
