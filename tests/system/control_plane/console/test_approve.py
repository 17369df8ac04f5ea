"""The queue of drafts, and the review of one, in a real browser."""

from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect

from deploy.dev.device_ca import CertificateAuthority
from tests.support.browser import (
    content_of,
    meanwhile,
    require_accessible,
    require_presentable,
    screenshot,
    sign_in,
    signed_in,
)
from tests.support.control_plane import ControlPlane, Json, approved_connection
from tests.support.days_ahead import day_ahead

CANARY = "canary-of-approve"
MARKUP = '<img src=x onerror="document.title=1">'


def draft_of(plane: ControlPlane, host: str, *, serving: Json | None = None, **edit: Any) -> Json:
    """Return the view of a connection with a draft, which differs in what is given."""
    terms = serving or {"username": "robot", "token": CANARY, "fleets": ["line-a"]}
    view = meanwhile(approved_connection(plane, host, **terms))
    return meanwhile(plane.client("alice").edit(view["id"], **edit))


def open_review(page: Page, view: Json) -> None:
    """Go to the review of a connection."""
    page.goto(f"/console/connections/{view['id']}/review")


def line(page: Page, label: str) -> list[str]:
    """Return the cells of a line, once the whole page is there."""
    page.wait_for_load_state()
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=label))
    return [text.strip() for text in row.get_by_role("cell").all_inner_texts()]


def approve(page: Page) -> None:
    """Say that the fingerprint was compared, and approve."""
    page.get_by_label("I compared the fingerprint").check()
    page.get_by_role("button", name="Approve", exact=True).click()


def everything(host: str) -> dict[str, Any]:
    """Return an edit in which nearly all stands out."""
    return {
        "token": CANARY + "-2",
        "fleets": [],
        "repositories": ["team/models/**", "team/app"],
        "allowed_networks": ["10.0.0.0/8", "192.168.7.0/24"],
        "auth_realms": ["https://login.example/token"],
        "ca_certificate": CertificateAuthority.create(f"CA of {host}").pem.decode(),
    }


def test_the_queue_leads_to_the_review_and_the_review_to_an_approval(
    browser: Browser, empty_plane: ControlPlane, host: str
) -> None:
    """What was seen is what serves then."""
    view = draft_of(empty_plane, host, **everything(host))
    with signed_in(browser, empty_plane, "bob") as page:
        page.get_by_role("link", name="Approve", exact=True).click()
        item = page.get_by_role("listitem").filter(has_text=host)
        expect(item).to_contain_text("6 lines change")
        expect(item).to_contain_text("2 dangers")
        require_presentable(page)
        item.get_by_role("link", name=host).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(f"Review {host}")
        assert line(page, "Fleets") == ["line-a", "all"]
        assert line(page, "Secret")[1].startswith("replaced")
        assert line(page, "Host") == []  # what stays is folded
        page.get_by_text("What stays as it is").click()
        assert line(page, "Host") == [host]
        expect(page.get_by_text("The secret is shown to https://login.example")).to_be_visible()
        expect(page.get_by_text(view["draft"]["fingerprint"])).to_be_visible()
        expect(page.get_by_label("The fingerprint's words").get_by_role("listitem")).to_have_count(
            12
        )
        assert CANARY not in content_of(page)
        require_presentable(page)
        approve(page)
        expect(page.get_by_role("status")).to_contain_text("It is approved")
    after = meanwhile(empty_plane.client("eve").show(view["id"]))
    assert (after["fingerprint"], after["draft"]) == (view["draft"]["fingerprint"], None)


def test_a_first_draft_is_presentable_too(
    browser: Browser, empty_plane: ControlPlane, host: str
) -> None:
    """One side alone, refused and answered."""
    view, day = meanwhile(empty_plane.client("alice").connect(host)), day_ahead(14)
    with signed_in(browser, empty_plane, "bob") as page:
        open_review(page, view)
        expect(page.get_by_text("all of it is new")).to_be_visible()
        page.get_by_label("The approval ends").select_option("Until a day")
        page.get_by_role("button", name="Approve", exact=True).click()
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("Some fields are wrong")
        expect(alert).to_be_focused()
        expect(page.get_by_label("Last day")).to_have_attribute("aria-invalid", "true")
        require_accessible(page)
        screenshot(page, "refused")
        page.get_by_label("Last day").fill(day)
        approve(page)
        expect(page.get_by_role("status")).to_contain_text("It is approved")
    assert meanwhile(empty_plane.client("eve").show(view["id"]))["expires_at"].startswith(day)


def test_an_approval_needs_no_script_and_no_mouse(
    browser: Browser, empty_plane: ControlPlane, host: str
) -> None:
    """From the queue on: Tab, Space and Enter."""
    view = meanwhile(empty_plane.client("alice").connect(host))
    with signed_in(browser, empty_plane, "bob", java_script_enabled=False) as page:
        page.goto("/console/approve")
        tab_to(page, page.get_by_role("link", name=host))
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text(f"Review {host}")
        tab_to(page, page.get_by_label("I compared the fingerprint"))
        page.keyboard.press("Space")
        tab_to(page, page.get_by_role("button", name="Approve", exact=True))
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_contain_text("It is approved")
    assert meanwhile(empty_plane.client("eve").show(view["id"]))["status"] == "approved"


def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until something has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if wanted.and_(page.locator(":focus")).count():
            return
    raise AssertionError(f"Tab does not lead to {wanted}")


def test_a_session_that_ends_during_an_approval_goes_on_after_a_sign_in(
    browser: Browser, empty_plane: ControlPlane, host: str
) -> None:
    """In another tab, as the page says; nothing was done before."""
    view = meanwhile(empty_plane.client("alice").connect(host))
    with signed_in(browser, empty_plane, "bob") as page:
        open_review(page, view)
        page.context.clear_cookies()
        approve(page)
        expect(page.get_by_text("Nothing was done")).to_be_visible()
        assert meanwhile(empty_plane.client("eve").show(view["id"]))["status"] == "pending"
        with page.context.expect_page() as opened:
            page.get_by_role("link", name="Sign in").click()
        sign_in(opened.value, empty_plane.tokens["bob"])
        expect(opened.value.get_by_role("heading", level=1)).to_be_visible()
        page.get_by_role("button", name="Go on").click()
        expect(page.get_by_role("alert")).to_contain_text("made in another session")
        approve(page)
        expect(page.get_by_role("status")).to_contain_text("It is approved")


def test_what_others_stored_is_text(browser: Browser, empty_plane: ControlPlane, host: str) -> None:
    """Whoever makes a draft puts no markup before an approver."""
    authority = CertificateAuthority.create(MARKUP).pem.decode()
    fields: Json = {"fleets": [MARKUP], "username": MARKUP, "token": CANARY, "set_name": None}
    view = meanwhile(
        empty_plane.client("alice").connect(
            host, ca_certificate=authority, description=MARKUP, secret_label=MARKUP, **fields
        )
    )
    path = f"/v1/connections/{view['id']}/send-back"
    meanwhile(empty_plane.client("root").call("POST", path, {"comment": MARKUP}))
    with signed_in(browser, empty_plane, "bob") as page:
        for address in ("/console/approve", f"/console/connections/{view['id']}/review"):
            page.goto(address)
            expect(page.get_by_text(MARKUP).first).to_be_visible()
            assert page.locator("main img").count() == 0
            assert CANARY not in content_of(page)
