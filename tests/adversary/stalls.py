"""Begins handshakes and leaves them, as fast as it is told to. A process.

    python -m tests.adversary.stalls PORT --per-second N --addresses N

From so many loopback addresses, of which 127.0.0.1 is none. It goes on until it is killed.
"""

import argparse
import itertools
import resource
import socket
import time
from collections import deque
from contextlib import suppress
from typing import Final

# Open at once, more than are begun in the time of an attack: one that is closed has its place no
# more. Beyond them the oldest is closed for a new one.
KEPT: Final = 20_000
BEGIN: Final = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"  # of a ClientHello, that never comes whole
A_TURN: Final = 10


def main() -> None:
    """Attack."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--per-second", type=int, required=True)
    parser.add_argument("--addresses", type=int, required=True)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    kept = min(KEPT, most - 100)
    begun: deque[socket.socket] = deque()
    for number in itertools.count():
        made = socket.socket()
        made.bind((f"127.0.0.{2 + number % options.addresses}", 0))
        made.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        begun.append(made)
        with suppress(OSError):  # it is under way
            made.connect(("127.0.0.1", options.port))
        if number >= A_TURN:
            with suppress(OSError):  # it was reset, or waits in a queue
                begun[-A_TURN].send(BEGIN)
        if len(begun) > kept:
            begun.popleft().close()
        if number % A_TURN == 0:
            time.sleep(A_TURN / options.per_second)


if __name__ == "__main__":
    main()
