"""Small helpers of the tests that fetch."""

import traceback

from shared.oci import Digest, Kind, RepositoryName
from shared.upstream.asked_range import AskedRange
from shared.upstream.client import RegistryClient

APP = RepositoryName.parse("team/app")
UPSTREAM_TEXT = "upstream text that nobody may see"


async def read(
    client: RegistryClient, digest: str, kind: Kind = Kind.BLOB, first_byte: int = 0
) -> bytes:
    """Return a whole body."""
    async with client.fetch(kind, APP, Digest.parse(digest), AskedRange(first_byte)) as answer:
        return b"".join([chunk async for chunk in answer.chunks()])


async def read_into(content: bytearray, client: RegistryClient, digest: str) -> None:
    """Put what comes of a blob into `content`, also what comes before an error."""
    async with client.fetch(Kind.BLOB, APP, Digest.parse(digest)) as answer:
        async for chunk in answer.chunks():
            content += chunk


def everything_said(error: BaseException) -> str:
    """Return what a log could print of an error and of what it came from."""
    return f"{error!r} {vars(error)} " + "".join(traceback.format_exception(error))
