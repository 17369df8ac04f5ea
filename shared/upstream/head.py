"""Rewrites a head that frames its body twice into one that says it once, if that is safe.

aiohttp's parser refuses such a head, but real servers and proxies send it. The body is compared
with a digest, so a wrongly framed body never passes for another one. How each is read (RFC 9112
section 6.3, RFC 9110 section 8.6):

| head | body |
|---|---|
| several Content-Length, or one that lists several, all equal | that long |
| Transfer-Encoding that ends in `chunked`, beside any Content-Length | chunked: it overrides |
| Transfer-Encoding of nothing but `identity`, beside Content-Length | that long |
| lengths that differ, or are no numbers; other codings | left as it is: the parser refuses it |

A reader that understands the framing otherwise than the host would find the rest of the body where
it expects the next answer. So the connection is used for nothing else.
"""

import re
from typing import Final

from shared.outside_bytes import Party, reads_bytes_of

END_OF_HEAD: Final = re.compile(rb"\n\r?\n")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_FRAMING: Final = re.compile(
    rb"^(content-length|transfer-encoding)[ \t]*:([^\r\n]*)\r?\n([ \t])?",
    re.IGNORECASE | re.MULTILINE,
)
_LENGTHS, _CODINGS = b"content-length", b"transfer-encoding"


@reads_bytes_of(Party.REGISTRY)
def framed_once(head: bytes) -> bytes:
    """Return a whole head, with its empty line, that frames its body once; else the same bytes."""
    fields = _FRAMING.findall(head)
    if len(fields) < 2 and not any(b"," in value for _, value, _ in fields):  # noqa: PLR2004
        return head
    if any(folded for _, _, folded in fields):  # it goes on in the next line
        return head
    lengths, codings = _values(fields, _LENGTHS), _values(fields, _CODINGS)
    is_chunked, is_identity = codings[-1:] == [b"chunked"], set(codings) == {b"identity"}
    if is_chunked and lengths:
        return _without(head, _LENGTHS)
    if codings and not is_identity:
        return head
    if len(set(lengths)) != 1 or not _LENGTH.fullmatch(lengths[0]):
        return head
    bare = _without(_without(head, _CODINGS), _LENGTHS)
    first_line = bare.index(b"\n") + 1
    return bare[:first_line] + b"Content-Length: " + lengths[0] + b"\r\n" + bare[first_line:]


def _values(fields: list[tuple[bytes, bytes, bytes]], name: bytes) -> list[bytes]:
    return [
        each.strip().lower()
        for field, value, _ in fields
        if field.lower() == name
        for each in value.split(b",")
    ]


def _without(head: bytes, name: bytes) -> bytes:
    return _FRAMING.sub(lambda field: b"" if field[1].lower() == name else field[0], head)
