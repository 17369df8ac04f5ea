"""Sends bytes on many connections as fast as they are taken, and reads slowly or not at all.

    python -m tests.adversary.ahead PORT --ca FILE --certificate FILE --key FILE \
        --begin FILE --again FILE [--connections N] [--pause SECONDS] [--read-bytes N]

Each connection sends what is in `begin`, and then what is in `again` for ever, `--pause` seconds
before each. It reads `--read-bytes` a second; 0: nothing. A connection that is cut is made again.
It goes on until it is killed.
"""

import argparse
import asyncio
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Final

RECEIVE_BUFFER: Final = 32 * 1024  # of its kernel: so little it takes of what it does not read
PAUSE_SECONDS: Final = 0.05  # before it connects again
A_SECOND: Final = 1.0


async def _send_for_ever(
    writer: asyncio.StreamWriter, begin: bytes, again: bytes, pause: float
) -> None:
    writer.write(begin)
    while True:
        await writer.drain()
        await asyncio.sleep(pause)
        writer.write(again)


async def _read_for_ever(reader: asyncio.StreamReader, count: int) -> None:
    reads = asyncio.Event()
    if not count:
        await reads.wait()  # for ever
    while await reader.read(count):
        with suppress(TimeoutError):
            await asyncio.wait_for(reads.wait(), A_SECOND)


async def _connected(
    port: int, tls: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    made = socket.socket()
    made.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    try:
        await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
        return await asyncio.open_connection(
            sock=made, ssl=tls, server_hostname="localhost", limit=1024
        )
    except OSError:
        made.close()
        raise


async def _attack_for_ever(options: argparse.Namespace, tls: ssl.SSLContext) -> None:
    begin, again = options.begin.read_bytes(), options.again.read_bytes()
    while True:
        with suppress(OSError, EOFError):
            reader, writer = await _connected(options.port, tls)
            tasks = (
                asyncio.create_task(_send_for_ever(writer, begin, again, options.pause)),
                asyncio.create_task(_read_for_ever(reader, options.read_bytes)),
                asyncio.create_task(writer.wait_closed()),
            )
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            writer.transport.abort()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(PAUSE_SECONDS)


async def main() -> None:
    """Attack."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--certificate", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--begin", type=Path, required=True)
    parser.add_argument("--again", type=Path, required=True)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--read-bytes", type=int, default=0)
    options = parser.parse_args()
    tls = ssl.create_default_context(cafile=options.ca)
    tls.load_cert_chain(options.certificate, options.key)
    await asyncio.gather(*(_attack_for_ever(options, tls) for _ in range(options.connections)))


if __name__ == "__main__":
    asyncio.run(main())
