"""Handshakes under way: how many there may be, and who gives way or waits at the limit.

    a device connects
       |
       is a place free? ------------- yes -> its handshake begins
       | no
       does the address that has most
       owe stalls? ------------------ yes -> its oldest handshake gives way
       | no
       does any handshake stall? ---- yes -> all that do give way, and their addresses owe them
       | no
       nobody is accepted; who connects waits in the kernel's queue

A fleet that comes at once waits, because its handshakes go on. Somebody who opens handshakes and
leaves them costs others at most `STALL_SECONDS`; from then on such an address pushes out its own. A
handshake with a good end takes one stall off what its address owes. So neither a few bad ones among
a fleet behind one address count for long, nor a few good ones among a flood.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from attrs import define, field

from facade.devices.tasks_by_site import TasksBySite
from facade.devices.unread import has_unread
from shared.bounded_map import BoundedMap

# Without a message of the device: longer than a slow radio link takes to lose and repeat a packet,
# and than a busy device takes to sign.
STALL_SECONDS: Final = 3.0
OWED_SECONDS: Final = 60.0  # after its last stall; then an address owes nothing any more
MAX_OWING_SITES: Final = 4096  # some 350 bytes each; the longest owing goes first


@define(eq=False)
class Handshake:
    """A handshake under way: the state that OpenSSL is in, and since when (clock's seconds)."""

    _socket: socket.socket
    site: str
    _clock: Callable[[], float]
    _state: bytes = field(default=b"", init=False)
    _since: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin now."""
        self._since = self._clock()

    def note(self, state: bytes) -> None:
        """Note how far it has come."""
        if state != self._state:
            self._state, self._since = state, self._clock()

    @property
    def is_stalled(self) -> bool:
        """Whether the device sends nothing that takes it further. Unread bytes count as sent."""
        return self._clock() - self._since >= STALL_SECONDS and not has_unread(self._socket)


@define(eq=False)
class Handshakes:
    """All handshakes of one process."""

    _tasks: TasksBySite
    _clock: Callable[[], float] = field(default=time.monotonic, kw_only=True)
    _under_way: dict[asyncio.Task[None], Handshake] = field(factory=dict, init=False)
    _owed: BoundedMap[str, int] = field(init=False)  # stalls, by site

    def __attrs_post_init__(self) -> None:
        """Begin with nothing owed."""
        self._owed = BoundedMap(MAX_OWING_SITES, seconds=OWED_SECONDS, clock=self._clock)

    @property
    def count(self) -> int:
        """How many there are."""
        return self._tasks.count

    def has_place(self) -> bool:
        """Tell whether one more may begin. Another one may have given way for it."""
        if not self._tasks.is_full:
            return True
        most = self._tasks.site_with_most
        if self._owed.get(most):
            self._under_way.pop(self._tasks.give_up_oldest_of(most))
            return True
        return self._give_up_stalled()

    def begin(
        self,
        accepted: socket.socket,
        site: str,
        shake: Callable[[Handshake], Coroutine[Any, Any, None]],
    ) -> asyncio.Task[None]:
        """Begin one."""
        handshake = Handshake(accepted, site, self._clock)
        task = self._tasks.begin(shake(handshake), site)
        self._under_way[task] = handshake
        task.add_done_callback(lambda done: self._under_way.pop(done, None))
        return task

    def note_good_end(self, site: str) -> None:
        """Note that a device of this site was let in."""
        if owed := self._owed.get(site):
            self._owe(site, owed - 1)

    def give_up_all(self) -> None:
        """End every one."""
        self._tasks.give_up_all()

    def _give_up_stalled(self) -> bool:
        stalled = [(task, each) for task, each in self._under_way.items() if each.is_stalled]
        for task, each in stalled:
            del self._under_way[task]
            self._tasks.give_up(task, each.site)
            self._owe(each.site, (self._owed.get(each.site) or 0) + 1)
        return bool(stalled)

    def _owe(self, site: str, stalls: int) -> None:
        if stalls:
            self._owed.set(site, stalls)
        else:
            self._owed.pop(site)
