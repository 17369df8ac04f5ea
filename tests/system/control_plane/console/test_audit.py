"""The audit log in the console, in a real browser: filtered, judged, downloaded."""

import re

from playwright.sync_api import Browser, expect

from tests.support.browser import follow, meanwhile, require_presentable, signed_in, visitor
from tests.support.control_plane import ControlPlane

MARKUP = '<img src=x onerror="document.title=1">'


def test_the_log_is_filtered_in_the_address_and_shows_the_newest_first(
    browser: Browser, plane: ControlPlane, host: str
) -> None:
    """An operator sends a link to what they see."""
    alice, bob = plane.client("alice"), plane.client("bob")
    view = meanwhile(alice.connect(host))
    meanwhile(bob.approve(view))
    meanwhile(bob.revoke(view["id"], reason=MARKUP))
    with signed_in(browser, plane, "eve") as page:
        page.get_by_role("navigation", name="Sections").get_by_role(
            "link", name="Audit", exact=True
        ).click()
        page.get_by_label("About begins with").fill(f"connection/{view['id']}")
        page.get_by_label("Action begins with").fill("connection.")
        page.get_by_role("button", name="Show").click()
        expect(page).to_have_url(re.compile("about=connection"))
        expect(page.locator("tbody tr code")).to_have_text(
            ["connection.revoke", "connection.approve", "connection.connect"]
        )
        expect(page.locator("td[data-label='About']")).to_contain_text([host] * 3)
        page.locator("tbody tr").first.locator("summary").click()
        expect(page.locator("tbody tr").first).to_contain_text(MARKUP)
        expect(page).to_have_title("Audit · Registry control plane")
        require_presentable(page)
        page.get_by_label("Actor").fill("bob")
        page.get_by_role("button", name="Show").click()
        expect(page.locator("tbody tr")).to_have_count(2)
        page.get_by_label("Since").fill("yesterday")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_role("alert")).to_contain_text("since")
        expect(page.get_by_label("Since")).to_have_value("yesterday")
        page.goto("/console/audit?actor=nobody-of-this-name")
        expect(page.get_by_role("main")).to_contain_text("No entry fits.")


def test_older_entries_are_a_page_further_on(browser: Browser, plane: ControlPlane) -> None:
    """Each entry is on one page."""
    devices = [{"device": f"spiffe://a.example/fleet/f/device/d{each}"} for each in range(120)]
    meanwhile(
        plane.client("bob").call("POST", "/v1/device-revocations/batch", {"revocations": devices})
    )
    with signed_in(browser, plane, "eve") as page:
        page.goto("/console/audit?about=device/spiffe://a.example/")
        first = page.locator("tbody tr th").all_inner_texts()
        follow(page.get_by_role("link", name="Older", exact=True))
        second = page.locator("tbody tr th").all_inner_texts()
        page.get_by_role("link", name="Newest", exact=True).click()
        expect(page.locator("tbody tr th")).to_have_text(first)
    assert len(first) == len(second) == 50
    assert int(first[-1]) == int(second[0]) + 1


def test_what_the_last_export_covers_and_whether_the_log_is_whole(
    browser: Browser, plane: ControlPlane, host: str
) -> None:
    """A download is an export, too, that anybody can verify; but it is not noted."""
    meanwhile(plane.client("alice").connect(host))
    exported = plane.run("audit", "export").splitlines()
    with signed_in(browser, plane, "eve") as page:
        page.goto("/console/audit")
        expect(page.get_by_role("main")).to_contain_text(f"covers entries 1 to {len(exported)}")
        expect(page.get_by_role("main")).to_contain_text("everything")
        meanwhile(plane.client("alice").connect(f"second-{host}"))
        page.reload()
        expect(page.get_by_role("main")).to_contain_text("1 newer entry")
        expect(page.locator(".badge.good")).to_have_text("whole")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download the log").click()
        lines = download.value.path().read_text().splitlines()
        require_presentable(page)
    assert lines[: len(exported)] == exported
    assert len(lines) == len(exported) + 1
    assert download.value.suggested_filename.endswith(".jsonl")


def test_a_download_needs_a_session(browser: Browser, plane: ControlPlane) -> None:
    """And is no page that a browser shows."""
    with signed_in(browser, plane, "eve") as page, visitor(browser, plane) as stranger:
        answer = page.request.get("/console/audit/export")
        assert (answer.status, answer.headers["x-content-type-options"]) == (200, "nosniff")
        assert answer.headers["content-disposition"].startswith("attachment;")
        assert stranger.request.get("/console/audit/export").status == 401
