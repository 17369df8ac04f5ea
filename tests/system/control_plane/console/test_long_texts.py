"""Pages hold the longest texts that anybody may write, on the narrowest screen that counts."""

from typing import Any, Final

from playwright.sync_api import Browser

from tests.support.browser import meanwhile, signed_in
from tests.support.control_plane import ControlPlane

NARROWEST: Final = 320  # CSS pixels: WCAG 2.2, 1.4.10 Reflow
WIDTHS: Final = (NARROWEST, 768, 1280)
HOST: Final = ".".join(["a" * 60] * 4)
NAME: Final = "o" * 60
ONE_WORD: Final = "W" * 900
DEVICE: Final = f"spiffe://example.com/fleet/{'x' * 60}/device/{'y' * 60}"
PAGES: Final = (
    "",
    "connections",
    f"connections?search={ONE_WORD[:100]}",
    "connections/{connection}",
    "connections/{connection}/review",
    "connections/{connection}/edit",
    "connections/{connection}/rotate",
    "connections/{connection}/revoke",
    "connections/{sent_back}",
    "connections/{sent_back}/review",
    "connect/login",
    "approve",
    "devices",
    "devices/{revocation}",
    "operators",
    f"operators/{NAME}",
    "audit",
    "me",
)


async def fill(plane: ControlPlane) -> dict[str, str]:
    """Write long words wherever somebody may, without a space in them; return what was made."""
    alice, bob = plane.client("alice"), plane.client("bob")
    served = await alice.connect(
        HOST, description=ONE_WORD, fleets=["f" * 60], repositories=[f"{'r' * 100}/**"]
    )
    await bob.approve(served)
    edited: dict[str, Any] = {"fleets": ["g" * 60, "h" * 60], "username": "u" * 200, "token": "t"}
    await alice.edit(served["id"], **edited)
    sent_back = await alice.connect("sent-back.example", description="א" * 200)
    path = f"/v1/connections/{sent_back['id']}/send-back"
    assert (await bob.call("POST", path, {"comment": ONE_WORD})).status == 200
    revocation = await bob.revoke_device(device=DEVICE, reason=ONE_WORD)
    made = await plane.client("root").call(
        "POST", "/v1/operators", {"name": NAME, "role": "viewer"}
    )
    assert made.status == 201
    return {
        "connection": served["id"],
        "sent_back": sent_back["id"],
        "revocation": revocation["id"],
    }


def test_no_text_makes_a_page_wider_than_its_screen(
    browser: Browser, empty_plane: ControlPlane
) -> None:
    """Whoever has to scroll sideways overlooks what stands there."""
    made, wide = meanwhile(fill(empty_plane)), list[str]()
    with signed_in(browser, empty_plane, "root") as page:
        for each in PAGES:
            answer = page.goto(f"/console/{each.format(**made)}")
            assert answer is not None
            assert answer.status == 200, each
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 700})
                needed = page.evaluate("document.documentElement.scrollWidth")
                if needed > width:
                    wide.append(f"{each[:40]} needs {needed} of {width}")
    assert wide == []
