"""How content comes from the facade: by digest, over mTLS, and resumed where a link broke.

Every byte is counted and hashed as it comes; more than was signed is never read. A facade that is
slow, endless, redirecting or lying is cut, and said in words; what had come stays for the next run.
"""

import random
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, TypeVar

from attrs import frozen

from device_agent.config import Limits
from device_agent.descriptor import Descriptor
from device_agent.errors import LinkError, RefusedError, in_one_line
from device_agent.https import Answer, Client
from device_agent.partial import Partial
from device_agent.store import Store

# A link may break for ever, as long as each try brings something: a peer that breaks it after each
# byte does not count as such a link.
MAX_TRIES: Final = 5  # in a row without progress
MIN_PROGRESS_BYTES: Final = 64 * 1024  # a quarter of a facade's piece
MAX_PAUSE_SECONDS: Final = 60.0
MAX_RETRY_AFTER_SECONDS: Final = 300.0  # what a peer may ask for
MAX_DIGITS: Final = 6  # of Retry-After
_TEMPORARY: Final = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
_Result = TypeVar("_Result")


class _BusyError(LinkError):
    """The facade asks to come again."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


@frozen
class Downloads:
    """Brings what a manifest names into the store."""

    client: Client
    store: Store
    limits: Limits
    sleep: Callable[[float], None] = time.sleep

    def manifest(self, repository: str, manifest: Descriptor) -> None:
        """Bring a manifest or an index, unless it is here already."""
        if not self.store.holds(manifest):
            content = self._retried(lambda: self._manifest_once(repository, manifest), lambda: 0)
            self.store.put(manifest, content)

    def blob(self, repository: str, blob: Descriptor) -> None:
        """Bring a blob, unless it is here already."""
        if self.store.holds(blob):
            return
        with Partial.resume(self.store.arriving(blob.digest)) as partial:
            self._retried(lambda: self._go_on(repository, blob, partial), lambda: partial.size)
            if partial.digest != blob.digest:
                partial.discard()
                raise RefusedError(f"{blob.digest}: other bytes came, {blob.size} of them")
            partial.finish(self.store.place(blob.digest))

    def _retried(self, once: Callable[[], _Result], progress: Callable[[], int]) -> _Result:
        """Try until it is done, or until nothing came for too many times in a row."""
        tries, seen = 0, progress()
        while True:
            try:
                return once()
            except LinkError as error:
                tries = 0 if progress() - seen >= MIN_PROGRESS_BYTES else tries + 1
                if tries >= MAX_TRIES:
                    raise LinkError(f"given up for now: {error}") from error
                seen = progress()
                self.sleep(_pause(error, tries, self.limits.retry_seconds))

    def _manifest_once(self, repository: str, manifest: Descriptor) -> bytes:
        path = f"/v2/{repository}/manifests/{manifest.digest}"
        content = bytearray()
        with self.client.get(path, {"Accept": manifest.media_type}) as answer:
            _expect_status(answer, HTTPStatus.OK)
            _expect_type(answer, manifest.media_type)
            for piece in answer.pieces():
                content += piece
                if len(content) > manifest.size:
                    raise RefusedError(f"{manifest.digest}: endless, more comes than was signed")
        if len(content) < manifest.size:
            raise LinkError(f"the link broke at {len(content)} of {manifest.size} bytes")
        return bytes(content)

    def _go_on(self, repository: str, blob: Descriptor, partial: Partial) -> None:
        """Ask for what is missing, until it is here or the link breaks."""
        if partial.size > blob.size:  # of another size, of the same digest: nobody's blob
            partial.discard()
            raise RefusedError(f"{blob.digest}: more came than was signed")
        if partial.size == blob.size:
            return
        asked = {"Range": f"bytes={partial.size}-"} if partial.size else {}
        path = f"/v2/{repository}/blobs/{blob.digest}"
        with self.client.get(path, asked) as answer:
            _expect_rest(answer, partial.size, blob.size)
            for piece in answer.pieces():
                if partial.size + len(piece) > blob.size:
                    raise RefusedError(f"{blob.digest}: endless, more comes than was signed")
                partial.append(piece)
        if partial.size < blob.size:
            raise LinkError(f"the link broke at {partial.size} of {blob.size} bytes")


def _expect_rest(answer: Answer, start: int, size: int) -> None:
    """Raise unless this is the rest of a blob, from the byte that was asked for."""
    if start and answer.status == HTTPStatus.OK:  # what is here would be bought twice
        raise RefusedError("the facade answers with the whole, and its rest was asked for")
    _expect_status(answer, HTTPStatus.PARTIAL_CONTENT if start else HTTPStatus.OK)
    said = answer.headers.get("content-range")
    if start and said != f"bytes {start}-{size - 1}/{size}":
        raise RefusedError(f"the facade answered the range {in_one_line(said)} of another content")
    if answer.length is not None and answer.length != size - start:
        raise RefusedError(
            f"the facade announces {answer.length} bytes, and {size - start} were signed"
        )


def _expect_status(answer: Answer, wanted: HTTPStatus) -> None:
    if answer.status == wanted:
        return
    words = f"the facade answers {answer.refusal()}"
    if answer.status in _TEMPORARY:
        raise _BusyError(words, _asked_pause(answer))
    if answer.status < HTTPStatus.BAD_REQUEST:
        raise RefusedError(words)
    raise LinkError(words)


def _expect_type(answer: Answer, wanted: str) -> None:
    said = answer.headers.get("content-type", "").partition(";")[0].strip()
    if said != wanted:
        raise RefusedError(f"the facade calls it {in_one_line(said)!r}, and {wanted} was signed")


def _asked_pause(answer: Answer) -> float:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else 0.0


def _pause(error: LinkError, tries: int, first: float) -> float:
    """Return how long to wait: longer each time, never the same for a whole fleet."""
    pause = min(first * 2.0 ** max(tries - 1, 0), MAX_PAUSE_SECONDS)
    asked = error.seconds if isinstance(error, _BusyError) else 0.0
    jitter = random.uniform(0.5, 1.0)  # noqa: S311 it spreads devices, and hides nothing
    return max(pause * jitter, min(asked, MAX_RETRY_AFTER_SECONDS))
