"""Answers of a registry that does ranges, lengths and breaks in a way of its own."""

import asyncio
import secrets

from tests.support.simulators.behaviour import Ranged
from tests.support.simulators.stored_content import StoredContent, end_answer, write_plain
from tests.support.simulators.wire import RecordedRequest, Wire


async def write_ranged(
    stored: StoredContent, behaviour: Ranged, request: RecordedRequest, wire: Wire
) -> None:
    """Answer a GET: the whole, a range, or 416."""
    span, total = stored.asked_span(request), len(stored.content)
    asked = request.header("Range") or ""
    kind = "open" if asked.endswith("-") else "suffix" if asked.startswith("bytes=-") else "closed"
    if span is None:
        await _write_whole(stored, behaviour, wire)
    elif span[0] >= total or behaviour.refuses in (kind, "all"):
        await _refuse(behaviour, total, wire)
    else:
        first, end = span[0], total if behaviour.ignores_ends else span[1]
        end = min(end, first + behaviour.at_most if behaviour.at_most else end)
        await _write_span(stored, behaviour, first, end, wire)


async def _refuse(behaviour: Ranged, total: int, wire: Wire) -> None:
    named = f"bytes */{total}" if behaviour.refusal_names_total else "bytes */*"
    await write_plain(wire, 416, b"", (("Content-Range", named),))


async def _write_whole(stored: StoredContent, behaviour: Ranged, wire: Wire) -> None:
    is_chunked = not behaviour.names_length and behaviour.framing == "chunked"
    more = _etag(behaviour)
    if is_chunked:
        more.append(("Transfer-Encoding", "chunked"))
    elif not behaviour.names_length:
        more.append(("Connection", "close"))
    total = len(stored.content)
    headers = stored.headers(total if behaviour.names_length else None, *more)
    await wire.head(200, _said(behaviour, headers))
    breaks = _breaks(stored, behaviour, 0, total)
    body = stored.content[: behaviour.breaks_at if breaks else total]
    if is_chunked and body:
        await wire.write(b"%x\r\n%b\r\n" % (len(body), body))
    else:
        await _write_paced(behaviour, body, wire)
    if breaks and not (is_chunked and behaviour.then == "end"):
        await end_answer(wire, behaviour.then)
    elif is_chunked:
        await wire.write(b"0\r\n\r\n")
    elif not behaviour.names_length:
        wire.close()


async def _write_span(
    stored: StoredContent, behaviour: Ranged, first: int, end: int, wire: Wire
) -> None:
    total = len(stored.content) + behaviour.total_off if behaviour.names_total else "*"
    more = _etag(behaviour)
    match behaviour.described:
        case "range":
            more.append(("Content-Range", f"bytes {first}-{end - 1}/{total}"))
        case "multipart":
            more.append(("Content-Type", "multipart/byteranges; boundary=x"))
        case "nothing":
            pass
    await wire.head(206, _said(behaviour, stored.headers(end - first, *more)))
    breaks = _breaks(stored, behaviour, first, end)
    body = stored.content[first : behaviour.breaks_at if breaks else end]
    await _write_paced(behaviour, body, wire)
    if breaks:
        await end_answer(wire, behaviour.then)


async def _write_paced(behaviour: Ranged, body: bytes, wire: Wire) -> None:
    if behaviour.wrong != "none":
        wrong = bytearray(body)
        wrong[0 if behaviour.wrong == "first" else -1] ^= 1
        body = bytes(wrong)
    if not behaviour.pause_seconds:
        await wire.write(body)
        return
    for start in range(0, len(body), behaviour.piece_bytes):
        await asyncio.sleep(behaviour.pause_seconds)
        await wire.write(body[start : start + behaviour.piece_bytes])


def _said(behaviour: Ranged, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return headers as this registry says them."""
    if behaviour.names_digest:
        return headers
    return [each for each in headers if each[0] != "Docker-Content-Digest"]


def _etag(behaviour: Ranged) -> list[tuple[str, str]]:
    return [("ETag", f'"{secrets.token_hex(4)}"')] if behaviour.etags else []


def _breaks(stored: StoredContent, behaviour: Ranged, first: int, end: int) -> bool:
    """Tell whether the answer is cut, and count that."""
    at = behaviour.breaks_at
    breaks = at is not None and first <= at < end and stored.breaks_left > 0
    stored.breaks_left -= breaks
    return breaks
