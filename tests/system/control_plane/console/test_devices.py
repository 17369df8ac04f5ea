"""Devices in the console, in a real browser: found, revoked by identity or certificate, lifted."""

import re
import uuid
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from deploy.dev.device_ca import CertificateAuthority, IssuedCertificate
from tests.support.browser import (
    content_of,
    meanwhile,
    require_presentable,
    require_presentable_now,
    signed_in,
)
from tests.support.control_plane import ControlPlane

MARKUP = '<img src=x onerror="document.title=1"><script>document.title=2</script>'


@pytest.fixture
def device() -> str:
    """A device that no other test revokes."""
    return f"spiffe://example.com/fleet/line-a/device/{uuid.uuid4().hex}"


@pytest.fixture
def issued(device: str) -> IssuedCertificate:
    """Its certificate."""
    return CertificateAuthority.create("console CA").issue(uris=[device], common_name="press-7")


def open_revoke(page: Page) -> None:
    """Go from the navigation to the page that revokes."""
    page.get_by_role("navigation", name="Sections").get_by_role(
        "link", name="Devices", exact=True
    ).click()
    page.get_by_role("link", name="Revoke a device").click()


def test_a_device_is_revoked_by_its_identity_and_lifted(
    browser: Browser, plane: ControlPlane, device: str
) -> None:
    """The list, the API and the audit log say so; a reason is text, whatever is in it."""
    with signed_in(browser, plane, "bob") as page:
        open_revoke(page)
        form = page.locator("#revoke-device")
        form.get_by_label("Device").fill("not a device")
        form.get_by_role("button", name="Revoke the device").click()
        expect(form.locator(".error")).to_contain_text("verbatim")
        expect(form.get_by_label("Device")).to_have_value("not a device")
        form.get_by_label("Device").fill(device)
        form.get_by_label("Reason").fill(MARKUP)
        form.get_by_role("button", name="Revoke the device").click()
        expect(page.get_by_role("status")).to_have_text("It is served no longer.")
        expect(page.get_by_role("main")).to_contain_text(MARKUP)
        expect(page).to_have_title("Revoked device · Registry control plane")
        listed = meanwhile(plane.client("bob").device_revocations())
        assert device in {each["device"] for each in listed}
        require_presentable(page)
        page.goto("/console/devices")
        page.get_by_label("Device").fill(device)
        page.get_by_role("button", name="Find").click()
        expect(page).to_have_url(re.compile("device=spiffe"))
        expect(page.locator("tbody tr")).to_have_count(1)
        expect(page.locator("tbody tr")).to_contain_text(MARKUP)
        require_presentable(page)
        page.locator("tbody").get_by_role("link").click()
        page.get_by_role("button", name="Lift the revocation").click()
        expect(page.get_by_role("status")).to_contain_text("It is served again")
    listed = meanwhile(plane.client("bob").device_revocations())
    assert device not in {each["device"] for each in listed}


@pytest.mark.parametrize("way", ["paste", "choose", "drop"])
def test_a_certificate_is_read_before_anything_is_revoked(
    browser: Browser,
    plane: ControlPlane,
    issued: IssuedCertificate,
    device: str,
    tmp_path: Path,
    way: str,
) -> None:
    """Pasted, chosen or dropped; then the certificate alone, or its device, may be revoked."""
    file = tmp_path / "device.pem"
    file.write_bytes(issued.chain_pem)
    with signed_in(browser, plane, "bob") as page:
        open_revoke(page)
        give(page, way, file)
        page.get_by_role("button", name="Read the certificate").click()
        expect(page.get_by_role("status")).to_contain_text("Nothing is revoked yet")
        expect(page.locator("#revoke-device").get_by_label("Device")).to_have_value(device)
        require_presentable_now(page)
        serial = f"{issued.serial:x}"
        form = page.locator("#revoke-certificate")
        expect(form.get_by_label("Serial number")).to_have_value(serial)
        expect(form.get_by_label("Issuer")).to_have_value("CN=console CA")
        form.get_by_role("button", name="Revoke the certificate").click()
        expect(page.get_by_role("status")).to_have_text("It is served no longer.")
    listed = meanwhile(plane.client("bob").device_revocations())
    assert serial in {each["serial"] for each in listed}
    assert device not in {each["device"] for each in listed}


def give(page: Page, way: str, file: Path) -> None:
    """Give the page a certificate."""
    if way == "paste":
        page.get_by_label("Certificate in PEM").fill(file.read_text())
        return
    if way == "choose":
        page.locator("input[type=file]").set_input_files(file)
    else:
        dropped = page.evaluate_handle(
            "text => { const data = new DataTransfer();"
            " data.items.add(new File([text], 'device.pem')); return data; }",
            file.read_text(),
        )
        page.locator("[data-drop]").dispatch_event("drop", {"dataTransfer": dropped})
    expect(page.get_by_label("Certificate in PEM")).to_have_value(re.compile("BEGIN CERTIFICATE"))


def test_a_private_key_is_refused_and_not_shown_again(
    browser: Browser, plane: ControlPlane, issued: IssuedCertificate
) -> None:
    """Whoever pastes a whole file sees what is wrong."""
    with signed_in(browser, plane, "bob") as page:
        open_revoke(page)
        page.get_by_label("Certificate in PEM").fill(issued.key_pem.decode())
        page.get_by_role("button", name="Read the certificate").click()
        expect(page.locator("#read-certificate .error")).to_contain_text("private key")
        assert issued.key_pem.decode().splitlines()[1] not in content_of(page)
        require_presentable_now(page)


def test_the_pages_work_without_scripts_and_by_the_keyboard_alone(
    browser: Browser, plane: ControlPlane, issued: IssuedCertificate, device: str
) -> None:
    """Nothing needs a mouse."""
    with signed_in(browser, plane, "bob", java_script_enabled=False) as page:
        page.goto("/console/devices/revoke")
        page.get_by_label("Certificate in PEM").focus()
        page.keyboard.insert_text(issued.chain_pem.decode())
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#revoke-device").get_by_label("Device")).to_have_value(device)
        page.locator("#revoke-device").get_by_label("Reason").focus()
        page.keyboard.type("lost")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_have_text("It is served no longer.")


def test_whoever_may_not_see_revocations_is_led_to_none(
    browser: Browser, plane: ControlPlane, device: str
) -> None:
    """As at the API: an approver's."""
    revoked = meanwhile(plane.client("bob").revoke_device(device=device))
    with signed_in(browser, plane, "eve") as page:
        sections = page.get_by_role("navigation", name="Sections")
        expect(sections.get_by_role("link", name="Audit")).to_be_visible()
        expect(sections.get_by_role("link", name="Devices")).to_have_count(0)
        for path in ("devices", "devices/revoke", f"devices/{revoked['id']}"):
            page.goto(f"/console/{path}")
            expect(page.get_by_role("heading", level=1)).to_have_text("Not allowed")


def test_a_wrong_search_and_an_unknown_revocation_are_answered_in_words(
    browser: Browser, plane: ControlPlane
) -> None:
    """What was typed stays."""
    with signed_in(browser, plane, "bob") as page:
        page.goto("/console/devices?serial=xyz")
        expect(page.get_by_role("alert")).to_contain_text("serial")
        expect(page.get_by_label("Certificate's serial")).to_have_value("xyz")
        page.goto(f"/console/devices/{uuid.uuid4()}")
        expect(page.get_by_role("heading", level=1)).to_have_text("Not found")
