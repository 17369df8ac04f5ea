"""The list of connections, and Me, in a real browser."""

import uuid

from playwright.sync_api import Browser, expect

from tests.support.browser import content_of, follow, meanwhile, require_presentable, signed_in
from tests.support.control_plane import ControlPlane

MARKUP = '<img src=x onerror="alert(1)">"\'>{{ 7*7 }}'


def make_connections(plane: ControlPlane, beginning: str) -> dict[str, str]:
    """Connect one of each state; return their hosts."""
    hosts = {name: f"{name}.{beginning}.example" for name in ("waits", "serves", "ends", "gone")}

    async def make() -> None:
        alice, bob = plane.client("alice"), plane.client("bob")
        await alice.connect(hosts["waits"], description=MARKUP)
        await bob.approve(await alice.connect(hosts["serves"], username="robot", token="canary"))
        end = "2040-01-31T12:00:00.000Z"
        view = await alice.connect(
            hosts["ends"], username="robot", token="canary", credential_expires_at=end
        )
        await bob.approve(view)
        await alice.edit(view["id"], repositories=["team/app"])
        gone = await bob.approve(await alice.connect(hosts["gone"]))
        await bob.revoke(gone["id"], reason=MARKUP)

    meanwhile(make())
    return hosts


def test_connections_are_listed_with_their_states_and_found_again(
    browser: Browser, plane: ControlPlane
) -> None:
    """The filter is in the address, so a link leads to what somebody else saw."""
    beginning = f"a{uuid.uuid4().hex[:8]}"
    hosts = make_connections(plane, beginning)
    with signed_in(browser, plane, "alice") as page:
        page.get_by_role("link", name="Connections", exact=True).click()
        page.get_by_label("Search").fill(beginning)
        page.get_by_role("button", name="Show").click()
        rows = page.get_by_role("row")
        expect(rows).to_have_count(5)
        for name, words in (
            ("waits", "Waits for approval"),
            ("serves", "Serves"),
            ("ends", "Draft waits"),
            ("gone", "Revoked"),
        ):
            expect(rows.filter(has_text=hosts[name])).to_contain_text(words)
        expect(rows.filter(has_text=hosts["waits"])).to_contain_text(MARKUP)
        assert page.locator("main img").count() == 0
        assert "canary" not in content_of(page)
        require_presentable(page)

        page.get_by_label("State").select_option("revoked")
        page.get_by_role("button", name="Show").click()
        expect(rows).to_have_count(2)
        address = page.url
        page.get_by_role("link", name="Clear", exact=True).click()
        page.goto(address)
        expect(rows).to_have_count(2)
        expect(page.get_by_label("State")).to_have_value("revoked")


def test_long_roles_leave_hosts_readable(browser: Browser, plane: ControlPlane) -> None:
    """The registry is what a list is read by: its column is not squeezed, and nothing is hidden."""
    account, name = "210987654321", f"r{uuid.uuid4().hex[:8]}"
    role = f"arn:aws:iam::{account}:role/{name}-that-may-pull-for-devices"
    host = f"{account}.dkr.ecr.eu-central-1.amazonaws.com"
    connecting = plane.client("alice").connect(
        host, repository_prefix=name, provider="aws_ecr", role_arn=role
    )
    meanwhile(connecting)
    with signed_in(browser, plane, "alice") as page:
        page.goto(f"/console/connections?search={name}")
        place = page.get_by_role("link", name=f"{host}/{name}")
        width, table, room = page.evaluate(
            "link => [link.closest('th').offsetWidth, link.closest('table').offsetWidth,"
            " link.closest('.scroll').clientWidth]",
            place.element_handle(),
        )
        assert width >= table / 6
        assert table <= room


def test_what_fits_no_connection_is_said(browser: Browser, plane: ControlPlane) -> None:
    """And a wrong filter is named."""
    with signed_in(browser, plane, "eve") as page:
        page.goto(f"/console/connections?search={uuid.uuid4().hex}")
        expect(page.get_by_role("main")).to_contain_text("No connection fits.")
        page.goto("/console/connections?status=nonsense")
        expect(page.get_by_role("heading", level=1)).to_have_text("This cannot be shown")
        expect(page.get_by_role("main")).to_contain_text("status: expected one of")


def test_sessions_are_listed_and_ended(browser: Browser, plane: ControlPlane) -> None:
    """Another browser's, and then all of them."""
    with signed_in(browser, plane, "root") as other, signed_in(browser, plane, "root") as page:
        page.get_by_role("link", name="Me", exact=True).click()
        require_presentable(page)
        others = page.get_by_role("row").filter(has_not_text="This one").get_by_role("button")
        assert others.count() > 0
        while others.count():  # other tests have left some
            follow(others.first)
            expect(page.get_by_role("status")).to_have_text("The session is ended.")
        other.goto("/console/me")
        expect(other).to_have_title("Sign in · Registry control plane")
        page.get_by_role("button", name="End all of them").click()
        expect(page.get_by_role("status")).to_have_text("All of your sessions are ended.")
        page.goto("/console/me")
        expect(page).to_have_title("Sign in · Registry control plane")
