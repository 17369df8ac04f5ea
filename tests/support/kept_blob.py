"""A blob that a facade has stored, seen from outside."""

import contextlib
from pathlib import Path

from facade.store.file_lock import is_locked
from facade.store.layout import Layout
from shared.oci import Digest
from tests.support.eventually import eventually


async def kept_blob(cache: Path, digest: str) -> Path:
    """Return a blob's file once it is stored, and nobody has it open who brought or reads it.

    Until then, a pull that finds its file rotten reads along with what is left of its arrival.
    """
    path = Layout(cache).blob(Digest.parse(digest))

    def is_kept() -> bool:
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            return not is_locked(file.fileno())
        return False

    await eventually(is_kept)
    return path
