"""Reads `multipart/byteranges` with Python's own parser of mail, which knows nothing of ours."""

from email import message_from_bytes
from email.message import Message
from email.policy import HTTP
from typing import cast

from attrs import field, frozen


@frozen
class RangePart:
    """One part of an answer."""

    content_range: str
    media_type: str
    content: bytes = field(repr=False)


def range_parts(content_type: str, body: bytes) -> list[RangePart]:
    """Return the parts of a body, in their order; a defect of its form is an error."""
    message = message_from_bytes(
        b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body, policy=HTTP
    )
    assert message.get_content_type() == "multipart/byteranges"
    assert message.defects == []
    assert message.is_multipart()
    return [_part(cast("Message[str, str]", part)) for part in message.iter_parts()]


def _part(part: "Message[str, str]") -> RangePart:
    assert part.defects == []
    assert sorted(name.lower() for name in part) == ["content-range", "content-type"]
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return RangePart(part["Content-Range"], part["Content-Type"], content)
