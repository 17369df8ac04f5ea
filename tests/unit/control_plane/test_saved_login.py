"""Where a login is kept: a file of its owner's, or the machine's keyring."""

from pathlib import Path

import keyring.backend
import keyring.errors
import pytest
from typing_extensions import override

from control_plane.commands.saved_login import (
    SERVICE,
    FileStore,
    KeyringStore,
    LoginStore,
    SavedLogin,
    SavedLoginError,
    login_store,
    only_one_refreshes,
)
from shared.secret import Secret

URL, OTHER = "https://registry.example", "https://other.example"
LOGIN = SavedLogin(
    "https://login.example",
    "cli",
    Secret("canary-access"),
    1.5,
    Secret("canary-refresh"),
    {"a": "b"},
)


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring that keeps passwords in memory, or is locked."""

    priority = 5

    def __init__(self) -> None:
        """Keep nothing yet."""
        super().__init__()  # type: ignore[no-untyped-call]  # keyring's
        self.kept = dict[tuple[str, str], str]()
        self.is_locked = False

    @override
    def get_password(self, service: str, username: str) -> str | None:
        """Return a password."""
        if self.is_locked:
            raise keyring.errors.KeyringLocked
        return self.kept.get((service, username))

    @override
    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep a password."""
        if self.is_locked:
            raise keyring.errors.KeyringLocked
        self.kept[service, username] = password

    @override
    def delete_password(self, service: str, username: str) -> None:
        """Forget a password."""
        del self.kept[service, username]


def stores(folder: Path) -> list[LoginStore]:
    """Return one of each kind."""
    return [
        FileStore(folder / "made" / "login.json"),
        KeyringStore(MemoryKeyring(), keyring.errors.KeyringError),
    ]


def test_each_control_plane_has_a_login_of_its_own(tmp_path: Path) -> None:
    """One is replaced or forgotten, and the others stay."""
    for store in stores(tmp_path):
        assert store.get(URL) is None
        store.put(URL, LOGIN)
        store.put(OTHER, SavedLogin("https://login.example", "cli", Secret("other"), 2.0))
        assert store.get(URL) == LOGIN
        store.put(URL, None)
        store.put(URL, None)
        assert store.get(URL) is None
        other = store.get(OTHER)
        assert other is not None
        assert other.refresh_token is None
        assert "canary" not in repr(LOGIN)
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["login.json"]


def test_a_locked_keyring_is_told_in_words() -> None:
    """With the way out of it."""
    locked = MemoryKeyring()
    locked.is_locked = True
    store = KeyringStore(locked, keyring.errors.KeyringError)
    with pytest.raises(SavedLoginError, match="CONTROL_PLANE_LOGIN_FILE"):
        store.get(URL)
    with pytest.raises(SavedLoginError, match="CONTROL_PLANE_LOGIN_FILE"):
        store.put(URL, LOGIN)


def test_the_keyring_is_taken_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is named comes first; without either, a file of one's own."""
    before = keyring.get_keyring()
    memory = MemoryKeyring()
    try:
        keyring.set_keyring(memory)
        login_store(None).put(URL, LOGIN)
        assert list(memory.kept) == [(SERVICE, URL)]
        assert login_store(tmp_path / "login.json") == FileStore(tmp_path / "login.json")
        keyring.set_keyring(keyring.backends.fail.Keyring())  # type: ignore[no-untyped-call]
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
        assert login_store(None).place == str(tmp_path / "own" / "control-plane" / "login.json")
    finally:
        keyring.set_keyring(before)


def test_one_process_renews_at_a_time(tmp_path: Path) -> None:
    """The lock lies beside the file, and only its owner may open it."""
    with only_one_refreshes(tmp_path / "made" / "login.json"):
        assert (tmp_path / "made" / "login.lock").stat().st_mode & 0o777 == 0o600
    with pytest.raises(SavedLoginError), only_one_refreshes(Path("/proc/none/login.json")):
        pass
