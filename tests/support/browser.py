"""Debian's chromium, driven by playwright, and axe-core, which judges pages.

playwright's loop occupies the thread of whoever drives it: a file of browser tests has no coroutine
tests and no coroutine fixtures, and calls the API through `meanwhile`.
"""

import asyncio
import os
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import uvloop
from attrs import frozen
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from deploy.dev.debian import DEV
from tests.support.control_plane import ControlPlane
from tests.support.eventually import PATIENCE_SECONDS

CHROMIUM: Final = Path("/usr/bin/chromium")
AXE: Final = DEV / "node" / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE_MILLISECONDS: Final = int(PATIENCE_SECONDS * 1000)
MAX_PAGE_BYTES: Final = 100 * 1024  # of a page with everything that it loads
PRESENT_SECTION_ENDS: Final = (
    "document.querySelector('nav.sections [aria-current]')?.getBoundingClientRect().right ?? 0"
)


@frozen
class Look:
    """What a page is judged in: its size in pixels, and its colours."""

    width: int
    height: int
    colours: Literal["dark", "light"]


LOOKS: Final[Mapping[str, Look]] = {
    "light": Look(1280, 900, "light"),
    "dark": Look(1280, 900, "dark"),
    "phone": Look(360, 780, "light"),
}

_Result = TypeVar("_Result")
expect.set_options(timeout=PATIENCE_MILLISECONDS)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a browser. It takes a second to start: a file of tests has one."""
    if not (CHROMIUM.exists() and AXE.exists()):
        raise AssertionError(f"no {CHROMIUM} or no {AXE}: `make test` brings both")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=PATIENCE_MILLISECONDS
        )
        yield browser
        browser.close()


@contextmanager
def visitor(browser: Browser, plane: ControlPlane, **settings: Any) -> Iterator[Page]:
    """Yield a page of a browser that knows nothing yet; `settings` are those of a context."""
    context = browser.new_context(
        base_url=plane.url,
        locale="en-GB",
        reduced_motion="reduce",
        **{"timezone_id": "UTC", **settings},
    )
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    yield context.new_page()
    context.close()


@contextmanager
def signed_in(browser: Browser, plane: ControlPlane, name: str, **settings: Any) -> Iterator[Page]:
    """Yield a page of a browser in which alice, bob, root or eve is signed in, at the overview."""
    with visitor(browser, plane, **settings) as page:
        page.goto("/console/")
        sign_in(page, plane.tokens[name])
        yield page


def sign_in(page: Page, token: str) -> None:
    """Fill in the sign-in page that is shown, and send it."""
    page.get_by_label("Operator token").fill(token)
    follow(page.get_by_role("button", name="Sign in", exact=True))


def follow(control: Locator) -> None:
    """Click what leads to a page, and return once all of that page is there.

    A click returns with a page's first bytes. `expect` waits for the others; what reads a page at
    once (`count`, `all_inner_texts`, `evaluate`) does not.
    """
    with control.page.expect_navigation():
        control.click()


def content_of(page: Page) -> str:
    """Return a page as HTML, once all of it is there."""
    page.wait_for_load_state()
    return page.content()


def meanwhile(call: Coroutine[Any, Any, _Result]) -> _Result:
    """Return what a coroutine returns, on a loop of another thread."""

    def run() -> _Result:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(call)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result()


def require_accessible(page: Page) -> None:
    """Require that axe finds nothing wrong with the page as it is now, once all of it is there."""
    page.wait_for_load_state()
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    wrong = [
        f"{each['id']}: {each['help']}: {[node['html'] for node in each['nodes']]}"
        for each in found["violations"]
    ]
    assert wrong == [], "\n".join(wrong)
    assert len(found["passes"]) > 0


def require_presentable(page: Page) -> None:
    """Require that a page is accessible in each look, small, and fits a phone. It is loaded again.

    A form that was sent cannot be loaded again: `require_presentable_now` judges its answer.
    """
    page.goto(page.url)
    size = page.evaluate(
        "performance.getEntries().reduce((sum, each) => sum + (each.decodedBodySize ?? 0), 0)"
    )
    assert 0 < size <= MAX_PAGE_BYTES, f"{page.url} needs {size} bytes"
    require_presentable_now(page)


def require_presentable_now(page: Page) -> None:
    """Require that what is shown is accessible in each look, and fits a phone."""
    for name, look in LOOKS.items():
        page.set_viewport_size({"width": look.width, "height": look.height})
        page.emulate_media(color_scheme=look.colours)
        require_accessible(page)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= look.width, f"{page.url} is {width} pixels wide ({name})"
        assert page.evaluate(PRESENT_SECTION_ENDS) <= look.width, f"{page.url} hides its section"
        screenshot(page, name)
    light = LOOKS["light"]
    page.set_viewport_size({"width": light.width, "height": light.height})
    page.emulate_media(color_scheme=light.colours)


def screenshot(page: Page, name: str) -> None:
    """Keep a picture of the page in the folder that SCREENSHOTS names, if it names one."""
    if folder := os.environ.get("SCREENSHOTS"):
        what = page.title().partition(" · ")[0].lower().replace(" ", "-").replace("/", "-")
        page.screenshot(path=Path(folder) / f"{what}-{name}.png", full_page=True)
