"""Signing in and out at a certified OpenID provider, in a real browser."""

import re

from playwright.sync_api import Browser, expect

from tests.support.browser import require_presentable_now, visitor
from tests.system.control_plane.console.conftest import SignedOn


def test_a_browser_goes_to_the_provider_and_back(browser: Browser, signed_on: SignedOn) -> None:
    """By a link and redirects alone, which the page's rules allow; signing out goes on there."""
    with visitor(browser, signed_on.plane) as page:
        page.goto("/console/me")
        require_presentable_now(page)
        page.get_by_role("link", name="Sign in with single sign-on").click()
        page.locator("input[name=login]").fill("ada")
        page.locator("input[name=password]").fill("any")
        page.get_by_role("button", name="Sign-in").click()
        page.get_by_role("button", name="Continue").click()
        expect(page).to_have_url(re.compile(r"/console/me$"))
        expect(page.locator(".who-name")).to_have_text("ada@firm.example")
        page.get_by_role("button", name="Sign out").first.click()
        expect(page.get_by_role("heading", name="Signed out")).to_be_visible()
        require_presentable_now(page)
        page.get_by_role("link", name="Sign out at the provider").click()
        page.get_by_role("button", name="Yes, sign me out").click()
        expect(page).to_have_url(re.compile(r"/console/sign-in"))
        page.goto("/console/me")
        expect(page.get_by_label("Operator token")).to_be_visible()
