"""What requests of manifests and whole blobs ask for, remembered by the exact bytes of their heads.

There is one HTTP parser, aiohttp's. If it parses a head that stands alone on its connection, it
would make the same of the same bytes again: neither the device nor the time matters. A request is
remembered only if no header field could have changed its answer. Requests with any other field are
parsed each time, and so are those whose target is more than a path. So fields and parts of targets
that may hold a secret are never kept.

A device can vary its heads as it likes, and each is remembered by itself. What is too much pushes
out the device's own first.
"""

import re
from typing import Final

from aiohttp import HttpVersion11, web
from attrs import define, field

from facade.pulls.known_pull import KnownPull
from shared.bounded_map import BoundedMap

MAX_REQUESTS: Final = 1024  # a fleet asks for the same all the time; 3 KiB each
MAX_OF_ONE_DEVICE: Final = 256  # other devices' requests are answered from them, too

# Clients send some of these with each request, and none of our answers depends on them.
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
# A pull's path, and the query that containerd adds. No authority: it may hold a password.
_PLAIN_TARGET: Final = re.compile(r"/[^?]*(\?ns=[A-Za-z0-9.:-]*)?", re.ASCII)


@define(eq=False)
class RememberedRequests:
    """The most recently used ones; of a device that sends many, its last ones."""

    _max_requests: int = MAX_REQUESTS
    _max_of_one_device: int = MAX_OF_ONE_DEVICE
    # By heads, each of the device that sent it first. They have no condition, range or body.
    _known: BoundedMap[bytes, KnownPull] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with none."""
        self._known = BoundedMap(self._max_requests, max_share=self._max_of_one_device)

    def get(self, head: bytes) -> KnownPull | None:
        """Return what a head asks for, if it is remembered."""
        return self._known.get(head)

    def remember(
        self, head: bytes, request: web.BaseRequest, asked: KnownPull, device: str
    ) -> None:
        """Remember what a head that stood alone asks for, if nothing else in it matters."""
        if head not in self._known and _is_plain(request):
            self._known.set(head, asked, owner=device)


def _is_plain(request: web.BaseRequest) -> bool:
    """Tell whether the request line says everything."""
    return (
        request.version == HttpVersion11
        and request.keep_alive
        and not request.body_exists
        and _PLAIN_TARGET.fullmatch(request.raw_path) is not None
        and all(_is_without_effect(*each) for each in request.headers.items())
    )


def _is_without_effect(name: str, value: str) -> bool:
    name = name.lower()
    return name in _WITHOUT_EFFECT or (name == "connection" and value.lower() == "keep-alive")
