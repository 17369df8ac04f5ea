"""A connection's page, and the pages that change and end it, in a real browser."""

import re

from playwright.sync_api import Browser, Page, expect

from deploy.dev.device_ca import CertificateAuthority
from tests.support.browser import (
    content_of,
    meanwhile,
    require_accessible,
    require_presentable,
    signed_in,
)
from tests.support.control_plane import (
    ControlPlane,
    Json,
    approved_connection,
    approved_until_it_expired,
)

CANARY = "canary-of-a-connection"
MARKUP = '<img src=x onerror="document.title=1">'


def approved(plane: ControlPlane, host: str, **fields: object) -> Json:
    """Return the view of a connection that serves."""
    terms: Json = {"username": "robot", "token": CANARY, **fields}
    return meanwhile(approved_connection(plane, host, **terms))


def shown(plane: ControlPlane, view: Json) -> Json:
    """Return the connection as it is now."""
    return meanwhile(plane.client("eve").show(view["id"]))


def open_connection(page: Page, view: Json, *below: str) -> None:
    """Go to a page of the connection."""
    page.goto("/".join(("/console/connections", view["id"], *below)))


def test_a_connection_tells_what_it_is_and_what_was_done_to_it(
    browser: Browser, plane: ControlPlane, host: str
) -> None:
    """And where to ask for what this page cannot know."""
    view = approved(plane, host, fleets=["line-a"], description="hall 3")
    meanwhile(plane.client("alice").edit(view["id"], fleets=["line-b"], repositories=["team/app"]))
    path = f"/v1/connections/{view['id']}/send-back"
    meanwhile(plane.client("bob").call("POST", path, {"comment": "which line is it for?"}))
    with signed_in(browser, plane, "bob") as page:
        open_connection(page, view)
        expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(f"{host}\\s+Serves"))
        expect(page.get_by_text("hall 3")).to_be_visible()
        expect(page.get_by_text(f"facade check {host}", exact=True)).to_be_visible()
        expect(page.get_by_text("it opens no way into a facade")).to_be_visible()
        acts = page.locator(".history > li")
        expect(acts.nth(0)).to_contain_text("bob sent back the draft of it")
        expect(acts.nth(0)).to_contain_text("which line is it for?")
        expect(acts.nth(1)).to_contain_text("alice made a draft")
        expect(acts.nth(1)).to_contain_text("line-b")
        expect(acts.nth(2)).to_contain_text("bob approved it")
        expect(acts.nth(3)).to_contain_text("alice connected it")
        require_presentable(page)
        page.get_by_role("button", name="Discard the draft").click()
        expect(page.get_by_role("status")).to_have_text("The draft is discarded.")
        assert CANARY not in content_of(page)
    assert shown(plane, view)["draft"] is None


def test_an_approval_that_has_ended_is_not_told_as_what_serves(
    browser: Browser, plane: ControlPlane, host: str
) -> None:
    """Also with a draft beside it, which would."""
    view = meanwhile(plane.client("alice").connect(host))
    meanwhile(approved_until_it_expired(plane, view))
    meanwhile(plane.client("alice").edit(view["id"], fleets=["line-b"]))
    with signed_in(browser, plane, "bob") as page:
        open_connection(page, view)
        expect(page.get_by_role("heading", level=1)).to_contain_text("Does not serve")
        expect(page.get_by_role("heading", name="What was approved")).to_be_visible()
        expect(page.get_by_role("main")).to_contain_text("Nothing serves until it is approved.")
        expect(page.get_by_role("main")).not_to_contain_text(re.compile("[Ww]hat serves"))


def test_an_edit_keeps_what_was_typed_and_becomes_a_draft(
    browser: Browser, plane: ControlPlane, host: str
) -> None:
    """Without the secret, if nothing changes that it is sealed to; without a script."""
    view = approved(plane, host)
    with signed_in(browser, plane, "alice", java_script_enabled=False) as page:
        open_connection(page, view)
        page.get_by_role("link", name="Edit", exact=True).click()
        page.get_by_label("Repositories").fill("team/app\nTeam/*")
        page.get_by_label("Private networks").fill("10.1.0.0/16")
        page.get_by_label("Description").fill("hall 3")
        page.get_by_label("Try the login").uncheck()
        page.get_by_role("button", name="Save as a draft").click()
        expect(page.get_by_role("alert")).to_contain_text("Some fields are wrong")
        expect(page.get_by_label("Repositories")).to_have_value("team/app\nTeam/*")
        expect(page.get_by_text("a repository pattern is components of a-z")).to_be_visible()
        page.get_by_label("Repositories").fill("team/app\nteam/*")
        page.get_by_role("button", name="Save as a draft").click()
        expect(page.get_by_text("needed again, for allowed_networks decides")).to_be_visible()
        page.get_by_label("Token or password").fill(f"{CANARY}-2")
        page.get_by_role("button", name="Save as a draft").click()
        expect(page.get_by_role("status")).to_contain_text("It is saved. What serves goes on")
        assert CANARY not in content_of(page) + plane.log.read_text()
    now = shown(plane, view)
    assert now["draft"]["repositories"] == ["team/app", "team/*"]
    assert now["draft"]["allowed_networks"] == ["10.1.0.0/16"]
    assert (now["draft"]["secret_version"], now["description"]) == (2, "hall 3")


def test_a_new_secret_may_serve_at_once(browser: Browser, plane: ControlPlane, host: str) -> None:
    """By an approver, under the approval that is there."""
    view = approved(plane, host)
    with signed_in(browser, plane, "bob") as page:
        open_connection(page, view, "rotate")
        expect(page.get_by_label("User name")).to_have_value("robot")
        require_presentable(page)
        page.get_by_label("New token or password").fill(f"{CANARY}-2")
        page.get_by_label("What to call it").fill("2026-11")
        page.get_by_label("It ends").fill("2040-01-31")
        page.get_by_label("Try the login").uncheck()
        page.get_by_label("Let it serve at once").check()
        page.get_by_role("button", name="Give the new secret").click()
        expect(page.get_by_role("status")).to_contain_text("The new secret serves")
        expect(page.locator(".history > li").first).to_contain_text("bob gave a new secret")
        kept = page.evaluate("JSON.stringify([localStorage, sessionStorage, location.href])")
        assert CANARY not in content_of(page) + kept + plane.log.read_text()
    now = shown(plane, view)
    assert (now["secret_version"], now["secret_label"]) == (2, "2026-11")
    assert now["credential_expires_at"] == "2040-01-31T23:59:59.000Z"


def test_a_revocation_needs_the_host_typed_in(
    browser: Browser, plane: ControlPlane, host: str
) -> None:
    """Another host, or none, revokes nothing."""
    view = approved(plane, host, repository_prefix="team")
    with signed_in(browser, plane, "bob") as page:
        open_connection(page, view)
        page.get_by_role("link", name="Revoke", exact=True).click()
        require_presentable(page)
        typed = page.get_by_label("Type")
        for wrong in ("", host, f"{host}/teams"):
            typed.fill(wrong)
            page.get_by_role("button", name="Revoke for ever").click()
            expect(page.get_by_text("so that no other connection is revoked")).to_be_visible()
        assert shown(plane, view)["status"] == "approved"
        typed.fill(f"{host}/team")
        page.get_by_label("Reason").fill("moved")
        page.get_by_role("button", name="Revoke for ever").click()
        expect(page.get_by_role("status")).to_contain_text("It is revoked, for ever")
        expect(page.locator(".history > li").first).to_contain_text("moved")
        expect(page.get_by_role("link", name="Edit")).to_have_count(0)
        require_accessible(page)
    assert shown(plane, view)["status"] == "revoked"


def test_what_to_grant_is_ready_to_paste(browser: Browser, plane: ControlPlane) -> None:
    """ECR's two policies; the role can be edited, and has no secret to rotate."""
    view = meanwhile(
        plane.client("alice").connect(
            "123456789012.dkr.ecr.eu-north-1.amazonaws.com",
            provider="aws_ecr",
            role_arn="arn:aws:iam::123456789012:role/pull",
            external_id="an-id",
        )
    )
    with signed_in(browser, plane, "alice") as page:
        open_connection(page, view)
        expect(page.get_by_role("link", name="New secret")).to_have_count(0)
        page.get_by_role("link", name="What to grant").click()
        expect(page.get_by_role("region", name="Trust policy")).to_contain_text("sts:ExternalId")
        require_presentable(page)
        open_connection(page, view, "edit")
        require_presentable(page)
        page.get_by_label("External id").fill("")
        page.get_by_label("The role may make repositories").check()
        page.get_by_role("button", name="Save as a draft").click()
        expect(page.get_by_role("status")).to_contain_text("It is saved")
    role = shown(plane, view)["ecr"]
    assert (role["external_id"], role["pull_through_cache"]) == (None, True)
    meanwhile(plane.client("alice").discard(view["id"]))


def test_what_others_stored_is_text_here_too(
    browser: Browser, plane: ControlPlane, host: str
) -> None:
    """On the connection's page, in its history, and in the form that edits it."""
    authority = CertificateAuthority.create(MARKUP).pem.decode()
    view = approved(
        plane,
        host,
        username=MARKUP,
        fleets=[MARKUP],
        description=MARKUP,
        ca_certificate=authority,
        secret_label=MARKUP,
    )
    meanwhile(
        plane.client("alice").edit(view["id"], fleets=[f"{MARKUP}2"], description=f"{MARKUP}2")
    )
    meanwhile(plane.client("bob").revoke(view["id"], reason=MARKUP))
    other = approved(plane, f"other.{host}", fleets=[MARKUP], description=f"</textarea>{MARKUP}")
    with signed_in(browser, plane, "bob") as page:
        for each, below in ((view, ()), (other, ("edit",)), (other, ("revoke",))):
            open_connection(page, each, *below)
            assert MARKUP in page.locator("main").inner_text() + "".join(
                page.locator("textarea").all_text_contents()
            )
            assert page.locator("main img").count() == 0
