"""The console's own files: each has its hash in its name, so that browsers keep it for ever."""

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Final, Self

from attrs import frozen

FOLDER: Final = "/console/static/"
_TYPES: Final = {
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}
_HASH_CHARACTERS: Final = 16


@frozen
class StaticFile:
    """A file's bytes, and what they are."""

    content: bytes
    media_type: str


@frozen
class StaticFiles:
    """Every file, by the name that its hash is in."""

    by_name: Mapping[str, StaticFile]
    _names: Mapping[str, str]  # by the file's plain name

    @classmethod
    def read(cls) -> Self:
        """Return the files of this package. Blocks."""
        by_name, names = {}, {}
        for each in files("control_plane.console").joinpath("static").iterdir():
            stem, _, ending = each.name.rpartition(".")
            content = each.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:_HASH_CHARACTERS]
            names[each.name] = f"{stem}.{digest}.{ending}"
            by_name[names[each.name]] = StaticFile(content, _TYPES[ending])
        return cls(by_name, names)

    def url(self, name: str) -> str:
        """Return the address of a file."""
        return f"{FOLDER}{self._names[name]}"
