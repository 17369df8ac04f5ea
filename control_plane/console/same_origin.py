"""Whether a form was sent by a page of ours, as the browser says. Pure.

Every browser of today sends `Sec-Fetch-Site` over TLS and to this machine, and `Origin` with a
form. No script of another page can set either. A form that has neither is refused.
"""


def is_from_our_page(
    *, fetch_site: str | None, origin: str | None, host: str | None, public_url: str | None
) -> bool:
    """Tell whether the headers of a form's request say that a page of this console sent it.

    `public_url` is where browsers reach us, if it was configured; else it is what `host` says.
    """
    if fetch_site is not None and fetch_site != "same-origin":
        return False
    if origin is None:
        return fetch_site is not None
    scheme, _, authority = origin.lower().partition("://")
    if public_url is not None:
        expected, _, rest = public_url.lower().partition("://")
        return (scheme, authority) == (expected, rest.partition("/")[0])
    return host is not None and authority == host.lower()
