"""Where `control-plane login` keeps what it got: the keyring of the operating system, or a file.

The file is for whoever has no keyring, or names one (`CONTROL_PLANE_LOGIN_FILE`). Only its owner
may read it, and it is not read otherwise. There is one login for each control plane.
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol

import click
import orjson
from attrs import field, frozen

from control_plane.errors import ControlPlaneError
from shared.bounded_file import TooLongFileError, read_bounded
from shared.secret import Secret

SERVICE: Final = "registry-control-plane"  # under which the keyring lists it
LOGS_IN_AGAIN: Final = "`control-plane login` logs you in again"
MAX_LOGIN_BYTES: Final = 256 * 1024  # several control planes; each login has up to 40 KiB
_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class SavedLoginError(ControlPlaneError):
    """What was kept cannot be read or written."""


@frozen
class SavedLogin:
    """A login at a provider, for one control plane."""

    issuer: str
    client_id: str
    access_token: Secret = field(repr=False)
    expires_at: float  # Unix seconds
    refresh_token: Secret | None = field(default=None, repr=False)
    resource: dict[str, str] = field(factory=dict)  # what names the audience, if something has to

    def to_text(self) -> str:
        """Return the text that is kept."""
        refresh = self.refresh_token.reveal_text() if self.refresh_token else None
        return orjson.dumps(
            {
                "issuer": self.issuer,
                "client_id": self.client_id,
                "access_token": self.access_token.reveal_text(),
                "expires_at": self.expires_at,
                "refresh_token": refresh,
                "resource": self.resource,
            }
        ).decode()

    @classmethod
    def of_text(cls, text: str) -> "SavedLogin":
        """Return what was kept; raise `SavedLoginError`."""
        try:
            found = orjson.loads(text)
            refresh = found["refresh_token"]
            return cls(
                str(found["issuer"]),
                str(found["client_id"]),
                Secret(found["access_token"]),
                float(found["expires_at"]),
                Secret(refresh) if refresh is not None else None,
                {str(name): str(value) for name, value in found["resource"].items()},
            )
        except (orjson.JSONDecodeError, LookupError, TypeError, ValueError, AttributeError):
            raise SavedLoginError(
                "the login that was kept cannot be read: `control-plane login` makes it anew"
            ) from None


class LoginStore(Protocol):
    """Keeps logins by the URL of their control plane."""

    @property
    def place(self) -> str:
        """Where that is, for people."""

    def get(self, url: str) -> SavedLogin | None:
        """Return the login; raise `SavedLoginError`."""

    def put(self, url: str, login: SavedLogin | None) -> None:
        """Keep a login, or forget it; raise `SavedLoginError`."""


@frozen
class FileStore:
    """A file that its owner alone may read."""

    path: Path

    @property
    def place(self) -> str:
        """The path."""
        return str(self.path)

    def get(self, url: str) -> SavedLogin | None:
        """Return the login."""
        text = self._read().get(url)
        return SavedLogin.of_text(text) if isinstance(text, str) else None

    def put(self, url: str, login: SavedLogin | None) -> None:
        """Write the file anew, beside the old one."""
        kept = self._read()
        kept.pop(url, None)
        if login is not None:
            kept[url] = login.to_text()
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            with open(os.open(beside, flags, _FILE_MODE), "wb") as file:  # noqa: PTH123 - its mode
                file.write(orjson.dumps(kept))
            beside.replace(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise self._unusable(error) from None

    def _read(self) -> dict[str, Any]:
        try:
            mode = self.path.stat().st_mode
            if mode & _OTHERS:
                raise SavedLoginError(
                    f"{self.path} may be read by others, so it is not used: chmod 600 it, or"
                    " delete it and log in again"
                )
            found = orjson.loads(read_bounded(self.path, MAX_LOGIN_BYTES))
        except FileNotFoundError:
            return {}
        except (orjson.JSONDecodeError, TooLongFileError):
            raise SavedLoginError(
                f"{self.path} cannot be read: delete it and log in again"
            ) from None
        except OSError as error:
            raise self._unusable(error) from None
        return found if isinstance(found, dict) else {}

    def _unusable(self, error: OSError) -> SavedLoginError:
        return SavedLoginError(f"{self.path} cannot be used: {(error.strerror or '').lower()}")


@frozen
class KeyringStore:
    """The keyring of the operating system."""

    _keyring: Any  # a backend of the library `keyring`
    _failure: type[Exception]

    @property
    def place(self) -> str:
        """Its name."""
        return "the keyring of this machine"

    def get(self, url: str) -> SavedLogin | None:
        """Return the login."""
        try:
            text = self._keyring.get_password(SERVICE, url)
        except self._failure:
            raise SavedLoginError(_KEYRING_FAILED) from None
        return None if text is None else SavedLogin.of_text(text)

    def put(self, url: str, login: SavedLogin | None) -> None:
        """Keep a login, or forget it."""
        try:
            if login is not None:
                self._keyring.set_password(SERVICE, url, login.to_text())
            elif self._keyring.get_password(SERVICE, url) is not None:
                self._keyring.delete_password(SERVICE, url)
        except self._failure:
            raise SavedLoginError(_KEYRING_FAILED) from None


_KEYRING_FAILED: Final = (
    "the keyring of this machine does not answer: unlock it, or name a file in"
    " CONTROL_PLANE_LOGIN_FILE"
)


def default_file() -> Path:
    """Return the file of whoever has no keyring: in the folder of a person's own settings."""
    return Path(click.get_app_dir("control-plane")) / "login.json"


def login_store(file: Path | None) -> LoginStore:
    """Return the named file, else the keyring, else the file of whoever has none."""
    if file is not None:
        return FileStore(file)
    # Imported when it is first needed: it takes 0.2 s, and most commands have a token.
    keyring = import_module("keyring")
    backend = keyring.get_keyring()
    if backend.priority > 0:
        return KeyringStore(backend, import_module("keyring.errors").KeyringError)
    return FileStore(default_file())


@contextlib.contextmanager
def only_one_refreshes(file: Path | None) -> Iterator[None]:
    """Let one process at a time use a refresh token, because many providers take each but once."""
    beside = (file or default_file()).with_suffix(".lock")
    try:
        beside.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        lock = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    except OSError as error:
        raise SavedLoginError(
            f"{beside} cannot be used: {(error.strerror or '').lower()}"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
