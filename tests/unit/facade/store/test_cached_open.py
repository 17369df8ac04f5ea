"""Files that the kernel knows are opened at once, under the same conditions as any other."""

import os
from pathlib import Path

import pytest

from facade.store.cached_open import AT_ONCE, WAITING, Opening, open_cached, read_whole
from shared.own_files import NotOwnError


@pytest.mark.parametrize("opening", [AT_ONCE, WAITING])
def test_a_file_that_was_just_written_is_read(tmp_path: Path, opening: Opening) -> None:
    """Either way gives the same."""
    path = tmp_path / "checksums"
    path.write_bytes(b"content" * 1000)
    assert read_whole(path, opening) == b"content" * 1000


def test_a_file_that_was_just_deleted_is_not_there(tmp_path: Path) -> None:
    """The kernel may know that, or not; nothing is opened."""
    path = tmp_path / "gone"
    path.write_bytes(b"content")
    path.unlink()
    with pytest.raises((FileNotFoundError, BlockingIOError)):
        open_cached(path)


def test_what_nobody_has_looked_up_is_left_to_a_thread() -> None:
    """The disk would have to be asked. No file system on a disk knows the name."""
    with pytest.raises(BlockingIOError):
        open_cached(Path(f"/usr/share/{os.urandom(8).hex()}/file"))


def test_what_anybody_may_write_is_not_opened(tmp_path: Path) -> None:
    """As `open_own` refuses it, and a link, and what is no file."""
    path = tmp_path / "blob"
    path.write_bytes(b"content")
    path.chmod(0o606)
    with pytest.raises(NotOwnError):
        open_cached(path)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError, match="symbolic links"):
        open_cached(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(NotOwnError):
        open_cached(tmp_path / "pipe")
