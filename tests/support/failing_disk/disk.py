"""The test's side: faults, and the thread that makes the chosen calls fail."""

import errno
import os
import select
import socket
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from typing import Final

from attrs import define, field

from tests.support.failing_disk.calls import Call
from tests.support.failing_disk.launcher import address_of
from tests.support.failing_disk.notification import Notification

_LAUNCHER: Final = "tests.support.failing_disk.launcher"


@define(eq=False)
class Fault:
    """What fails; `struck` counts how often it did."""

    call: Call
    _pattern: str  # of the file's path; a `*` stands for slashes too
    _from_byte: int  # only reads and writes that end beyond it
    _spared: int  # so many of them are let through first
    _times: int | None  # how many fail; None: all
    number: int | None  # of `errno`; None: the calls wait until the block ends
    struck: int = field(default=0, init=False)
    held: list[tuple[Notification, int]] = field(factory=list, init=False)  # with its listener

    def strikes(self, asked: Notification) -> bool:
        """Tell whether a call is to fail."""
        if asked.call is not self.call or self.struck == self._times:
            return False
        if not fnmatchcase(str(asked.path()), self._pattern):
            return False
        if self.call in (Call.READ, Call.WRITE) and asked.end() <= self._from_byte:
            return False
        if self._spared:
            self._spared -= 1
            return False
        self.struck += 1
        return True


@define(eq=False)
class FailingDisk:
    """Whatever a child that is started with `prefix` reads and writes."""

    prefix: tuple[str, ...]
    _faults: tuple[Fault, ...] = field(default=(), init=False)  # read by the thread
    _answering: threading.Lock = field(factory=threading.Lock, init=False)

    @contextmanager
    def failing(
        self,
        call: Call,
        pattern: str,
        *,
        from_byte: int = 0,
        spared: int = 0,
        times: int | None = None,
        number: int = errno.EIO,
    ) -> Iterator[Fault]:
        """Have calls on files fail within the block."""
        with self._having(Fault(call, pattern, from_byte, spared, times, number)) as fault:
            yield fault

    @contextmanager
    def hanging(self, call: Call, pattern: str) -> Iterator[Fault]:
        """Have calls on files wait until the block ends, as on a disk that does not answer."""
        with self._having(Fault(call, pattern, 0, 0, None, None)) as fault:
            yield fault

    @contextmanager
    def _having(self, fault: Fault) -> Iterator[Fault]:
        self._faults = (*self._faults, fault)
        try:
            yield fault
        finally:
            with self._answering:
                self._faults = tuple(each for each in self._faults if each is not fault)
                for asked, listener in fault.held:
                    asked.go_on(listener)

    def answer(self, listener: int) -> None:
        """Answer the next call that waits."""
        asked = Notification.receive(listener)
        if asked is None:
            return
        with self._answering:
            fault = self._fault_of(asked)
            if fault is None:
                asked.go_on(listener)
            elif fault.number is None:
                fault.held.append((asked, listener))
            else:
                asked.fail(listener, fault.number)

    def _fault_of(self, asked: Notification) -> Fault | None:
        """Return what is wrong with the file of a call; None if nothing is."""
        try:
            return next((each for each in self._faults if each.strikes(asked)), None)
        except OSError:  # no such descriptor or address, as the kernel will say; or it was killed
            return None


@contextmanager
def failing_disk() -> Iterator[FailingDisk]:
    """Give a disk that fails when it is told to."""
    name = f"failing-disk-{uuid.uuid4().hex}"
    with socket.socket(socket.AF_UNIX) as launched:
        launched.bind(address_of(name))
        launched.listen()
        disk = FailingDisk((sys.executable, "-m", _LAUNCHER, name))
        thread = threading.Thread(target=_serve, args=(disk, launched))
        thread.start()
        try:
            yield disk
        finally:
            with socket.socket(socket.AF_UNIX) as ended:
                ended.connect(address_of(name))  # it says nothing, so it is no child
            thread.join()


def _serve(disk: FailingDisk, launched: socket.socket) -> None:
    """Answer the calls of every child, until somebody connects who is no child.

    What a child asks for that still runs then fails with ENOSYS.
    """
    with ExitStack() as stack:
        poll = select.poll()
        poll.register(launched, select.POLLIN)
        while True:
            for descriptor, events in poll.poll():
                if descriptor != launched.fileno():
                    if events & select.POLLIN:
                        disk.answer(descriptor)
                    else:  # its last thread is gone
                        poll.unregister(descriptor)
                    continue
                listener = _listener_of_next(launched)
                if listener is None:
                    return
                stack.callback(os.close, listener)
                poll.register(listener, select.POLLIN)


def _listener_of_next(launched: socket.socket) -> int | None:
    child, _ = launched.accept()
    with child:
        _, listeners, _, _ = socket.recv_fds(child, 64, 1)
    return listeners[0] if listeners else None
