"""Asks the same thing on many connections, as fast as the answers come, or faster. A process.

    python -m tests.adversary.flood PORT TARGET --ca FILE --certificate FILE --key FILE \
        [--connections N] [--pipelined N] [--ranges VALUE]

`pipelined`: so many requests are sent in one piece, and so on without waiting for an answer. It
goes on until it is killed, and connects again when it is cut.
"""

import argparse
import asyncio
import ssl
from contextlib import suppress
from typing import Final

READ_BYTES: Final = 256 * 1024
PAUSE_SECONDS: Final = 0.05  # before it connects again


async def _discard(reader: asyncio.StreamReader) -> None:
    while await reader.read(READ_BYTES):
        pass


async def _ask_for_ever(port: int, tls: ssl.SSLContext, request: bytes, pipelined: int) -> None:
    while True:
        with suppress(OSError, EOFError):
            reader, writer = await asyncio.open_connection("localhost", port, ssl=tls)
            reading = asyncio.create_task(_discard(reader)) if pipelined > 1 else None
            try:
                while not reader.at_eof():
                    writer.write(request * pipelined)
                    await writer.drain()
                    if reading is None:
                        head = await reader.readuntil(b"\r\n\r\n")
                        length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
                        await reader.readexactly(int(length))
            finally:
                writer.transport.abort()
                if reading is not None:
                    reading.cancel()
        await asyncio.sleep(PAUSE_SECONDS)


async def main() -> None:
    """Attack."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("target")
    parser.add_argument("--ca", required=True)
    parser.add_argument("--certificate", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--pipelined", type=int, default=1)
    parser.add_argument("--ranges")
    options = parser.parse_args()
    tls = ssl.create_default_context(cafile=options.ca)
    tls.load_cert_chain(options.certificate, options.key)
    ranges = f"Range: {options.ranges}\r\n" if options.ranges else ""
    request = f"GET {options.target} HTTP/1.1\r\nHost: localhost\r\n{ranges}\r\n".encode()
    asking = (
        _ask_for_ever(options.port, tls, request, options.pipelined)
        for _ in range(options.connections)
    )
    await asyncio.gather(*asking)


if __name__ == "__main__":
    asyncio.run(main())
