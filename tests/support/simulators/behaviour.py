"""How a simulated registry answers the GET of one digest, in the ways in which real ones fail."""

import asyncio
from typing import Literal

from attrs import field, frozen


@frozen
class Honest:
    """The right bytes, their length, and ranges honoured."""


@frozen
class FewerBytes:
    """Promises the whole length, sends `missing` fewer, then closes, resets, or says nothing."""

    missing: int = 1
    then: Literal["close", "reset", "stay"] = "close"


@frozen
class MoreBytes:
    """Sends `extra` behind the right bytes; `counted`: Content-Length says so.

    Uncounted bytes lie on a kept-alive connection, where the next answer is expected;
    `pause_seconds` later if not 0.
    """

    extra: bytes = b"surplus"
    counted: bool = False
    pause_seconds: float = 0


@frozen
class OtherBytes:
    """As many bytes, but the last one is wrong."""


@frozen
class Encoded:
    """The content in gzip, and says so; `declared=False`: with the header missing."""

    declared: bool = True
    header: str = "Content-Encoding"


@frozen
class WebPage:
    """200 with an HTML page, as captive portals and login pages do."""

    page: bytes = b"<!doctype html><title>Sign in</title>"


@frozen
class NoLength:
    """The right bytes without Content-Length: chunked, or ended by closing.

    `head_length`: whether HEAD names it all the same. `missing`: ends that many bytes early.
    """

    framing: Literal["chunked", "close"] = "chunked"
    head_length: bool = True
    missing: int = 0


@frozen
class TypedAs:
    """The right bytes with another Content-Type, or with several, or with none."""

    content_types: tuple[str, ...] = ("application/octet-stream",)


@frozen
class BreaksAt:
    """Sends bytes up to `byte` (an absolute offset), then resets, `times` times; later honest.

    `ranges`: `honoured` resumes with 206, `wrong` answers 206 from another byte, `other_total` 206
    with another total; `ignored` sends the whole with 200, `other_beginning` the whole with another
    first byte, `other_length` the whole and a byte more.
    """

    byte: int
    times: int = 1
    ranges: Literal[
        "honoured", "wrong", "other_total", "ignored", "other_beginning", "other_length"
    ] = "honoured"


@frozen
class Ranged:
    """The right bytes, and ranges as this registry can do them.

    Answers that reach `breaks_at` (an absolute offset) are cut there, `times` times: by a reset, by
    closing, by a clean end of their framing, or by silence. `names_length` False: neither a whole
    answer nor HEAD says how long it is (chunked, or ended by closing). `names_total` False: `bytes
    a-b/*`. `at_most`: a range is never longer, whatever was asked for. `ignores_ends`: every range
    goes on to the end of the content. `refuses`: open ranges, last bytes (`-N`), or all ranges, are
    answered with 416, with or without the total. `described`: what a 206 says of itself.
    `total_off`: by how much the total of a range differs from what there is. There are
    `pause_seconds` before each `piece_bytes` of a body. `wrong`: this byte of each body is another.
    """

    breaks_at: int | None = None
    times: int = 1
    then: Literal["reset", "close", "end", "stay"] = "reset"
    names_length: bool = True
    names_total: bool = True
    framing: Literal["chunked", "close"] = "chunked"
    at_most: int | None = None
    ignores_ends: bool = False
    refuses: Literal["none", "open", "suffix", "all"] = "none"
    refusal_names_total: bool = True
    described: Literal["range", "nothing", "multipart"] = "range"
    total_off: int = 0
    etags: bool = False  # another one with each answer
    names_digest: bool = True
    piece_bytes: int = 64 * 1024
    pause_seconds: float = 0.0
    wrong: Literal["none", "first", "last"] = "none"


@frozen
class BreaksEvery:
    """Honours ranges, and resets behind every `step` bytes as long as there are more."""

    step: int


@frozen
class RedirectsTo:
    """Redirects to this URL, verbatim."""

    location: str
    status: int = 307


@frozen
class Answers:
    """This status, these headers and this body; Content-Length is added."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b"upstream text that nobody may see"


@frozen
class RawBytes:
    """Writes exactly these bytes and closes, or `stays` silent: whatever HTTP does not allow.

    `late` bytes come a moment later, when the client has the first ones.
    """

    answer: bytes
    stays: bool = False
    late: bytes = b""


@frozen
class Endless:
    """Writes `begin`, and then `again` for as long as the client takes it.

    With a pause before each, or as fast as it can.
    """

    begin: bytes
    again: bytes
    pause_seconds: float = 0.0


@frozen
class Slow:
    """The right bytes in pieces with a pause before each, and ranges honoured."""

    piece_bytes: int = 1024
    pause_seconds: float = 0.05


@frozen
class Holds:
    """As `Honest`, but keeps what lies behind `byte` to itself until `gate` is open.

    `names_length` False: it is chunked, HEAD names no length, and ranges are ignored. `holds_head`:
    it says nothing at all until then.
    """

    byte: int = 0
    gate: asyncio.Event = field(factory=asyncio.Event, eq=False)
    names_length: bool = True
    holds_head: bool = False


@frozen
class Stalls:
    """Says nothing more behind `after` bytes; None: not even the headers."""

    after: int | None = None


@frozen
class InTurn:
    """Answers each GET in another way, in this order, and in the last one from then on."""

    turns: tuple["Behaviour", ...]


Behaviour = (
    Honest
    | InTurn
    | FewerBytes
    | MoreBytes
    | OtherBytes
    | Encoded
    | WebPage
    | NoLength
    | TypedAs
    | BreaksAt
    | Ranged
    | BreaksEvery
    | RedirectsTo
    | Answers
    | RawBytes
    | Endless
    | Slow
    | Holds
    | Stalls
)
