r"""Reads a password from libpq's password file ("The Password File"), which the URL must name.

    hostname:port:database:username:password

`*` matches anything, `\:` is a colon and `\\` a backslash, and the first line that fits counts.
"""

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import frozen

from shared.bounded_file import TooLongFileError, read_bounded
from shared.log_fields import bounded_text
from shared.postgres.tls import DatabaseFileError
from shared.secret import Secret

MAX_FILE_BYTES: Final = 256 * 1024  # some thousand servers
SOCKET_HOST: Final = "localhost"  # what a server behind a socket is called

_OPEN_TO_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_LINE: Final = re.compile(r"((?:[^:\\]|\\.)*):" * 4 + "(.*)")
_ESCAPE: Final = re.compile(r"\\(.)")
_ANYTHING: Final = "*"


@frozen
class DatabaseLogin:
    """What a password is for."""

    host: str
    port: int
    database: str
    user: str


def password_of(file: Path, login: DatabaseLogin) -> Secret | None:
    """Return the password for a login, None if no line fits; raise `DatabaseFileError`.

    A file that others may read is refused: libpq would take no password from it.
    """
    wanted = (login.host, str(login.port), login.database, login.user)
    for *fields, password in _lines(_content(file)):
        if all(each in (_ANYTHING, want) for each, want in zip(fields, wanted, strict=True)):
            return Secret(password)
    return None


def require_password_file(file: Path) -> None:
    """Raise `DatabaseFileError` unless the file can be used."""
    _content(file)


def _content(file: Path) -> str:
    try:
        is_open = stat.S_IMODE(file.stat().st_mode) & _OPEN_TO_OTHERS
        text = read_bounded(file, MAX_FILE_BYTES, pipe_seconds=0).decode()
    except UnicodeDecodeError:
        raise _error(file, "expected UTF-8 text") from None
    except TooLongFileError:
        raise _error(file, f"expected at most {MAX_FILE_BYTES} bytes") from None
    except OSError as error:
        raise _error(file, error.strerror or type(error).__name__) from None
    if is_open:
        raise _error(file, "others may read it; expected the mode 0600")
    return text


def _lines(text: str) -> Iterator[list[str]]:
    for line in text.split("\n"):
        match = _LINE.fullmatch(line.rstrip("\r"))
        if match and not line.startswith("#"):
            yield [_ESCAPE.sub(r"\1", each) for each in match.groups()]


def _error(file: Path, problem: str) -> DatabaseFileError:
    return DatabaseFileError(f"passfile: {bounded_text(str(file))} cannot be used: {problem}")
