"""Redirects, followed by hand: where the next request may go, and whether it is the same origin."""

import re
from typing import Final

from yarl import URL

from shared.registry_host import InvalidRegistryHostError, RegistryHost
from shared.upstream.egress import EgressRule
from shared.upstream.errors import RedirectRefusedError

REDIRECT_STATUSES: Final = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS: Final = 5  # registry -> store -> edge needs two
MAX_LOCATION_CHARACTERS: Final = 8000  # signed URLs reach 4,000

# A URL, one without its scheme, or an absolute path (RFC 3986 section 4.2). What URL libraries
# read in different ways (`https:///x`, backslashes, user names, brackets) fits none of them.
_LOCATION: Final = re.compile(
    r"(?:(?:https?:)?//(?P<host>[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?(?:[/?#][!-~]*)?)"
    r"|/(?!/)[!-~]*",
    re.ASCII | re.IGNORECASE,
)


def origin(url: URL) -> tuple[str, str | None, int | None]:
    """Return scheme, lower-case host and effective port (RFC 6454 section 4)."""
    return url.scheme, url.raw_host.lower() if url.raw_host else None, url.port


def next_hop(current: URL, location: str | None, *, rule: EgressRule, followed: int) -> URL:
    """Return where an answer's `Location` leads, verbatim, or raise `RedirectRefusedError`.

    `followed` is the number of redirects already followed in this chain. The URL's address is
    judged when it is resolved; this decides on what stands in the URL.
    """
    if followed >= MAX_REDIRECTS:
        message = f"the registry redirects more than {MAX_REDIRECTS} times"
        raise RedirectRefusedError(message)
    target = current.join(_parse(location)).with_fragment(None)
    if target.scheme != "https" and not rule.plain_http:
        message = "the registry redirects to something that is not https"
        raise RedirectRefusedError(message)
    return target


def _parse(location: str | None) -> URL:
    match = _LOCATION.fullmatch(location or "")
    if (
        location is None
        or match is None
        or len(location) > MAX_LOCATION_CHARACTERS
        or "\\" in location
    ):
        message = "the registry redirects without a usable Location"
        raise RedirectRefusedError(message)
    try:
        if match["host"]:
            # Buckets' names may hold underscores; otherwise it is what a registry's host is.
            RegistryHost.parse(match["host"].lower().replace("_", "x"))
        # A signature covers the bytes of the URL: nothing in it is encoded anew.
        url = URL(location, encoded=True)
        if url.port == 0:
            raise InvalidRegistryHostError
    except ValueError:  # InvalidRegistryHostError, or a port beyond the last
        message = "the registry redirects to something that is not a plain host"
        raise RedirectRefusedError(message) from None
    return url
