"""What an answer has beside its content: header fields, an id, and an error's body."""

import random
from typing import Final, Self

from aiohttp import web
from aiohttp.helpers import rfc822_formatted_time
from attrs import frozen

from facade.answers.distribution_errors import JSON_MEDIA_TYPE, ErrorAnswer
from shared.oci import Digest

SERVER_NAME: Final = "registry-facade"  # no version: nobody can look up exploits by it
ACCEPT_RANGES: Final = "Accept-Ranges"
RANGE_UNIT: Final = "bytes"
# A digest's bytes never change. `private`, because who may read them is decided for each request.
CACHE_CONTROL: Final = "private, max-age=31536000, immutable"


def answer_headers(digest: Digest, media_type: str | None, request_id: str) -> dict[str, str]:
    """Return the header fields that do not depend on the answer's length."""
    headers = {
        "Docker-Content-Digest": str(digest),
        "ETag": f'"{digest}"',
        "Cache-Control": CACHE_CONTROL,
        "Server": SERVER_NAME,
    }
    if media_type is not None:
        headers["Content-Type"] = media_type
    headers["X-Request-Id"] = request_id
    return headers


def list_headers(media_type: str, request_id: str) -> dict[str, str]:
    """Return the header fields of a list that no digest proves: nobody keeps it."""
    return {
        "Cache-Control": "no-store",
        "Server": SERVER_NAME,
        "Content-Type": media_type,
        "X-Request-Id": request_id,
    }


def new_request_id() -> str:
    """Return an id for an answer and its log line, to find one by the other. It is no secret."""
    return f"{random.getrandbits(64):016x}"


def error_response(answer: ErrorAnswer, request_id: str) -> web.Response:
    """Return the answer as OCI JSON."""
    response = web.Response(
        status=answer.status,
        body=answer.body(request_id),
        headers={
            **answer.headers,
            "Content-Type": JSON_MEDIA_TYPE,
            "X-Request-Id": request_id,
            "Server": SERVER_NAME,
        },
    )
    if answer.closes:
        response.force_close()
    return response


@frozen
class AnswerHead:
    """The head that aiohttp writes for a whole content, without its request id and its date."""

    media_type: str
    length: int
    _to_request_id: bytes
    _to_date: bytes

    @classmethod
    def of(cls, digest: Digest, media_type: str, length: int, *, in_ranges: bool = False) -> Self:
        """Return the head of the answer with these bytes; `in_ranges`: they can be had so, too."""
        fields = answer_headers(digest, media_type, request_id="")
        lines = [f"{name}: {value}" for name, value in fields.items()]  # X-Request-Id is the last
        to_request_id = "\r\n".join(["HTTP/1.1 200 OK", *lines])
        accepts = f"\r\n{ACCEPT_RANGES}: {RANGE_UNIT}" if in_ranges else ""
        to_date = f"{accepts}\r\nContent-Length: {length}\r\nDate: "
        return cls(media_type, length, to_request_id.encode(), to_date.encode())

    def bytes_now(self, request_id: str) -> bytes:
        """Return the head of an answer that is given now, up to its empty line."""
        date = rfc822_formatted_time()
        return b"%b%b%b%b\r\n\r\n" % (
            self._to_request_id,
            request_id.encode(),
            self._to_date,
            date.encode(),
        )
