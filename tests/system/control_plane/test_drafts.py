"""Revisions: one serves while another waits."""

from shared.approved_connection import approved_connection as approved
from shared.keys import load_sealing_private_keys
from shared.sealed_secret import open_sealed
from shared.secret import Secret
from tests.support.control_plane import (
    ControlPlane,
    Json,
    approved_connection,
    served,
)
from tests.support.database import Database

CANARY = "canary-token-of-a-revision"


async def redraft(plane: ControlPlane, connection_id: str) -> Json:
    """Have root make a draft with another scope."""
    return await plane.client("root").edit(connection_id, fleets=["line-b"])


async def test_an_approved_revision_serves_while_a_draft_waits(own_plane: ControlPlane) -> None:
    """An edit changes nothing for devices before somebody approved it."""
    view = await approved_connection(own_plane, "registry.example", username="robot", token=CANARY)
    before = await served(own_plane, view["id"])
    beside = await redraft(own_plane, view["id"])
    assert await served(own_plane, view["id"]) == before
    assert (beside["status"], beside["fleets"]) == ("approved", [])
    assert beside["fingerprint"] == view["fingerprint"]
    draft = beside["draft"]
    assert (draft["fleets"], draft["by"]) == (["line-b"], "root")
    bob = own_plane.client("bob")
    await bob.approve(view["id"], view["fingerprint"], expect=409)
    after = await bob.approve(beside)
    assert (after["fleets"], after["draft"]) == (["line-b"], None)
    assert after["generation"] > before.generation


async def test_an_edit_keeps_the_sealed_secret(own_plane: ControlPlane) -> None:
    """What the seal binds did not change, so it opens as before, for the facade alone."""
    view = await approved_connection(own_plane, "registry.example", username="robot", token=CANARY)
    await own_plane.client("bob").approve(await redraft(own_plane, view["id"]))
    connection = approved(await served(own_plane, view["id"]))
    (private_key,) = load_sealing_private_keys(own_plane.keys.sealing_private.read_bytes()).values()
    assert connection.sealed_secret is not None
    opened = open_sealed(connection.sealed_secret, private_key, connection.seal_context)
    assert opened == Secret(CANARY)


async def test_a_revocation_ends_the_draft_too(own_plane: ControlPlane) -> None:
    """Nothing of a revoked connection can be approved any more."""
    view = await approved_connection(own_plane, "registry.example")
    beside = await redraft(own_plane, view["id"])
    bob = own_plane.client("bob")
    revoked = await bob.revoke(view["id"])
    assert (revoked["status"], revoked["draft"], revoked["fleets"]) == ("revoked", None, [])
    await bob.approve(beside, expect=409)


async def test_an_older_draft_put_back_is_not_believed(
    own_plane: ControlPlane, database: Database
) -> None:
    """Each was signed for once; only the newest one waits."""
    view = await own_plane.client("alice").connect("registry.example")
    await redraft(own_plane, view["id"])
    database.sql("UPDATE connections SET draft_revision = 1")
    bob = own_plane.client("bob")
    assert "not believed" in (await bob.show(view["id"]))["problem"]
    await bob.approve(view, expect=409)


async def test_the_approved_revision_put_back_as_a_draft_is_not_believed(
    own_plane: ControlPlane, database: Database
) -> None:
    """It was approved; it does not wait again."""
    view = await approved_connection(own_plane, "registry.example")
    database.sql("UPDATE connections SET draft_revision = 1")
    shown = await own_plane.client("bob").show(view["id"])
    assert (shown["status"], shown["draft"]) == ("approved", None)
    assert "its draft is not believed" in shown["problem"]
    await own_plane.client("bob").approve(view, expect=409)


async def test_a_vanished_draft_is_said_to_have_vanished(
    own_plane: ControlPlane, database: Database
) -> None:
    """Silence would look like a discarded one."""
    view = await own_plane.client("alice").connect("registry.example")
    database.sql("UPDATE connections SET draft_revision = NULL")
    shown = await own_plane.client("bob").show(view["id"])
    assert "vanished" in shown["problem"]
    assert shown["fingerprint"] is None
