"""What an answer bears beside its bytes: header fields, the id, an error's body."""

import random
from functools import lru_cache
from typing import Final

from aiohttp import web
from aiohttp.helpers import rfc822_formatted_time
from attrs import frozen

from facade.answers.distribution_errors import JSON_MEDIA_TYPE, ErrorAnswer
from shared.oci import Digest

SERVER_NAME: Final = "registry-facade"  # no versions: nothing to look exploits up with
# A digest's bytes never change; `private`, for who may read them is decided anew each time.
CACHE_CONTROL: Final = "private, max-age=31536000, immutable"
REMEMBERED_HEADS: Final = 1024  # of the manifests that a fleet asks for again; some 600 bytes each


def answer_headers(digest: Digest, media_type: str | None, request_id: str) -> dict[str, str]:
    """Return the fields of an answer, as far as they do not depend on its length."""
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


def new_request_id() -> str:
    """Return the id that an answer bears and the log names: found by it, and no secret."""
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


def manifest_head(digest: Digest, media_type: str, length: int, request_id: str) -> bytes:
    """Return the head that aiohttp writes for a manifest, up to its empty line."""
    return _head(digest, media_type, length).bytes_now(request_id)


@frozen
class _Head:
    """A head but for what is another in each answer."""

    to_request_id: bytes
    to_date: bytes

    def bytes_now(self, request_id: str) -> bytes:
        date = rfc822_formatted_time()
        return b"%b%b%b%b\r\n\r\n" % (
            self.to_request_id,
            request_id.encode(),
            self.to_date,
            date.encode(),
        )


@lru_cache(REMEMBERED_HEADS)
def _head(digest: Digest, media_type: str, length: int) -> _Head:
    fields = answer_headers(digest, media_type, request_id="")
    lines = [f"{name}: {value}" for name, value in fields.items()]  # X-Request-Id is the last
    to_request_id = "\r\n".join(["HTTP/1.1 200 OK", *lines])
    return _Head(to_request_id.encode(), f"\r\nContent-Length: {length}\r\nDate: ".encode())
