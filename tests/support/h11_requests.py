"""What h11, which is not the facade's parser, reads in the bytes of a connection."""

from typing import Final

import h11
from attrs import frozen

from facade.devices.device_connection import MAX_HEAD_BYTES

_FRAMING: Final = {b"content-length", b"transfer-encoding"}  # h11 writes these in its own way


@frozen
class ReadRequest:
    """A request, and how much of its body has come."""

    method: bytes
    target: bytes
    version: bytes
    fields: tuple[tuple[bytes, bytes], ...]  # in their order, names in lower case; not framing
    body_bytes: int
    is_whole: bool


def fields_but_framing(
    fields: list[tuple[bytes, bytes]],
) -> tuple[tuple[bytes, bytes], ...]:
    """Return the fields that two parsers should read in the same way."""
    lower = ((name.lower(), value) for name, value in fields)
    return tuple((name, value) for name, value in lower if name not in _FRAMING)


def requests_by_h11(data: bytes) -> list[ReadRequest]:
    """Return the requests up to the first one that is none, or that asks for a tunnel."""
    found = list[ReadRequest]()
    while data := data.lstrip(b"\r\n"):  # RFC 9112 section 2.2; h11 skips none
        request, data = _first_of(data)
        if request is None:
            break
        found.append(request)
    return found


def _first_of(data: bytes) -> tuple[ReadRequest | None, bytes]:
    """Return the first request, and what is behind it."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
    connection.receive_data(data)
    head: h11.Request | None = None
    body_bytes, is_whole = 0, False
    try:
        while (
            not (is_whole or _is_tunnel(head))
            and (event := connection.next_event()) is not h11.NEED_DATA
        ):
            match event:
                case h11.Request():
                    head = event
                case h11.Data():
                    body_bytes += len(event.data)
                case _:
                    is_whole = True
    except h11.RemoteProtocolError:
        return None, b""
    if head is None:
        return None, b""
    fields = fields_but_framing(head.headers.raw_items())
    read = ReadRequest(head.method, head.target, head.http_version, fields, body_bytes, is_whole)
    return read, connection.trailing_data[0] if is_whole else b""


def _is_tunnel(head: h11.Request | None) -> bool:
    return head is not None and head.method == b"CONNECT"
