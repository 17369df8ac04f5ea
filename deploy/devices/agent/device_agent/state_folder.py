"""Where the agent keeps what it knows, and the lock that keeps a second one out."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attrs import frozen

from device_agent.durable import make_folder, read_bounded, remove
from device_agent.errors import ConfigurationError

MAX_ROOT_BYTES: Final = 256 * 1024


@frozen
class StateFolder:
    """`root.json` (pinned), `journal.json`, `metadata/` (of python-tuf), `store/` (a layout)."""

    folder: Path

    @property
    def root(self) -> Path:
        """The pinned root."""
        return self.folder / "root.json"

    @property
    def journal(self) -> Path:
        """All else that must not be lost."""
        return self.folder / "journal.json"

    @property
    def metadata(self) -> Path:
        """What python-tuf has believed last."""
        return self.folder / "metadata"

    @property
    def store(self) -> Path:
        """The content."""
        return self.folder / "store"

    @property
    def is_installed(self) -> bool:
        """Whether `install` was brought to its end: it writes the journal last."""
        return self.journal.is_file()

    def read_root(self) -> bytes:
        """Return the pinned root."""
        return read_bounded(self.root, MAX_ROOT_BYTES)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second agent out; ConfigurationError if there is one."""
        make_folder(self.folder)
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def prepare(self) -> None:
        """Make what is not there, and remove what a kill left of python-tuf's temporary files."""
        make_folder(self.metadata)
        for path in self.metadata.glob("tmp*"):
            remove(path)


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigurationError("another device-agent is at work here") from error
