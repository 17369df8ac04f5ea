"""Writes one answer into a device's connection: its head goes with the first bytes of its body.

aiohttp sends the head of a streamed answer by itself. That is a TLS record, a system call and a
packet more, which took a tenth of the CPU of a small blob (docs/decisions/stored-blobs.md).
"""

from aiohttp.http import StreamWriter
from typing_extensions import override


class AnswerWriter(StreamWriter):
    """The writer of one answer."""

    @override
    def send_headers(self) -> None:
        """Leave the head to the first write, or to the end of an answer without a body."""
