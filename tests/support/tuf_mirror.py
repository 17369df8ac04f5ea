"""A mirror of TUF metadata on a real socket, which lies about single files as it is told."""

import ssl
from pathlib import Path

from typing_extensions import override

from tests.support.simulators.behaviour import Behaviour
from tests.support.simulators.body import write_content
from tests.support.simulators.stored_content import StoredContent, write_plain
from tests.support.simulators.wire import RecordedRequest, Wire, WireServer


class TufMirror(WireServer):
    """Shows the files of a folder. `lies`: by name, how a file is answered in place of that."""

    def __init__(self, folder: Path, tls: ssl.SSLContext) -> None:
        super().__init__(tls=tls, name="localhost")
        self.folder = folder
        self.lies: dict[str, Behaviour] = {}
        self.others: dict[str, bytes] = {}  # by name, other bytes, shown honestly

    @override
    async def respond(self, request: RecordedRequest, wire: Wire) -> None:
        """Give a file, or 404."""
        name = request.path.rpartition("/")[2]
        path = self.folder / name
        if name in self.lies:
            content = path.read_bytes() if path.is_file() else b""
            stored = StoredContent(content, "application/json", "", self.lies[name], None)
            await write_content(stored, request, wire)
        elif name in self.others or path.is_file():
            await write_plain(wire, 200, self.others.get(name) or path.read_bytes())
        else:
            await write_plain(wire, 404)
