"""What manifests' requests ask for, remembered by the exact bytes of their heads.

There is one HTTP parser, aiohttp's. What it made of a head that stood alone on its connection, it
would make of the same bytes again: nothing else goes into what is remembered, neither the device
nor the time. A request is only remembered where no header field could have changed its answer; one
with any other field is parsed each time. So no secret that a device sends is ever kept.
"""

from collections import OrderedDict
from typing import Final

from aiohttp import HttpVersion11, web
from attrs import define, field, frozen

from facade.pulls.pull_path import Pull

MAX_REQUESTS: Final = 1024  # a fleet asks the same again and again; a head and a pull, 3 KiB each

# Of which every client sends some with each request, and which no answer of ours depends on.
_WITHOUT_EFFECT: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "docker-distribution-api-version",
        "host",
        "user-agent",
    }
)


@frozen
class ManifestRequest:
    """A request for a manifest, without conditions and without a body."""

    method: str  # GET or HEAD
    pull: Pull


@define(eq=False)
class RememberedRequests:
    """The most recently used ones."""

    _max_requests: int = MAX_REQUESTS
    _by_head: OrderedDict[bytes, ManifestRequest] = field(factory=OrderedDict, init=False)

    def get(self, head: bytes) -> ManifestRequest | None:
        """Return what a head asks for, if it is remembered."""
        request = self._by_head.get(head)
        if request is not None:
            self._by_head.move_to_end(head)
        return request

    def remember(self, head: bytes, request: web.BaseRequest, pull: Pull) -> None:
        """Remember what was parsed of a head that stood alone, if the same answers it again."""
        if not _is_plain(request):
            return
        self._by_head[head] = ManifestRequest(request.method, pull)
        if len(self._by_head) > self._max_requests:
            self._by_head.popitem(last=False)


def _is_plain(request: web.BaseRequest) -> bool:
    """Tell whether all that was asked is in the request line."""
    return (
        request.version == HttpVersion11
        and request.keep_alive
        and not request.body_exists
        and all(_is_without_effect(*each) for each in request.headers.items())
    )


def _is_without_effect(name: str, value: str) -> bool:
    name = name.lower()
    return name in _WITHOUT_EFFECT or (name == "connection" and value.lower() == "keep-alive")
