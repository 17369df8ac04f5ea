"""The overview, and operators, in a real browser: one control plane, from nothing on."""

import time
from datetime import timedelta

import asyncpg
from playwright.sync_api import Browser, Page, expect

from control_plane.clock import now
from deploy.dev.device_ca import CertificateAuthority
from shared.canonical_json import format_time
from tests.support.browser import (
    content_of,
    meanwhile,
    require_presentable,
    require_presentable_now,
    sign_in,
    signed_in,
)
from tests.support.control_plane import ControlPlane

MARKUP = "<script>alert(1)</script>"


def card(page: Page, title: str) -> str:
    """Return the text of a card of the overview, once the whole page is there."""
    page.wait_for_load_state()
    return page.locator("section.card", has=page.get_by_role("heading", name=title)).inner_text()


def card_that_says(page: Page, title: str, words: str) -> str:
    """Return the text of a card once it says this: a busy control plane looks only so often."""
    deadline = time.monotonic() + 60
    while words not in (text := card(page, title)) and time.monotonic() < deadline:
        page.reload()
    return text


def test_an_empty_installation_says_so_and_what_to_do(
    browser: Browser, empty_plane: ControlPlane
) -> None:
    """Whoever comes first finds a beginning."""
    with signed_in(browser, empty_plane, "alice") as page:
        assert "Nothing waits for you" in card(page, "Waits for you")
        assert "Nothing is broken" in card(page, "Broken")
        page.get_by_role("link", name="Connections", exact=True).click()
        expect(page.get_by_role("link", name="Connect the first one")).to_be_visible()


def test_each_finds_what_waits_for_them_and_what_ends_soon(
    browser: Browser, empty_plane: ControlPlane, server_ca: CertificateAuthority
) -> None:
    """An approver a draft, whoever made it that it came back; and everybody what changed."""
    soon = now() + timedelta(days=3)
    authority = server_ca.renewed(not_after=soon).pem.decode()

    async def make() -> None:
        alice, bob = empty_plane.client("alice"), empty_plane.client("bob")
        await alice.connect("waits.example")
        back = await alice.connect("back.example")
        path = f"/v1/connections/{back['id']}/send-back"
        await bob.call("POST", path, {"comment": MARKUP})
        ends = await alice.connect("ends.example", ca_certificate=authority)
        await bob.approve(ends, expires_at=format_time(soon))

    meanwhile(make())
    with signed_in(browser, empty_plane, "bob") as page:
        waits = card(page, "Waits for you")
        assert "waits.example" in waits
        assert "back.example" not in waits
        ends = card_that_says(page, "Ends within 30 days", "ends.example")
        assert "ends.example" in ends
        assert "approval" in ends
        assert "own CA" in ends
        changed = card(page, "Changed this week")
        assert "bob sent back the draft of back.example" in changed.replace("\n", " ")
        require_presentable(page)
        page.get_by_role("link", name="The audit log of this week").click()
        expect(page.get_by_role("table")).to_contain_text("connection.send_back")
        page.go_back()
    with signed_in(browser, empty_plane, "alice") as page:
        waits = card(page, "Waits for you")
        assert "Sent back" in waits
        assert "waits.example" not in waits
    with signed_in(browser, empty_plane, "eve") as page:
        assert "Nothing waits for you" in card(page, "Waits for you")


def test_what_is_not_believed_is_broken(browser: Browser, empty_plane: ControlPlane) -> None:
    """A row that was written behind the control plane."""

    async def tamper() -> None:
        view = await empty_plane.client("alice").connect("tampered.example")
        owner = await asyncpg.connect(empty_plane.owner_url)
        await owner.execute(
            "UPDATE connections SET host = 'other.example' WHERE id = $1", view["id"]
        )
        await owner.close()

    meanwhile(tamper())
    with signed_in(browser, empty_plane, "eve") as page:
        broken = card_that_says(page, "Broken", "tampered.example")
    assert "tampered.example" in broken
    assert "its row in the database says another host" in broken


def test_an_admin_adds_rotates_and_removes_operators(
    browser: Browser, empty_plane: ControlPlane
) -> None:
    """The token is shown once; a name that is wrong or taken is said, and nothing is lost."""
    with signed_in(browser, empty_plane, "root") as page:
        page.get_by_role("link", name="Operators", exact=True).click()
        require_presentable(page)
        page.get_by_label("Name").fill("Not a name")
        page.get_by_label("Role").select_option("approver")
        page.get_by_role("button", name="Add").click()
        expect(page.get_by_label("Name")).to_have_value("Not a name")
        expect(page.get_by_label("Role")).to_have_value("approver")
        expect(page.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
        require_presentable_now(page)
        page.get_by_label("Name").fill("carol@example.com")
        page.get_by_role("button", name="Add").click()
        token = page.locator("#new-token").inner_text()
        assert token.startswith("rfo_carol@example.com.")
        require_presentable_now(page)
        page.get_by_role("link", name="To the operators").click()
        assert token not in content_of(page)

        with signed_in(browser, empty_plane, "eve") as carol:
            carol.get_by_role("button", name="Sign out").click()
            sign_in(carol, token)
            expect(carol.get_by_role("banner")).to_contain_text("carol@example.com")
            page.get_by_role("link", name="carol@example.com").click()
            require_presentable(page)
            page.get_by_role("button", name="Rotate the token").click()
            assert page.locator("#new-token").inner_text() != token
            carol.goto("/console/me")
            expect(carol).to_have_title("Sign in · Registry control plane")

        page.goto("/console/operators/carol@example.com")
        page.get_by_label("Type the name to confirm").fill("carol")
        page.get_by_role("button", name="Remove", exact=True).click()
        expect(page.get_by_role("main")).to_contain_text("type carol@example.com to remove them")
        page.get_by_label("Type the name to confirm").fill("carol@example.com")
        page.get_by_role("button", name="Remove", exact=True).click()
        expect(page.get_by_role("status")).to_contain_text("The operator is removed.")
        expect(page.get_by_role("table").first).not_to_contain_text("carol@example.com")


TWICE = """button => {
  const isHeldBack = [];
  button.form.addEventListener("submit", (event) => isHeldBack.push(event.defaultPrevented));
  button.click();
  button.click();
  return isHeldBack;
}"""


def test_a_form_that_is_clicked_twice_is_sent_once(
    browser: Browser, empty_plane: ControlPlane
) -> None:
    """Else the second answer, that the name is taken, would hide the token of the first."""
    with signed_in(browser, empty_plane, "root") as page:
        page.goto("/console/operators")
        page.get_by_label("Name").fill("dave")
        assert page.get_by_role("button", name="Add").evaluate(TWICE) == [False, True]
        token = page.locator("#new-token").inner_text()
        me = meanwhile(empty_plane.client(None, token=token).call("GET", "/v1/me"))
        assert (me.status, me.json["name"]) == (200, "dave")
        page.go_back()
        page.get_by_label("Name").fill("erin")
        page.get_by_role("button", name="Add").click()
        assert page.locator("#new-token").inner_text().startswith("rfo_erin.")


def test_operators_are_for_admins(browser: Browser, empty_plane: ControlPlane) -> None:
    """Others find no link, and the address is refused."""
    with signed_in(browser, empty_plane, "bob") as page:
        assert page.get_by_role("link", name="Operators").count() == 0
        page.goto("/console/operators")
        expect(page.get_by_role("heading", level=1)).to_have_text("Not allowed")
        expect(page.get_by_role("main")).to_contain_text("needs the role admin")
