"""A registry's list of referrers, read for its digests alone; and the index that we answer. Pure.

Nothing on a registry's list is believed: each digest is fetched and looked at. So its types, sizes
and annotations are not even read.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Final

import orjson
from attrs import frozen

from facade.content.json_fields import UnreadableJsonError, elements_of, fields_of
from facade.content.referrer import Referrer
from shared.oci import OCI_INDEX, Digest, InvalidDigestError
from shared.outside_bytes import Party, reads_bytes_of

# Of one subject. A scanner that attaches three reports a day takes four years for so many.
MAX_LISTED: Final = 4096

_MANIFESTS: Final = "manifests"
_HEAD: Final = b'{"schemaVersion":2,"mediaType":"%b","manifests":[' % OCI_INDEX.encode()


@frozen
class ListedDigests:
    """What a page of a registry's list names."""

    digests: tuple[Digest, ...]
    unreadable: int = 0  # entries that name no digest
    is_cut: bool = False  # it has more than `MAX_LISTED` entries


@reads_bytes_of(Party.REGISTRY)
def read_listed(body: bytes) -> ListedDigests | None:
    """Return the digests on a registry's list, each once; None if this is no image index.

    The bounds of a manifest hold of it, too: a longer list, or one with more in it, is none.
    """
    try:
        fields = [each for each in fields_of(body, longest=len(body)) if each.name == _MANIFESTS]
        if len(fields) != 1 or fields[0].value is None:
            return None
        return _listed(fields[0].value)
    except UnreadableJsonError:
        return None


def _listed(entries: bytes) -> ListedDigests:
    if entries == b"null":  # Go's for no entries
        return ListedDigests(())
    digests = [_digest(each) for each in islice(elements_of(entries), MAX_LISTED + 1)]
    known = dict.fromkeys(each for each in digests if each is not None)
    return ListedDigests(tuple(known), digests.count(None), is_cut=len(digests) > MAX_LISTED)


def index_of(referrers: Iterable[Referrer]) -> bytes:
    """Return an OCI image index of these."""
    return b"%b%b]}" % (_HEAD, b",".join(each.descriptor for each in referrers))


def _digest(entry: bytes) -> Digest | None:
    try:
        named = [each.value for each in fields_of(entry) if each.name == "digest"]
        text = orjson.loads(named[0]) if len(named) == 1 and named[0] is not None else None
        return Digest.parse(text) if isinstance(text, str) else None
    except (UnreadableJsonError, orjson.JSONDecodeError, InvalidDigestError):
        return None
