"""Connecting a registry, from what somebody pastes to a draft, in a real browser."""

import uuid

import pytest
from playwright.sync_api import Browser, expect

from deploy.dev.registry import Registry
from tests.conftest import ROBOT, ROBOT_PASSWORD
from tests.support.browser import (
    content_of,
    meanwhile,
    require_presentable,
    require_presentable_now,
    signed_in,
)
from tests.support.control_plane import ControlPlane

CANARY = "canary-of-connect"


def test_a_pulled_image_leads_to_the_form_of_its_registry(
    browser: Browser, plane: ControlPlane
) -> None:
    """With host and repository in it, and what to log in with."""
    with signed_in(browser, plane, "alice") as page:
        page.get_by_role("link", name="Connections", exact=True).click()
        page.get_by_role("link", name="Connect a registry").click()
        page.get_by_label("A host, an image").fill("docker pull ghcr.io/team/app:1.4")
        page.get_by_role("button", name="Recognise it").click()
        expect(page.get_by_role("status")).to_contain_text("ghcr.io, the repository team/app")
        require_presentable(page)
        page.get_by_role("link", name="Go on").click()
        expect(page.get_by_label("Host")).to_have_value("ghcr.io")
        expect(page.get_by_label("Repositories")).to_have_value("team/app")
        expect(page.get_by_role("main")).to_contain_text("read:packages")
        require_presentable(page)
        page.goto("/console/connect?registry=user@ghcr.io/<script>")
        expect(page.get_by_role("main")).to_contain_text("a host has no user name in it")
        assert page.locator("main script").count() == 0


def test_a_login_is_tried_shown_step_by_step_and_connected(
    browser: Browser, plane: ControlPlane, htpasswd_registry: Registry
) -> None:
    """What was typed stays, but a secret is never in a page again."""
    with signed_in(browser, plane, "alice") as page:
        page.goto("/console/connect/login")
        page.get_by_label("Host").fill(htpasswd_registry.host)
        page.get_by_label("User name").fill(ROBOT)
        page.get_by_label("Token or password").fill(CANARY)
        page.get_by_text("Network: private").click()
        page.get_by_label("Plain HTTP").check()
        page.get_by_label("Private networks").fill("127.0.0.0/8")
        prefix = f"a{uuid.uuid4().hex[:8]}"
        page.get_by_label("Only below").fill(prefix)

        page.get_by_label("A repository").fill("no/such")
        page.get_by_role("button", name="Only try the login").click()
        steps = page.locator("[data-tried] .steps li")
        expect(steps).to_have_count(5)
        expect(page.locator("[data-tried] .failed")).to_contain_text("Token")
        expect(page.get_by_label("Token or password")).to_have_value(CANARY)
        page.get_by_label("Token or password").fill(ROBOT_PASSWORD)
        page.get_by_role("button", name="Only try the login").click()
        expect(page.locator("[data-tried] .failed")).to_contain_text("no such repository")
        require_presentable_now(page)
        page.get_by_label("Token or password").fill(CANARY)
        page.get_by_label("A repository").fill("No Such")
        page.get_by_role("button", name="Only try the login").click()
        expect(page.get_by_label("A repository")).to_have_attribute("aria-invalid", "true")
        page.get_by_label("Token or password").fill(CANARY)

        page.get_by_role("button", name="Connect", exact=True).click()
        expect(page.locator(".steps .failed")).to_contain_text("refuses the credential")
        expect(page.get_by_label("Host")).to_have_value(htpasswd_registry.host)
        expect(page.get_by_label("User name")).to_have_value(ROBOT)
        expect(page.get_by_label("Plain HTTP")).to_be_checked()
        expect(page.get_by_label("Token or password")).to_have_value("")
        assert CANARY not in content_of(page)
        require_presentable_now(page)

        page.get_by_label("Token or password").fill(ROBOT_PASSWORD)
        page.get_by_role("button", name="Connect", exact=True).click()
        expect(page.get_by_role("status")).to_contain_text("It is connected")
        expect(page.get_by_role("heading", level=1)).to_contain_text(prefix)
        assert ROBOT_PASSWORD not in content_of(page)
    for secret in (CANARY, ROBOT_PASSWORD):
        assert secret not in plane.log.read_text()


@pytest.mark.parametrize("scripts", [True, False])
def test_amazon_is_connected_and_its_policies_are_ready_to_paste(
    browser: Browser, plane: ControlPlane, *, scripts: bool
) -> None:
    """The role need not exist yet; without scripts as well."""
    account = str(uuid.uuid4().int)[:12]
    with signed_in(browser, plane, "alice", java_script_enabled=scripts) as page:
        page.goto("/console/connect/ecr")
        page.get_by_label("Host").fill(f"{account}.dkr.ecr.eu-central-1.amazonaws.com")
        page.get_by_label("Role", exact=True).fill("arn:aws:iam::000000000000:role/pull")
        page.get_by_role("button", name="Connect", exact=True).click()
        expect(page.get_by_label("Role", exact=True)).to_have_attribute("aria-invalid", "true")
        if scripts:
            require_presentable_now(page)
        page.get_by_label("Role", exact=True).fill(f"arn:aws:iam::{account}:role/pull")
        page.get_by_role("button", name="Connect", exact=True).click()
        expect(page.get_by_role("status")).to_contain_text("Below is what to grant")
        expect(page.get_by_role("main")).to_contain_text("sts:AssumeRole")


def test_a_key_of_google_is_read_where_it_is_pasted(browser: Browser, plane: ControlPlane) -> None:
    """What is no key is named, and not shown again."""
    with signed_in(browser, plane, "alice") as page:
        page.goto("/console/connect/google")
        require_presentable(page)
        page.get_by_label("Host").fill("europe-docker.pkg.dev")
        page.get_by_label("Service account key").fill(f'{{"private_key": "{CANARY}"')
        page.get_by_role("button", name="Connect", exact=True).click()
        expect(page.get_by_role("main")).to_contain_text("expected the JSON key")
        assert CANARY not in content_of(page)


def test_a_session_that_ended_meanwhile_loses_nothing_that_was_typed(
    browser: Browser, plane: ControlPlane
) -> None:
    """The form is sent again after a sign-in in another tab; a secret is asked for again."""
    host = f"kept-{uuid.uuid4().hex[:8]}.example"
    with signed_in(browser, plane, "alice") as page:
        page.goto("/console/connect/login")
        page.get_by_label("Host").fill(host)
        page.get_by_label("Description").fill('"><script>alert(1)</script>')
        page.get_by_label("Token or password").fill(CANARY)
        page.get_by_label("Try the login").uncheck()
        other = page.context.new_page()
        other.goto("/console/me")
        other.get_by_role("button", name="Sign out").click()
        page.get_by_role("button", name="Connect", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("you are not signed in")
        expect(page.get_by_role("main")).to_contain_text("you will be asked for them again")
        assert CANARY not in content_of(page)
        require_presentable_now(page)

        other.goto("/console/")
        other.get_by_label("Operator token").fill(plane.tokens["alice"])
        other.get_by_role("button", name="Sign in", exact=True).click()
        expect(other).to_have_title("Overview · Registry control plane")
        page.get_by_role("button", name="Go on").click()
        expect(page.get_by_role("alert")).to_contain_text("made in another session")
        expect(page.get_by_label("Host")).to_have_value(host)
        expect(page.get_by_label("Try the login")).not_to_be_checked()
        page.get_by_role("button", name="Connect", exact=True).click()
        expect(page.get_by_role("status")).to_contain_text("It is connected")
    made = meanwhile(plane.client("eve").list(host=host))
    assert [each["description"] for each in made] in ([], ['"><script>alert(1)</script>'])
