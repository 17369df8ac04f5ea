"""Where a browser may be sent after the sign-in."""

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.console.local_path import ROOT, local_path

HERE = "https://control-plane.example/console/sign-in"


@pytest.mark.parametrize(
    "path",
    [
        "/console/",
        "/console/me",
        "/console/connections/0b7f3c52-3b1c-4a86-9d61-8d6b0b1f6c11?done=approved",
        "/console/connections?host=ghcr.io&status=draft&q=a%20b",
        "/console/operators/alice@example.com/",
    ],
)
def test_our_own_pages_are_gone_on_to(path: str) -> None:
    """With their queries."""
    assert local_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "//evil.example", "https://evil.example/console/", "/v1/audit", "javascript:x"),
        *("/console/../v1/audit", "/console//evil.example", "/console/\\evil", "/console/%2e%2e/"),
        *("/console/\n", "/console/me#x", "/console/" + "a" * 2000),
    ],
)
def test_anything_else_leads_to_the_beginning(path: str) -> None:
    """Also what only browsers take for another host."""
    assert local_path(path) == ROOT


@given(st.text(alphabet="/\\.:@?#%ae2h\t console"))
def test_no_text_leads_to_another_host_or_out_of_the_console(text: str) -> None:
    """As browsers join addresses."""
    target = urlsplit(urljoin(HERE, local_path(f"/console/{text}")))
    assert (target.netloc, target.path.startswith(ROOT)) == ("control-plane.example", True)


def test_a_long_path_is_refused_quickly() -> None:
    """The pattern takes no time that grows faster than the text."""
    assert local_path("/console/" + "a/" * 990 + "!") == ROOT
