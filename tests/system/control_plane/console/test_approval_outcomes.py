"""What becomes of an approval that somebody else comes before, or that may not be; in words."""

from contextlib import AbstractAsyncContextManager

from tests.support.console_client import SESSION, ConsoleClient, Page, console_client
from tests.support.control_plane import ControlPlane, Json, approved_connection
from tests.support.database import Database
from tests.support.days_ahead import day_ahead, noon_of
from tests.system.control_plane.conftest import StartPlane

LAST_DAY = day_ahead(14)


def client(plane: ControlPlane, name: str) -> AbstractAsyncContextManager[ConsoleClient]:
    """Return a client in which somebody is signed in."""
    return console_client(plane, name)


async def drafted(plane: ControlPlane, host: str) -> Json:
    """Return the view of a connection that serves, beside which a draft waits."""
    view = await approved_connection(plane, host)
    return await plane.client("alice").edit(view["id"], fleets=["line-a"])


def form_of(page: Page, view: Json, **fields: str) -> dict[str, str]:
    """Return what the approve form sends that was shown for this draft."""
    draft = view["draft"] or view
    return {
        "form_token": page.form_token,
        "fingerprint": draft["fingerprint"],
        "is_draft": "yes",
        "compared": "true",
        "end": "never",
        **fields,
    }


def review_of(view: Json) -> str:
    """Return the address of the review."""
    return f"/console/connections/{view['id']}/review"


async def approve(browser: ConsoleClient, view: Json, **fields: str) -> Page:
    """Look at the review, and send the form that approves it."""
    shown = await browser.get(review_of(view))
    sent = form_of(shown, view, **fields)
    return await browser.post(f"/console/connections/{view['id']}/approve", sent)


async def test_an_edit_during_an_approval_is_shown_and_nothing_is_approved(
    plane: ControlPlane, host: str
) -> None:
    """The approver is told that it is another draft now, and ticks nothing of before."""
    view = await drafted(plane, host)
    async with client(plane, "bob") as bob:
        shown = await bob.get(review_of(view))
        await plane.client("alice").edit(view["id"], fleets=["line-b"])
        refused = await bob.post(f"/console/connections/{view['id']}/approve", form_of(shown, view))
    assert refused.status == 409
    assert "the draft has another fingerprint (alice made it at" in refused.text
    assert "look at it again" in refused.text
    assert "line-b" in refused.text
    assert " checked" not in refused.text
    after = await plane.client("eve").show(view["id"])
    assert (after["fleets"], after["draft"]["fleets"]) == ([], ["line-b"])


async def test_of_two_approvers_the_second_is_told_of_the_first(
    plane: ControlPlane, host: str
) -> None:
    """Who came second does not renew the approval, nor change its end, without knowing."""
    view = await drafted(plane, host)
    async with client(plane, "bob") as bob:
        shown = await bob.get(review_of(view))
        end = noon_of(LAST_DAY)
        await plane.client("root").approve(view, expires_at=end)
        refused = await bob.post(f"/console/connections/{view['id']}/approve", form_of(shown, view))
        assert refused.status == 409
        assert "no draft waits any more: root approved what serves at" in refused.text
        assert "Approve once more" in refused.text
        after = await plane.client("eve").show(view["id"])
        assert (after["approved_by"], after["expires_at"]) == ("root", end)
        again = await approve(bob, after, is_draft="no", end="keep", present_end=end)
    assert again.status == 303
    after = await plane.client("eve").show(view["id"])
    assert (after["approved_by"], after["expires_at"]) == ("bob", end)


async def test_a_connection_that_was_revoked_meanwhile_is_not_approved(
    plane: ControlPlane, host: str
) -> None:
    """There is no review of it any more; what was written is kept, and the reason is told."""
    view = await drafted(plane, host)
    async with client(plane, "bob") as bob:
        shown = await bob.get(review_of(view))
        await plane.client("root").revoke(view["id"])
        refused = await bob.post(f"/console/connections/{view['id']}/approve", form_of(shown, view))
        assert refused.status == 409
        assert "the connection is revoked, for ever (root revoked it at" in refused.text
        gone = await bob.get(review_of(view))
    assert gone.status == 409


async def test_a_discarded_draft_is_not_sent_back(plane: ControlPlane, host: str) -> None:
    """The comment would reach nobody."""
    view = await drafted(plane, host)
    async with client(plane, "bob") as bob:
        shown = await bob.get(review_of(view))
        await plane.client("alice").discard(view["id"])
        sent = form_of(shown, view, comment="which line is it for?")
        refused = await bob.post(f"/console/connections/{view['id']}/send-back", sent)
    assert refused.status == 409
    assert "no draft waits that could be sent back" in refused.text


async def test_a_session_that_ended_meanwhile_approves_nothing_and_loses_nothing(
    plane: ControlPlane, host: str
) -> None:
    """What was written goes on after a sign-in."""
    view = await drafted(plane, host)
    async with client(plane, "bob") as bob:
        shown = await bob.get(review_of(view))
        sent = form_of(shown, view, end="until", until=LAST_DAY)
        del bob.cookies[SESSION]
        path = f"/console/connections/{view['id']}/approve"
        kept = await bob.post(path, sent)
        assert kept.status == 401
        assert "Nothing was done" in kept.text
        assert f'name="until" value="{LAST_DAY}"' in kept.text
        assert (await plane.client("eve").show(view["id"]))["draft"]
        await bob.sign_in(plane.tokens["bob"])
        shown = await bob.get(review_of(view))
        done = await bob.post(path, sent | {"form_token": shown.form_token})
    assert done.status == 303
    after = await plane.client("eve").show(view["id"])
    assert (after["draft"], after["expires_at"]) == (None, f"{LAST_DAY}T23:59:59.000Z")


async def test_what_is_missing_in_an_approval_stands_beside_it(
    plane: ControlPlane, host: str
) -> None:
    """All of it at once, and what was chosen is kept."""
    view = await drafted(plane, host)
    async with client(plane, "bob") as bob:
        refused = await approve(bob, view, compared="", end="until", until="2001-01-31")
        assert refused.status == 422
        assert "compare the fingerprint, and say that you did" in refused.text
        assert "expected a day to come" in refused.text
        assert 'value="2001-01-31"' in refused.text
        for wrong in ({"end": "soon"}, {"end": "keep"}, {"until": "x", "end": "until"}):
            assert (await approve(bob, view, **wrong)).status == 422
    assert (await plane.client("eve").show(view["id"]))["draft"]


async def test_the_end_of_the_present_approval_can_be_kept(plane: ControlPlane, host: str) -> None:
    """As it was shown."""
    view = await plane.client("alice").connect(host)
    end = noon_of(LAST_DAY)
    await plane.client("bob").approve(view, expires_at=end)
    view = await plane.client("alice").edit(view["id"], fleets=["a"])
    async with client(plane, "bob") as bob:
        shown = await bob.get(review_of(view))
        assert f'name="present_end" value="{end}"' in shown.text
        assert (await approve(bob, view, end="keep", present_end=end)).status == 303
    assert (await plane.client("eve").show(view["id"]))["expires_at"] == end


async def test_a_draft_that_was_sent_back_is_approved_by_who_knows_of_it(
    empty_plane: ControlPlane, host: str
) -> None:
    """The comment stands in the queue and in the review."""
    view = await drafted(empty_plane, host)
    comment = "which line is <b>it</b> for?"
    async with client(empty_plane, "bob") as bob, client(empty_plane, "root") as root:
        shown = await bob.get(review_of(view))
        sent = form_of(shown, view, comment=comment)
        back = await bob.post(f"/console/connections/{view['id']}/send-back", sent)
        assert (back.status, back.headers["Location"]) == (303, "/console/approve?done=sent-back")
        for path in ("/console/approve", review_of(view)):
            assert "which line is &lt;b&gt;it&lt;/b&gt; for?" in (await root.get(path)).text
        refused = await approve(root, view)
        assert (refused.status, "bob sent the draft back" in refused.text) == (409, True)
        assert (await approve(root, view, despite_send_back="true")).status == 303


async def test_a_second_person_approves_where_that_is_required(
    start_plane: StartPlane, host: str
) -> None:
    """Who made it is told who may."""
    plane = await start_plane({"CONTROL_PLANE_REQUIRE_SECOND_APPROVER": "true"})
    view = await plane.client("bob").connect(host)
    async with client(plane, "bob") as bob, client(plane, "root") as root:
        queue, shown = await bob.get("/console/approve"), await bob.get(review_of(view))
        assert "Not for you to approve" in queue.text
        assert "any approver but bob" in shown.text
        assert "/approve" not in shown.text.partition("<main")[2]
        refused = await approve(bob, view)
        assert (refused.status, "nobody approves a draft of their own" in refused.text) == (
            409,
            True,
        )
        assert (await approve(root, view)).status == 303


async def test_who_may_not_approve_sees_the_review_and_no_form(
    plane: ControlPlane, host: str
) -> None:
    """And sending the form all the same does nothing."""
    view = await drafted(plane, host)
    async with client(plane, "eve") as eve:
        shown = await eve.get(review_of(view))
        assert "Any approver may approve it." in shown.text
        assert "/approve" not in shown.text.partition("<main")[2]
        assert (await approve(eve, view)).status == 403
    assert (await plane.client("eve").show(view["id"]))["draft"]


async def test_a_draft_that_is_not_believed_is_listed_and_cannot_be_approved(
    own_plane: ControlPlane, database: Database, host: str
) -> None:
    """A row that somebody wrote into the database is no draft, and hides none."""
    view = await drafted(own_plane, host)
    other = await own_plane.client("alice").connect(f"other.{host}")
    database.sql(
        "UPDATE connection_revisions SET document = 'forged'::bytea WHERE connection_id ="
        f" '{view['id']}' AND revision = 2"
    )
    async with client(own_plane, "bob") as bob:
        page = await bob.get("/console/approve")
    assert f"/console/connections/{other['id']}/review" in page.text
    assert f"/console/connections/{view['id']}/review" not in page.text
    assert "its draft is not believed" in page.text
