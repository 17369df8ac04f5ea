"""The request for a list of what refers to a digest becomes one value, or is no such request.

`GET /v2/<host>/<repository>/referrers/<digest>?artifactType=<type>&last=<digest>`, OCI distribution
specification 1.1, "Listing Referrers". As for a pull, only the raw target is read, and before
anything is looked up. Whatever is not of this form is left to `pull_path`, which refuses it.
"""

import re
from typing import Final
from urllib.parse import quote, unquote

from attrs import frozen

from facade.values.pull_path import READ_METHODS, Pull, parse_request, path_of
from shared.oci import Digest, InvalidDigestError, Kind, Listing
from shared.outside_bytes import Party, reads_bytes_of

ARTIFACT_TYPE: Final = "artifactType"
LAST: Final = "last"  # the last digest of the page before, as `last` of a list of tags
MAX_ARTIFACT_TYPES: Final = 8  # a client filters by one; asked for several, it gets all of these
MAX_ARTIFACT_TYPE_CHARACTERS: Final = 255  # a media type (RFC 6838 section 4.2)

_ROUTE: Final = f"/{Listing.REFERRERS.value}/"
_ESCAPES: Final = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*", re.ASCII)


@frozen(cache_hash=True)
class ReferrersRequest:
    """What refers to a manifest, of some types or of all, behind a place in the list."""

    subject: Pull  # the manifest: who may pull it may ask what refers to it
    path: str  # as it was asked for, so that the next page is asked for in the same way
    artifact_types: frozenset[str] = frozenset()  # empty: all
    last: str | None = None  # as it was given

    def after(self) -> Digest | None:
        """Return the digest behind which the page begins; raise `InvalidDigestError`."""
        return Digest.parse(self.last) if self.last else None

    def next_target(self, after: Digest) -> str:
        """Return the target of the page behind a digest."""
        types = [f"{ARTIFACT_TYPE}={quote(each, safe='')}" for each in sorted(self.artifact_types)]
        return f"{self.path}?{'&'.join([*types, f'{LAST}={after}'])}"


@reads_bytes_of(Party.DEVICE)
def parse_referrers(method: str, raw_target: str) -> ReferrersRequest | None:
    """Return what is asked; None if it is something else. Never raises.

    A filter that cannot be read is none, which the answer shows: a client then filters by itself.
    """
    path = path_of(raw_target)
    head, route, reference = path.rpartition(_ROUTE)
    if method not in READ_METHODS or not route or not _is_digest(reference):
        return None
    subject = parse_request(method, f"{head}/{Kind.MANIFEST.value}/{reference}")
    if not isinstance(subject, Pull):
        return None
    given = _query(raw_target.partition("?")[2])
    types = [value for name, value in given if name == ARTIFACT_TYPE and value]
    last = next((value for name, value in given if name == LAST), None)
    return ReferrersRequest(subject, path, _filter(types), last)


def _filter(types: list[str]) -> frozenset[str]:
    is_readable = len(types) <= MAX_ARTIFACT_TYPES and all(map(_is_type, types))
    return frozenset(types) if is_readable else frozenset()


def _is_type(text: str) -> bool:
    return len(text) <= MAX_ARTIFACT_TYPE_CHARACTERS and text.isprintable()


def _is_digest(text: str) -> bool:
    try:
        Digest.parse(text)
    except InvalidDigestError:
        return False
    return True


def _query(query: str) -> list[tuple[str, str]]:
    """Return the parameters. `+` stays what it is: media types have it, and no spaces."""
    parameters = []
    for parameter in query.split("&"):
        name, _, value = parameter.partition("=")
        if _ESCAPES.fullmatch(value):
            parameters.append((name, unquote(value, errors="replace")))
        else:
            parameters.append((name, "\ufffd" * (MAX_ARTIFACT_TYPE_CHARACTERS + 1)))
    return parameters
