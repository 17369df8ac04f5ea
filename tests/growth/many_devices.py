"""Many devices at once, in a process of their own: how many are let in, and which stay.

    python -m tests.growth.many_devices --port P --ca F --certificate F --key F --count N [--stay]

All connect at the same time, from several loopback addresses; each asks for `/v2/`. With `--stay`
they connect one after another and stay, all but idle, until standard input ends. A line says how
many had a whole answer:

    {"answered": 5, "failures": {"ConnectionResetError": 3}, "late": 2, "seconds": 1.2,
     "late_seconds": 0.3}

By so much this process was late at the worst: so long a device did nothing, although something had
come for it. `late`: devices that had no answer either, and had let the facade wait for their first
message for so long that others might take their place.
"""

import argparse
import asyncio
import json
import select
import socket
import ssl
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import Final

import uvloop
from attrs import define, field
from OpenSSL import SSL

from facade.devices.handshake import STALL_SECONDS

ADDRESSES: Final = 50  # 127.0.0.1 and following: as many have ports for a million connections
A_TURN: Final = 10  # begun before it is looked at what the facade says: devices have time for that
ASK_AGAIN_SECONDS: Final = 40.0  # the facade closes what is silent for 75 s
LOOK_SECONDS: Final = 0.2
LATENESS_SECONDS: Final = 0.05
PING: Final = b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
_LATE: Final = "late"
_WHOLE: Final = b"HTTP/1.1 200"
_END: Final = b"\r\n\r\n"


def _address(number: int) -> str:
    return f"127.0.0.{1 + number % ADDRESSES}"


@define
class _Lateness:
    """How late this process was at the worst, by a task that wants to run again and again."""

    seconds: float = 0.0

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(LATENESS_SECONDS)
            self.seconds = max(self.seconds, time.monotonic() - began - LATENESS_SECONDS)


async def _all_at_once(called: argparse.Namespace, lateness: _Lateness) -> Counter[str]:
    watching = asyncio.create_task(lateness.watch())
    tls = ssl.create_default_context(cafile=called.ca)
    tls.load_cert_chain(called.certificate, called.key)
    connecting = [
        asyncio.create_task(_connected(called.port, number)) for number in range(called.count)
    ]
    asking = list[asyncio.Task[str]]()
    for number, each in enumerate(connecting):
        asking.append(asyncio.create_task(_answer(each, tls, called.patience)))
        if number % A_TURN == 0:
            await asyncio.sleep(0)
    ends = Counter(await asyncio.gather(*asking))
    watching.cancel()
    return ends


async def _connected(port: int, number: int) -> tuple[socket.socket, float]:
    """Return a socket, and since when it is connected (monotonic)."""
    made = socket.socket()
    made.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    made.bind((_address(number), 0))
    await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
    return made, time.monotonic()


async def _answer(
    connecting: asyncio.Task[tuple[socket.socket, float]], tls: ssl.SSLContext, patience: float
) -> str:
    """Return why there is none, or nothing."""
    silent = 0.0
    try:
        made, since = await connecting
        silent = time.monotonic() - since
        reader, writer = await asyncio.open_connection(
            sock=made,
            ssl=tls,
            server_hostname="localhost",
            ssl_handshake_timeout=patience,
        )
        writer.write(PING)
        head = await reader.readuntil(_END)
        writer.transport.abort()
    except (OSError, asyncio.IncompleteReadError) as error:
        return type(error).__name__ if silent < STALL_SECONDS else _LATE
    return "" if head.startswith(_WHOLE) else "another answer"


@define(eq=False)
class _Staying:
    """Devices that stay, each asking something before the facade takes it for gone.

    OpenSSL itself makes their connections, because its idle ones are small.
    """

    called: argparse.Namespace
    _context: SSL.Context = field(init=False)
    _kept: deque[tuple[float, socket.socket, SSL.Connection]] = field(factory=deque, init=False)

    def __attrs_post_init__(self) -> None:
        self._context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self._context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        self._context.use_certificate_chain_file(self.called.certificate)
        self._context.use_privatekey_file(self.called.key)
        self._context.load_verify_locations(self.called.ca)
        self._context.set_verify(SSL.VERIFY_PEER)

    def connect(self) -> Counter[str]:
        """Connect one after another; return why the others have no answer."""
        ends = Counter[str]()
        for number in range(self.called.count):
            try:
                ends[self._come(number)] += 1
            except (OSError, SSL.Error) as error:
                ends[type(error).__name__] += 1
            self.ask_again()
        return ends

    def ask_again(self) -> None:
        """Let those ask whose time has come."""
        while self._kept and self._kept[0][0] <= time.monotonic():
            _, raw, connection = self._kept.popleft()
            self._ask(raw, connection)

    def _come(self, number: int) -> str:
        facade = ("127.0.0.1", self.called.port)
        raw = socket.create_connection(facade, source_address=(_address(number), 0))
        raw.settimeout(None)
        connection = SSL.Connection(self._context, raw)
        connection.set_connect_state()
        connection.do_handshake()
        return self._ask(raw, connection)

    def _ask(self, raw: socket.socket, connection: SSL.Connection) -> str:
        connection.sendall(PING)
        answer = connection.recv(4096)
        self._kept.append((time.monotonic() + ASK_AGAIN_SECONDS, raw, connection))
        return "" if answer.startswith(_WHOLE) else "another answer"


def _tell(ends: Counter[str], began: float, late_seconds: float = 0.0) -> None:
    answered, late = ends.pop("", 0), ends.pop(_LATE, 0)
    told = {
        "answered": answered,
        "failures": ends,
        "late": late,
        "seconds": time.monotonic() - began,
        "late_seconds": late_seconds,
    }
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser()
    for name in ("--ca", "--certificate", "--key"):
        parser.add_argument(name, required=True, type=lambda each: str(Path(each)))
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--count", required=True, type=int)
    parser.add_argument("--patience", type=float, default=300.0)
    parser.add_argument("--stay", action="store_true")
    called = parser.parse_args()
    began = time.monotonic()
    if not called.stay:
        lateness = _Lateness()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            _tell(runner.run(_all_at_once(called, lateness)), began, lateness.seconds)
        return
    staying = _Staying(called)
    _tell(staying.connect(), began)
    while not select.select([sys.stdin], [], [], LOOK_SECONDS)[0]:
        staying.ask_again()


if __name__ == "__main__":
    main()
