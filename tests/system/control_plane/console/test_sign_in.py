"""Signing in at the console with an operator's token, and out of it, in a real browser."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import content_of, require_presentable, sign_in, signed_in, visitor
from tests.support.control_plane import ControlPlane


def test_a_browser_at_the_root_is_sent_to_the_sign_in_and_then_to_the_overview(
    browser: Browser, plane: ControlPlane
) -> None:
    """Nobody has to know an address but the host."""
    with visitor(browser, plane) as page:
        page.goto("/")
        expect(page).to_have_title("Sign in · Registry control plane")
        sign_in(page, plane.tokens["eve"])
        expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
        expect(page.get_by_role("banner")).to_contain_text("eve")


def test_the_page_that_was_asked_for_is_shown_after_the_sign_in(
    browser: Browser, plane: ControlPlane
) -> None:
    """A link in a message leads somewhere, whoever follows it."""
    with visitor(browser, plane) as page:
        page.goto("/console/?done=signed-out")
        sign_in(page, plane.tokens["eve"])
        expect(page).to_have_url(f"{plane.url}/console/?done=signed-out")


@pytest.mark.parametrize("elsewhere", ["//evil.example/", "https://evil.example", "/v1/audit"])
def test_no_link_leads_elsewhere_by_way_of_the_sign_in(
    browser: Browser, plane: ControlPlane, elsewhere: str
) -> None:
    """An open redirect would lend our name to whoever imitates us."""
    with visitor(browser, plane) as page:
        page.goto(f"/console/sign-in?next={elsewhere}")
        sign_in(page, plane.tokens["eve"])
        expect(page).to_have_url(f"{plane.url}/console/")


def test_a_wrong_token_is_refused_in_words_and_not_shown_again(
    browser: Browser, plane: ControlPlane
) -> None:
    """As the API refuses it."""
    with visitor(browser, plane) as page:
        page.goto("/console/")
        sign_in(page, f"rfo_eve.{'A' * 43}")
        expect(page.get_by_role("alert")).to_contain_text("no operator has this token")
        assert "AAAA" not in content_of(page)
        assert require_no_session(page)


def test_whoever_signs_out_is_out(browser: Browser, plane: ControlPlane) -> None:
    """And is told so."""
    with signed_in(browser, plane, "eve") as page:
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("status")).to_have_text("You are signed out.")
        assert require_no_session(page)
        page.goto("/console/")
        expect(page).to_have_title("Sign in · Registry control plane")


def test_pages_work_without_scripts(browser: Browser, plane: ControlPlane) -> None:
    """The module only adds to them."""
    with signed_in(browser, plane, "eve", java_script_enabled=False) as page:
        expect(page.get_by_role("main").locator("time").first).to_contain_text(" UTC")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("status")).to_have_text("You are signed out.")


def test_times_are_in_the_readers_zone_with_utc_beside(
    browser: Browser, plane: ControlPlane
) -> None:
    """Operators and devices are seldom in one zone."""
    with signed_in(browser, plane, "eve", timezone_id="Asia/Tokyo") as page:
        expect(page.get_by_role("main").locator("time").first).to_contain_text("GMT+9")
        expect(page.get_by_role("main").locator("time .utc").first).to_contain_text("UTC")


def test_the_sign_in_and_an_error_are_presentable(browser: Browser, plane: ControlPlane) -> None:
    """In light and dark, on a phone, for a screen reader."""
    with visitor(browser, plane) as page:
        page.goto("/console/sign-in")
        require_presentable(page)
        page.goto("/console/no-such-page")
        expect(page.get_by_role("heading", level=1)).to_have_text("Not found")
        require_presentable(page)


def require_no_session(page: Page) -> bool:
    """Tell whether the browser has no session's cookie."""
    return not [each for each in page.context.cookies() if each["name"].endswith("-session")]
