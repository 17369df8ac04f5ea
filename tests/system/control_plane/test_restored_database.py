"""A backup is restored: the control plane says what went back, and how both sides agree again.

Facades remember what they have seen, and refuse what is older: `tests/system/facade` has them too.
"""

import re
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from control_plane.proof.history import OLDER
from deploy.dev.product import CommandFailedError
from tests.support.accepted_restore import accept_restore
from tests.support.control_plane import (
    ControlPlane,
    Json,
    approved_connection,
    serve,
    served,
)
from tests.support.database import Database
from tests.support.database_backup import Backup
from tests.support.eventually import PATIENCE_SECONDS, eventually
from tests.system.control_plane.conftest import StartPlane


async def readiness(plane: ControlPlane) -> tuple[int, Json]:
    """Return what `/readyz` says; 0 while nobody listens yet."""
    try:
        answer = await plane.client(None).call("GET", "/readyz")
    except aiohttp.ClientConnectorError:
        return 0, {}
    return answer.status, answer.json


def head_that_is_offered(reason: str) -> str:
    """Return the hash with which `/readyz` says that a restore can be accepted."""
    found = re.search(r"`control-plane audit accept-restore --head ([0-9a-f]{64})`", reason)
    assert found, reason
    return found[1]


async def approved_again(plane: ControlPlane, view: Json) -> Json:
    """Return the view of a connection whose approval was signed once more, without an edit."""
    return await plane.client("bob").approve(view)


async def require_removed(plane: ControlPlane, name: str) -> None:
    """Remove an operator, and have the control plane see it."""
    assert (await plane.client(name).call("GET", "/v1/audit")).status == 200
    plane.run("operators", "remove", name)
    assert (await plane.client(name).call("GET", "/v1/audit")).status == 401


async def test_what_went_back_is_told_until_it_is_signed_again(
    start_plane: StartPlane, database: Database, tmp_path: Path
) -> None:
    """The log is refused until the restore is accepted; then one connection after the other."""
    own_plane = await start_plane({"CONTROL_PLANE_STATE_DIR": str(tmp_path / "state")})
    alice, bob = own_plane.client("alice"), own_plane.client("bob")
    again, revoked, as_it_was = [
        await approved_connection(own_plane, f"{name}.example")
        for name in ("again", "revoked", "as-it-was")
    ]
    backup = Backup(database.server, database.name)
    newer = await approved_again(own_plane, again)
    await bob.revoke(revoked["id"])
    await bob.revoke_device(device="press-7")
    await require_removed(own_plane, "eve")
    backup.restore()

    async def is_noticed() -> bool:
        status, said = await readiness(own_plane)
        return status == 503 and "audit entries have vanished" in said.get("reason", "")

    await eventually(is_noticed)  # no act can follow, so it is not ready
    own_plane.stop()
    own_plane.start_again()
    await eventually(is_noticed)  # the folder remembers; nobody is let in
    assert (await own_plane.client("root").call("GET", "/v1/audit")).status == 503
    head = head_that_is_offered((await readiness(own_plane))[1]["reason"])
    with pytest.raises(CommandFailedError, match="exit 1"):
        own_plane.run("audit", "accept-restore", "--head", head[::-1])
    own_plane.run("audit", "accept-restore", "--head", head)
    await own_plane.wait_until_ready()  # without a restart
    own_plane.run("audit", "verify")

    async def is_told() -> bool:
        return "notes" in (await readiness(own_plane))[1]

    await eventually(is_told)
    (note,) = (await readiness(own_plane))[1]["notes"]
    assert "2 of connections, which facades refuse: approve or revoke each again" in note
    assert "1 of devices, of which facades know what came later" in note
    assert "1 of operators, whose older token or role holds" in note
    for view in (again, revoked):
        shown = await alice.show(view["id"])
        assert (shown["status"], shown["problem"]) == ("approved", OLDER)
        assert not shown["serves"]
        assert shown["generation"] == view["generation"]
    assert (await alice.show(as_it_was["id"]))["problem"] is None
    listed = {each["id"]: each["problem"] for each in await alice.list()}
    assert [problem for problem in listed.values() if problem] == [OLDER] * 2
    metrics = (await own_plane.client("eve").call("GET", "/metrics")).body.decode()
    assert 'control_plane_problem{part="history"} 1.0' in metrics
    logged = [line for line in own_plane.log_lines if line["event"] == "statement went back"]
    assert {line["subject"] for line in logged} == {
        f"connection/{again['id']}",
        f"connection/{revoked['id']}",
        "device/press-7",
        "operator/eve",
    }
    signed = await approved_again(own_plane, again)
    assert (await alice.show(again["id"]))["problem"] is None
    assert (await served(own_plane, again["id"])).generation == signed["generation"]
    assert signed["generation"] > newer["generation"]
    await bob.revoke(revoked["id"])
    await bob.revoke_device(device="press-7")
    await require_removed(own_plane, "eve")
    assert await readiness(own_plane) == (200, {"status": "ready"})


async def test_a_restore_that_lost_an_operators_removal_alone_lets_nobody_in(
    start_plane: StartPlane, database: Database, tmp_path: Path
) -> None:
    """From the first call after the start: a removed approver's token worked for half a minute."""
    own_plane = await start_plane({"CONTROL_PLANE_STATE_DIR": str(tmp_path / "state")})
    backup = Backup(database.server, database.name)
    await require_removed(own_plane, "bob")
    own_plane.stop()
    backup.restore()
    own_plane.start_again()
    answers = []

    async def is_answered() -> bool:
        with suppress(aiohttp.ClientConnectorError):
            answers.append((await own_plane.client("bob").call("GET", "/v1/connections")).status)
        return bool(answers)

    await eventually(is_answered)
    assert answers == [503]
    status, said = await readiness(own_plane)
    assert (status, "audit entries have vanished" in said["reason"]) == (503, True)


async def test_a_running_process_goes_on_with_an_accepted_restore(
    own_plane: ControlPlane, database: Database
) -> None:
    """Whatever it remembers; the entry that accepts it is in the log, and signed."""
    backup = Backup(database.server, database.name)
    view = await own_plane.client("alice").connect("lost.example")
    backup.restore()
    head = await accept_restore(own_plane)
    alice = own_plane.client("alice")
    assert (await alice.call("GET", f"/v1/connections/{view['id']}")).status == 404
    accepted = (await alice.audit())[-1]
    assert (accepted["action"], accepted["details"]["head"]) == ("audit.accept_restore", head)
    await alice.connect("lost.example")


async def test_without_a_folder_nothing_is_remembered_over_a_restart(
    own_plane: ControlPlane, database: Database
) -> None:
    """A process can tell only of what it has seen itself."""
    view = await approved_connection(own_plane, "again.example")
    backup = Backup(database.server, database.name)
    await approved_again(own_plane, view)
    backup.restore()
    await own_plane.restart()
    assert await readiness(own_plane) == (200, {"status": "ready"})


async def test_a_state_folder_that_cannot_be_used_is_refused_at_the_start(
    plane: ControlPlane, tmp_path: Path
) -> None:
    """With the variable; a second process in the same folder is told so."""
    (tmp_path / "file").write_text("in the way")
    environment = plane.environment | {"CONTROL_PLANE_STATE_DIR": str(tmp_path / "file")}
    child = serve(environment, tmp_path / "log")
    assert child.process.wait(PATIENCE_SECONDS) == 2
    assert child.log_tail.startswith("CONTROL_PLANE_STATE_DIR: the folder cannot be used")
