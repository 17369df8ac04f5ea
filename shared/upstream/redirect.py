"""Redirects, followed by hand: where the next request may go, and whether it is the same origin."""

from typing import Final

from yarl import URL

from shared.outside_bytes import Party, reads_bytes_of
from shared.upstream.egress import EgressRule
from shared.upstream.errors import RedirectRefusedError
from shared.upstream.uri_reference import InvalidReferenceError, resolve

REDIRECT_STATUSES: Final = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS: Final = 5  # registry -> store -> edge needs two


def origin(url: URL) -> tuple[str, str | None, int | None]:
    """Return scheme, lower-case host and effective port (RFC 6454 section 4)."""
    return url.scheme, url.raw_host.lower() if url.raw_host else None, url.port


@reads_bytes_of(Party.REGISTRY)
def next_hop(current: URL, location: str | None, *, rule: EgressRule, followed: int) -> URL:
    """Return where an answer's `Location` leads, verbatim, or raise `RedirectRefusedError`.

    `followed` is the number of redirects already followed in this chain. Only the URL's text is
    judged here; its address is judged when it is resolved.
    """
    if followed >= MAX_REDIRECTS:
        raise RedirectRefusedError(f"the registry redirects more than {MAX_REDIRECTS} times")
    if not location:  # Go's client, too, takes an empty one for none
        raise RedirectRefusedError("the registry redirects without a Location")
    try:
        target = resolve(current, location)
    except InvalidReferenceError:
        raise RedirectRefusedError(
            "the registry redirects to something that is not a plain URL"
        ) from None
    if target.scheme != "https" and not rule.plain_http:
        raise RedirectRefusedError("the registry redirects to something that is not https")
    return target
