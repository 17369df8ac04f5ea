"""Which forms were sent by a page of ours."""

import pytest

from control_plane.console.same_origin import is_from_our_page

HOST = "console.example"
OURS = f"https://{HOST}"


@pytest.mark.parametrize(
    "fetch_site, origin, host, public_url, expected",
    [
        ("same-origin", OURS, HOST, None, True),
        ("same-origin", None, HOST, None, True),
        (None, OURS, HOST, None, True),
        (None, OURS, HOST.upper(), None, True),
        ("same-origin", OURS, "inside:8080", OURS, True),
        ("same-origin", OURS, "inside:8080", f"{OURS}/", True),
        (None, None, HOST, None, False),
        ("cross-site", OURS, HOST, None, False),
        ("same-site", OURS, HOST, None, False),
        ("none", OURS, HOST, None, False),
        ("same-origin", "https://evil.example", HOST, None, False),
        ("same-origin", "null", HOST, None, False),
        (None, "null", HOST, None, False),
        (None, f"{OURS}:444", HOST, None, False),
        ("same-origin", OURS, HOST, "https://other.example", False),
        ("same-origin", f"http://{HOST}", HOST, OURS, False),
        ("same-origin", "https://[", HOST, OURS, False),
        (None, OURS, None, None, False),
    ],
)
def test_a_form_of_another_page_is_refused(
    *,
    fetch_site: str | None,
    origin: str | None,
    host: str | None,
    public_url: str | None,
    expected: bool,
) -> None:
    """By either header."""
    assert expected == is_from_our_page(
        fetch_site=fetch_site, origin=origin, host=host, public_url=public_url
    )
