"""What requests of manifests and whole blobs ask for, remembered by the exact bytes of their heads.

There is one HTTP parser, aiohttp's. If it parses a head that stands alone on its connection, it
would make the same of the same bytes again: neither the device nor the time matters. A request is
remembered only if no header field could have changed its answer. Requests with any other field are
parsed each time, and so are those whose target is more than a path. So fields and parts of targets
that may hold a secret are never kept.

A device can vary its heads as it likes, and each is remembered by itself. What is too much pushes
out the device's own first. A `BoundedMap` with owners does that, too, but every warm pull asks
here: its `get` takes 0.3 µs, this one 0.14 µs.
"""

import re
from collections import OrderedDict
from typing import Final

from aiohttp import HttpVersion11, web
from attrs import define, field, frozen

from facade.pulls.known_pull import KnownPull

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


@frozen
class _Remembered:
    asked: KnownPull  # without conditions, without ranges and without a body
    device: str  # the one that sent it first


@define(eq=False)
class RememberedRequests:
    """The most recently used ones; of a device that sends many, its last ones."""

    _max_requests: int = MAX_REQUESTS
    _max_of_one_device: int = MAX_OF_ONE_DEVICE
    _by_head: OrderedDict[bytes, _Remembered] = field(factory=OrderedDict, init=False)
    _by_device: dict[str, dict[bytes, None]] = field(factory=dict, init=False)  # the oldest first

    def get(self, head: bytes) -> KnownPull | None:
        """Return what a head asks for, if it is remembered."""
        remembered = self._by_head.get(head)
        if remembered is None:
            return None
        self._by_head.move_to_end(head)
        return remembered.asked

    def remember(
        self, head: bytes, request: web.BaseRequest, asked: KnownPull, device: str
    ) -> None:
        """Remember what a head that stood alone asks for, if nothing else in it matters."""
        if head in self._by_head or not _is_plain(request):
            return
        self._by_head[head] = _Remembered(asked, device)
        of_device = self._by_device.setdefault(device, {})
        of_device[head] = None
        if len(of_device) > self._max_of_one_device:
            self._forget(next(iter(of_device)))
        elif len(self._by_head) > self._max_requests:
            self._forget(next(iter(self._by_head)))

    def _forget(self, head: bytes) -> None:
        device = self._by_head.pop(head).device
        of_device = self._by_device[device]
        del of_device[head]
        if not of_device:
            del self._by_device[device]


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
