"""Another statement key: what the one before it signed goes on holding, if that is configured."""

from pathlib import Path

import pytest

from control_plane.operators.operator_token import OperatorName, OperatorToken
from deploy.dev.product import CommandFailedError
from shared.keys import load_statement_public_keys
from tests.support.control_plane import (
    ControlPlane,
    KeyFiles,
    approved_connection,
    make_keys,
    run_control_plane,
    served,
)
from tests.support.eventually import eventually

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


async def test_a_key_that_is_not_configured_is_named_wherever_it_is_missed(
    own_plane: ControlPlane, new_keys: KeyFiles
) -> None:
    """By its id and the variable: in readiness, log, 401 and views; a stranger hears no more."""
    bob = own_plane.client("bob")
    revoked = await approved_connection(own_plane, "revoked.example")
    await bob.revoke(revoked["id"])
    signing = {
        NEW: str(new_keys.statement_private),
        OLD: str(own_plane.keys.statement_public),
    }
    shell = {"CONTROL_PLANE_DATABASE_URL": own_plane.database_url, **signing}
    token = run_control_plane("operators", "rotate", "alice", environment=shell).strip()
    own_plane.stop()
    own_plane.environment |= {NEW: signing[NEW]}
    own_plane.start_again()
    (key,) = load_statement_public_keys(own_plane.keys.statement_public.read_bytes())
    missing = f"signed with the statement key {key}, which is not configured"

    async def notes() -> str:
        await own_plane.wait_until_ready()
        answer = await own_plane.client(None).call("GET", "/readyz")
        return " ".join(answer.json.get("notes", ()))

    async def is_said() -> bool:
        return f"4 statements are {missing}" in await notes()  # bob, root, eve, the revocation

    await eventually(is_said)
    assert OLD in await notes()

    async def is_logged() -> bool:
        parts = [line.get("part") for line in own_plane.log_lines if line["event"] == "problem"]
        return "statement_keys" in parts

    await eventually(is_logged)
    refused = await bob.call("GET", "/v1/connections")
    assert refused.status == 401
    assert f"{missing} ({OLD})" in refused.json["detail"]
    stranger = own_plane.client(
        None, token=OperatorToken.mint(OperatorName("bob")).secret.reveal_text()
    )
    told = (await stranger.call("GET", "/v1/connections")).json["detail"]
    assert "is not configured" not in told
    alice = own_plane.client(None, token=token)
    assert f"{missing} ({OLD})" in (await alice.show(revoked["id"]))["problem"]
    denied = [line["reason"] for line in own_plane.log_lines if line["event"] == "login denied"]
    assert all(missing in reason for reason in denied[-2:])  # the stranger's line names it, too


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
