"""URI references, as `Location` and `Link` hold them, resolved against the URL that was asked.

RFC 3986 sections 4.1, 5.2 and 5.3. yarl's and urllib's own joins differ from it: both keep the
base's query under a reference of `?`, and both leave dot segments in a URL that has its own host.

- Any reference is read: a URL, `//host/path`, `/path`, `../path`, `path`, `?query`, nothing.
- Not a byte is escaped or unescaped, because a signature covers the bytes of the URL. Only the
  fragment, which is not sent, is dropped, and dot segments are resolved.
- Whatever HTTP libraries read in different ways is refused: a user name, a host that is not a plain
  name or IPv4 address, a backslash, anything but visible ASCII, a scheme without a host.
"""

import re
from typing import Final

from yarl import URL

from shared.outside_bytes import Party, reads_bytes_of
from shared.registry_host import MAX_PORT, InvalidRegistryHostError, RegistryHost

MAX_REFERENCE_CHARACTERS: Final = 8000  # signed URLs reach 4,000

# RFC 3986 appendix B, on visible ASCII without the backslash.
_REFERENCE: Final = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):)?"
    r"(?://(?P<authority>[^/?#]*))?(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:\#.*)?"
)
_CHARACTERS: Final = re.compile(r"[!-\[\]-~]*")
_AUTHORITY: Final = re.compile(r"(?P<host>[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{0,5}))?")
_SCHEMES: Final = frozenset({"http", "https"})


class InvalidReferenceError(ValueError):
    """The text leads nowhere that may be asked."""


@reads_bytes_of(Party.REGISTRY)
def resolve(base: URL, reference: str) -> URL:
    """Return where a reference leads from `base`, an http(s) URL, without a fragment.

    Raises `InvalidReferenceError`.
    """
    match = _REFERENCE.fullmatch(reference)
    if (
        match is None
        or len(reference) > MAX_REFERENCE_CHARACTERS
        or not _CHARACTERS.fullmatch(reference)
    ):
        raise InvalidReferenceError
    scheme, authority, path, query = match.group("scheme", "authority", "path", "query")
    if authority is None:
        if scheme is not None:  # `https:a` has no host; RFC 3986 section 5.4.2 refuses it, too
            raise InvalidReferenceError
        root = f"{base.scheme}://{base.raw_authority}"
        if not path:
            query = base.raw_query_string if query is None else query
            return _url(root, base.raw_path, query)
        if not path.startswith("/"):
            path = _merged(base.raw_path, path)
    else:
        root = f"{_scheme(scheme or base.scheme)}://{_plain(authority)}"
    return _url(root, _without_dot_segments(path), query)


def _url(root: str, path: str, query: str | None) -> URL:
    return URL(f"{root}{path}?{query}" if query else f"{root}{path}", encoded=True)


def _scheme(scheme: str) -> str:
    if scheme.lower() not in _SCHEMES:
        raise InvalidReferenceError
    return scheme.lower()


def _plain(authority: str) -> str:
    """Return an authority that every library reads in the same way."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None or (match["port"] and not 0 < int(match["port"]) <= MAX_PORT):
        raise InvalidReferenceError
    try:
        # Buckets' names may hold underscores; otherwise it is what a registry's host is.
        RegistryHost.parse(match["host"].lower().replace("_", "x"))
    except InvalidRegistryHostError:
        raise InvalidReferenceError from None
    return f"{match['host']}:{match['port']}" if match["port"] else match["host"]


def _merged(base_path: str, path: str) -> str:
    """Return a relative path behind the base's last slash (section 5.2.3)."""
    return base_path[: base_path.rfind("/") + 1] + path if base_path else f"/{path}"


def _without_dot_segments(path: str) -> str:
    """Return an absolute or empty path without `.` and `..` (section 5.2.4).

    `%2e` is no dot segment here: its bytes are the signer's.
    """
    if not path:
        return path
    *before, last = path.split("/")[1:]
    kept: list[str] = []
    for segment in [*before, last]:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if last in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
