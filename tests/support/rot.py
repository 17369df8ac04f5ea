"""Makes a file rot in its place, as on a failing disk: the same file, with one bit flipped."""

from pathlib import Path


def rot(path: Path, at: int) -> None:
    """Flip a bit of the byte at an offset, counted round and round; an empty file has none."""
    size = path.stat().st_size
    if not size:
        return
    with path.open("r+b") as file:
        file.seek(at % size)
        [byte] = file.read(1)
        file.seek(at % size)
        file.write(bytes([byte ^ 1]))
