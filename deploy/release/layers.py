"""Folders as tar files, the same bytes each time: what a layer of an image is."""

import tarfile
from pathlib import Path


def write_layer(folder: Path, target: Path, at: int) -> None:
    """Write all that is in a folder, in order of names, as root's, and of the time `at`."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = at
        return entry

    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            archive.add(path, arcname=name, recursive=False, filter=plain)
