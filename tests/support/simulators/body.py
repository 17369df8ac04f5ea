"""Writes the answer for one content, behaving as it was told."""

import asyncio
import gzip
from typing import assert_never

from tests.support.simulators.behaviour import (
    Answers,
    Behaviour,
    BreaksAt,
    BreaksEvery,
    Encoded,
    Endless,
    FewerBytes,
    Holds,
    Honest,
    InTurn,
    MoreBytes,
    NoLength,
    OtherBytes,
    Ranged,
    RawBytes,
    RedirectsTo,
    Slow,
    Stalls,
    TypedAs,
    WebPage,
)
from tests.support.simulators.ranged_body import write_ranged
from tests.support.simulators.stored_content import (
    RANGE,
    StoredContent,
    end_answer,
    write_plain,
)
from tests.support.simulators.wire import RecordedRequest, Wire

WRITE_BYTES = 64 * 1024  # of what has no end, at once

__all__ = ["StoredContent", "write_content", "write_plain"]


async def write_content(stored: StoredContent, request: RecordedRequest, wire: Wire) -> None:
    """Answer a GET or HEAD of the content."""
    if request.method == "HEAD":
        await _write_head_answer(stored, stored.head or stored.get, request, wire)
    else:
        await _write_get_answer(stored, stored.next_get(), request, wire)


async def _write_head_answer(
    stored: StoredContent, behaviour: Behaviour, request: RecordedRequest, wire: Wire
) -> None:
    length: int | None = len(stored.content)
    match behaviour:
        case Answers() | RedirectsTo() | RawBytes() | Endless():
            await _write_fixed(behaviour, request, wire)
        case Stalls(after=None):
            await wire.until_peer_left()
        case NoLength(head_length=False) | Ranged(names_length=False) | Holds(names_length=False):
            await wire.head(200, [*stored.headers(None), ("Connection", "close")])
            wire.close()
        case Encoded(header=header):
            await wire.head(200, stored.headers(length, (header, "gzip")))
        case TypedAs(content_types=content_types):
            await wire.head(200, _typed_headers(stored, content_types))
        case WebPage(page=page):
            await wire.head(
                200, [("Content-Type", "text/html"), ("Content-Length", str(len(page)))]
            )
        case _:
            await wire.head(200, stored.headers(length))


def _typed_headers(stored: StoredContent, content_types: tuple[str, ...]) -> list[tuple[str, str]]:
    return [
        *(("Content-Type", content_type) for content_type in content_types),
        ("Content-Length", str(len(stored.content))),
    ]


async def _write_fixed(
    behaviour: Answers | RedirectsTo | RawBytes | Endless, request: RecordedRequest, wire: Wire
) -> None:
    match behaviour:
        case Answers(status=status, headers=headers, body=body):
            await wire.head(status, (*headers, ("Content-Length", str(len(body)))))
            if request.method != "HEAD":
                await wire.write(body)
        case RedirectsTo(location=location, status=status):
            page = b"<a href>Temporary Redirect</a>"  # as Go's http.Redirect writes
            await wire.head(status, (("Location", location), ("Content-Length", str(len(page)))))
            if request.method != "HEAD":
                await wire.write(page)
        case RawBytes(answer=answer, stays=stays, late=late):
            await wire.write(answer)
            if late:
                await wire.until_read()
                await wire.write(late)
            await end_answer(wire, "stay" if stays else "close")
        case Endless(begin=begin, again=again, pause_seconds=pause):
            await wire.write(begin)
            while True:  # until the client leaves
                await asyncio.sleep(pause)
                await wire.write(again if pause else again * (WRITE_BYTES // len(again)))
        case _ as unreachable:
            assert_never(unreachable)


async def _write_get_answer(  # noqa: C901, PLR0912, PLR0915 - a table: one case for each behaviour
    stored: StoredContent, behaviour: Behaviour, request: RecordedRequest, wire: Wire
) -> None:
    content = stored.content
    match behaviour:
        case Honest():
            await _write_range(stored, request, wire)
        case FewerBytes(missing=missing, then=then):
            await wire.head(200, stored.headers(len(content)))
            await wire.write(content[: len(content) - missing])
            await end_answer(wire, then)
        case MoreBytes(extra=extra, counted=counted, pause_seconds=pause):
            await wire.head(200, stored.headers(len(content) + (len(extra) if counted else 0)))
            if pause:
                await wire.write(content)
                await asyncio.sleep(pause)
                await wire.write(extra)
            else:
                await wire.write(content + extra)
        case OtherBytes():
            await wire.head(200, stored.headers(len(content)))
            await wire.write(content[:-1] + bytes([content[-1] ^ 1]))
        case Encoded(declared=declared, header=header):
            body = gzip.compress(content)
            coding = ((header, "gzip"),) if declared else ()
            await wire.head(200, stored.headers(len(body), *coding))
            await wire.write(body)
        case WebPage(page=page):
            await write_plain(wire, 200, page, (("Content-Type", "text/html; charset=utf-8"),))
        case NoLength():
            await _write_without_length(stored, behaviour, wire)
        case TypedAs(content_types=content_types):
            await wire.head(200, _typed_headers(stored, content_types))
            await wire.write(content)
        case BreaksAt():
            await _write_breaking(stored, behaviour, request, wire)
        case Ranged():
            await write_ranged(stored, behaviour, request, wire)
        case BreaksEvery(step=step):
            await _write_step(stored, step, request, wire)
        case Answers() | RedirectsTo() | RawBytes() | Endless():
            await _write_fixed(behaviour, request, wire)
        case Holds(names_length=False):
            await _write_held_chunks(stored, behaviour, wire)
        case Holds(holds_head=True, gate=gate):
            await gate.wait()
            await _write_range(stored, request, wire)
        case Slow() | Holds():
            await _write_paced(stored, behaviour, request, wire)
        case Stalls(after=after):
            if after is not None:
                await wire.head(200, stored.headers(len(content)))
                await wire.write(content[:after])
            await wire.until_peer_left()
        case InTurn():
            raise AssertionError("turns are not nested")
        case _ as unreachable:
            assert_never(unreachable)


async def _write_range(stored: StoredContent, request: RecordedRequest, wire: Wire) -> None:
    """Answer honestly: the whole, the range asked for, or 416."""
    await wire.write((await _write_range_head(stored, request, wire))[1])


async def _write_range_head(
    stored: StoredContent, request: RecordedRequest, wire: Wire
) -> tuple[int, bytes]:
    """Write an honest head; return the first byte's offset and the body that belongs to it."""
    total, asked = len(stored.content), stored.asked_span(request)
    if asked is None:
        await wire.head(200, stored.headers(total))
        return 0, stored.content
    first, last = asked[0], asked[1] - 1
    if first >= total:
        await write_plain(wire, 416, b"", (("Content-Range", f"bytes */{total}"),))
        return first, b""
    span = ("Content-Range", f"bytes {first}-{last}/{total}")
    await wire.head(206, stored.headers(last - first + 1, span))
    return first, stored.content[first : last + 1]


async def _write_paced(
    stored: StoredContent, behaviour: Slow | Holds, request: RecordedRequest, wire: Wire
) -> None:
    first, body = await _write_range_head(stored, request, wire)
    match behaviour:
        case Slow(piece_bytes=piece_bytes, pause_seconds=pause):
            for start in range(0, len(body), piece_bytes):
                await asyncio.sleep(pause)
                await wire.write(body[start : start + piece_bytes])
        case Holds(byte=byte, gate=gate):
            given = max(0, byte - first)
            await wire.write(body[:given])
            await gate.wait()
            await wire.write(body[given:])


async def _write_held_chunks(stored: StoredContent, behaviour: Holds, wire: Wire) -> None:
    await wire.head(200, stored.headers(None, ("Transfer-Encoding", "chunked")))
    given, held = stored.content[: behaviour.byte], stored.content[behaviour.byte :]
    await wire.write(b"%x\r\n%b\r\n" % (len(given), given))
    await behaviour.gate.wait()
    await wire.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(held), held))


async def _write_without_length(stored: StoredContent, behaviour: NoLength, wire: Wire) -> None:
    body = stored.content[: len(stored.content) - behaviour.missing]
    if behaviour.framing == "close":
        await wire.head(200, [*stored.headers(None), ("Connection", "close")])
        await wire.write(body)
        wire.close()
        return
    await wire.head(200, stored.headers(None, ("Transfer-Encoding", "chunked")))
    await wire.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n")


async def _write_breaking(
    stored: StoredContent, behaviour: BreaksAt, request: RecordedRequest, wire: Wire
) -> None:
    """Break while there are breaks left; then, or for what follows, treat ranges as told."""
    content, total = stored.content, len(stored.content)
    match = RANGE.fullmatch(request.header("Range") or "")
    asked = int(match[1]) if match else 0
    match behaviour.ranges if asked else "ignored":
        case "ignored":
            first = 0
        case "other_beginning":
            first, content = 0, bytes([content[0] ^ 1]) + content[1:]
        case "other_length":
            first, content, total = 0, content + b"+", total + 1
        case "wrong":
            first = asked - 1
        case "other_total":
            first, total = asked, total + 1
        case _:
            first = asked
    end = total
    if behaviour.ranges == "honoured" and match and match[2] and asked:
        end = min(total, int(match[2]) + 1)
    if asked and behaviour.ranges in ("honoured", "wrong", "other_total"):
        span = ("Content-Range", f"bytes {first}-{end - 1}/{total}")
        await wire.head(206, stored.headers(end - first, span))
    else:
        await wire.head(200, stored.headers(total))
    is_reached = first <= behaviour.byte and (behaviour.byte < end or end == total)
    if stored.breaks_left > 0 and is_reached:
        stored.breaks_left -= 1
        await _write_and_reset(content[first : behaviour.byte], wire)
        return
    await wire.write(content[first:end])


async def _write_step(
    stored: StoredContent, step: int, request: RecordedRequest, wire: Wire
) -> None:
    """Answer honestly up to the step's end."""
    match = RANGE.fullmatch(request.header("Range") or "")
    first, total = int(match[1]) if match else 0, len(stored.content)
    if match:
        span = ("Content-Range", f"bytes {first}-{total - 1}/{total}")
        await wire.head(206, stored.headers(total - first, span))
    else:
        await wire.head(200, stored.headers(total))
    await _write_and_reset(stored.content[first : first + step], wire)


async def _write_and_reset(content: bytes, wire: Wire) -> None:
    await wire.write(content)
    await end_answer(wire, "reset")
