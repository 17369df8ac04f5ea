"""Whose folders and files are taken: ours and root's, and nobody's who may be somebody else."""

import os
import stat
from pathlib import Path

import pytest

from shared.own_files import (
    NotOwnError,
    make_own_database,
    open_own,
    prepare_own_folder,
    require_own_folder,
)

STRANGER = 65_533  # neither this process's user nor one of its groups


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configured folder of ours."""
    folder = tmp_path / "cache"
    prepare_own_folder(folder)
    return folder


def test_a_folder_is_made_for_us_alone(folder: Path) -> None:
    """Whoever may read it knows what devices pull."""
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_others_may_enter_is_closed(folder: Path) -> None:
    """As it was made by hand, before the first start."""
    folder.chmod(0o755)
    prepare_own_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_of_ours_is_closed_with_what_we_left_in_it(folder: Path) -> None:
    """As a facade leaves it whose folder was opened by hand."""
    (folder / "blobs").mkdir(mode=0o700)
    os.close(open_own(folder / "index.sqlite3", os.O_RDWR | os.O_CREAT))
    folder.chmod(0o755)
    prepare_own_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_a_folder_with_anything_for_others_stays_open(folder: Path, what: str) -> None:
    """It is `/etc`, say, by a mistake: root's process would lock all others out of the machine."""
    match what:
        case "file":
            (folder / "passwd").touch(mode=0o644)
        case "folder":
            (folder / "ssl").mkdir(mode=0o755)
        case _:
            (folder / "mtab").symlink_to("/proc/self/mounts")
    folder.chmod(0o755)
    prepare_own_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_the_configured_folder_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    """As systemd makes it with DynamicUser."""
    link = tmp_path / "link"
    link.symlink_to(folder)
    prepare_own_folder(link)


@pytest.mark.parametrize(
    "mode, group, words",
    [
        (0o777, None, "every user of the machine may write cache"),
        (0o1777, None, "every user of the machine may write cache"),
        (0o770, STRANGER, "a group that is not ours \\(65533\\) may write cache"),
    ],
)
def test_a_folder_that_others_may_write_is_refused(
    folder: Path, mode: int, group: int | None, words: str
) -> None:
    """Whatever lies in it may be theirs, also once it is closed."""
    if group is not None:
        os.chown(folder, -1, group)
    folder.chmod(mode)
    with pytest.raises(NotOwnError, match=words):
        prepare_own_folder(folder)


def test_a_folder_that_our_group_may_write_is_taken(folder: Path) -> None:
    """As Kubernetes makes it with `fsGroup`."""
    folder.chmod(0o2770)
    prepare_own_folder(folder)


def test_a_folder_of_another_user_is_refused(folder: Path) -> None:
    """However few may write it: its owner may."""
    os.chown(folder, STRANGER, -1)
    with pytest.raises(NotOwnError, match="cache belongs to another user"):
        prepare_own_folder(folder)


def test_a_folder_below_is_no_link_and_no_file(folder: Path, tmp_path: Path) -> None:
    """A link leads to where somebody else may write."""
    (folder / "link").symlink_to(tmp_path)
    (folder / "file").touch()
    (folder / "folder").mkdir()
    require_own_folder(folder / "folder")
    for name in ("link", "file"):
        with pytest.raises(NotOwnError, match=f"{name} is no folder"):
            require_own_folder(folder / name)


def test_a_file_of_ours_is_read(folder: Path) -> None:
    """And one that is not there is not."""
    (folder / "file").write_bytes(b"bytes")
    with os.fdopen(open_own(folder / "file", os.O_RDONLY), "rb") as file:
        assert file.read() == b"bytes"
    with pytest.raises(FileNotFoundError):
        open_own(folder / "none", os.O_RDONLY)


def test_a_link_is_followed_neither_to_read_nor_to_make(folder: Path, tmp_path: Path) -> None:
    """Root's process would write wherever it leads."""
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    for flags in (os.O_RDONLY, os.O_RDWR | os.O_CREAT):
        with pytest.raises(NotOwnError, match="link is a link"):
            open_own(folder / "link", flags)
    assert not (tmp_path / "elsewhere").exists()


def test_a_named_pipe_is_refused_at_once(folder: Path) -> None:
    """Opening it would wait for a writer that never comes."""
    os.mkfifo(folder / "pipe")
    for flags in (os.O_RDONLY, os.O_RDWR):
        with pytest.raises(NotOwnError, match="pipe is no file"):
            open_own(folder / "pipe", flags)


@pytest.mark.parametrize("how", ["owner", "world", "group"])
def test_a_file_that_is_not_ours_is_refused(folder: Path, how: str) -> None:
    """Its bytes are somebody else's."""
    path = folder / "file"
    path.write_bytes(b"forged")
    match how:
        case "owner":
            os.chown(path, STRANGER, -1)
        case "world":
            path.chmod(0o666)
        case _:
            os.chown(path, -1, STRANGER)
            path.chmod(0o660)
    before = _descriptors()
    with pytest.raises(NotOwnError):
        open_own(path, os.O_RDONLY)
    assert _descriptors() == before


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
def test_a_database_is_refused_with_what_lies_beside_it(folder: Path, suffix: str) -> None:
    """SQLite plays a journal back into the file, whoever wrote it."""
    path = folder / "state.sqlite3"
    make_own_database(path)
    beside = path.with_name(path.name + suffix)
    beside.touch()
    make_own_database(path)
    os.chown(beside, STRANGER, -1)
    with pytest.raises(NotOwnError, match="belongs to another user"):
        make_own_database(path)
