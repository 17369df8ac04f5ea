"""Says why a file that a setting names cannot be opened, for whoever set it. Pure."""

import errno
import os
from typing import Final

from shared.safe_message import SafeMessage

_WORDS: Final = {
    errno.ENOENT: "there is no such file",
    errno.ENOTDIR: "a part of its path is a file, and no folder",
    errno.EISDIR: "it is a folder",
    errno.EACCES: "this process may not read it, or not enter a folder on the way to it",
    errno.ELOOP: "a symbolic link on the way to it leads back to itself",
    errno.ENAMETOOLONG: "the path is too long; is it the content of the file?",
}


class UnreadableFileError(SafeMessage, ValueError):
    """No file can be opened at the path; the message says why, and quotes nothing."""


def why_unreadable(error: OSError) -> str:
    """Return what keeps a file from being read."""
    if isinstance(error, SafeMessage):
        return str(error)
    if error.errno is None:
        return type(error).__name__
    return _WORDS.get(error.errno) or os.strerror(error.errno).lower()
