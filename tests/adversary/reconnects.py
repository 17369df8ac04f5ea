"""Shakes hands without a certificate, is refused, and connects anew, as fast as it can. A process.

    python -m tests.adversary.reconnects PORT --connections N --addresses N

From so many loopback addresses, of which 127.0.0.1 is none. It goes on until it is killed.
"""

import argparse
import asyncio
import ssl
from contextlib import suppress
from itertools import count
from typing import Final

READ_BYTES: Final = 4096


async def _reconnect_for_ever(port: int, tls: ssl.SSLContext, address: str) -> None:
    for _ in count():
        with suppress(OSError):  # it was refused
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=tls, local_addr=(address, 0), server_hostname="localhost"
            )
            with suppress(OSError):  # in TLS 1.3 it is told so only now
                await reader.read(READ_BYTES)
            writer.transport.abort()


async def main() -> None:
    """Attack."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--addresses", type=int, required=True)
    options = parser.parse_args()
    tls = ssl.create_default_context()
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    await asyncio.gather(
        *(
            _reconnect_for_ever(options.port, tls, f"127.0.0.{2 + number % options.addresses}")
            for number in range(options.connections)
        )
    )


if __name__ == "__main__":
    asyncio.run(main())
