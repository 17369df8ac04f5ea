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

_VISIBLE: Final = re.compile(r"[!-~]+", re.ASCII)


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
    if target.scheme != "https" and not (target.scheme == "http" and rule.plain_http):
        message = "the registry redirects to something that is not https"
        raise RedirectRefusedError(message)
    if target.raw_user is not None or target.raw_password is not None:
        message = "the registry redirects to a URL with a user name in it"
        raise RedirectRefusedError(message)
    _require_plain_host(target)
    return target


def _parse(location: str | None) -> URL:
    if (
        not location
        or len(location) > MAX_LOCATION_CHARACTERS
        or not _VISIBLE.fullmatch(location)
        or "\\" in location
    ):
        message = "the registry redirects without a usable Location"
        raise RedirectRefusedError(message)
    try:
        # A signature covers the bytes of the URL: nothing in it is encoded anew.
        return URL(location, encoded=True)
    except ValueError:
        message = "the registry redirects to something that is not a URL"
        raise RedirectRefusedError(message) from None


def _require_plain_host(target: URL) -> None:
    # Names of buckets may hold underscores, otherwise a registry's host is what is wanted here.
    host = (target.raw_host or "").lower().replace("_", "x")
    try:
        RegistryHost.parse(host)
        if not target.port:
            raise InvalidRegistryHostError
    except (InvalidRegistryHostError, ValueError):
        message = "the registry redirects to something that is not a plain host"
        raise RedirectRefusedError(message) from None
