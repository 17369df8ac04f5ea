"""Passwords out of a file that the URL names, as libpq reads it."""

from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from shared.postgres.password_file import MAX_FILE_BYTES, DatabaseLogin, password_of
from shared.postgres.tls import DatabaseFileError
from shared.secret import Secret

CANARY = "canary-77a0"
LOGIN = DatabaseLogin("h", 5432, "d", "u")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where files are written, one for each example."""
    return tmp_path_factory.mktemp("passwords")


def written(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    """Return a file."""
    file = folder / "pgpass"
    file.write_bytes(content)
    file.chmod(mode)
    return file


@pytest.mark.parametrize(
    "lines, password",
    [
        ("h:5432:d:u:secret", "secret"),
        ("*:*:*:*:secret", "secret"),
        ("# h:5432:d:u:no\n\nother:5432:d:u:no\nh:5432:d:u:secret\nh:5432:d:u:later", "secret"),
        ("h:5432:d:u:se:cret", "se:cret"),
        (r"h:5432:d:u:se\:c\\ret", r"se:c\ret"),
        ("h:5432:d:u:secret\r\n", "secret"),
        ("h:5432:d:u: secret ", " secret "),
        ("h:5432:d:u:", ""),
        ("h:5433:d:u:no", None),
        ("h:5432:d:u", None),
        ("h2:*:*:*:no", None),
        ("", None),
    ],
)
def test_the_first_line_that_fits_counts(folder: Path, lines: str, password: str | None) -> None:
    """Its password may hold colons."""
    found = password_of(written(folder, lines.encode()), LOGIN)
    assert found == (None if password is None else Secret(password))


def test_names_may_hold_what_separates_fields(folder: Path) -> None:
    """IPv6 addresses do."""
    file = written(folder, rb"\:\:1:5432:d\\b:u:secret")
    login = evolve(LOGIN, host="::1", database=r"d\b")
    assert password_of(file, login) == Secret("secret")


@pytest.mark.parametrize(
    "content, mode, problem",
    [
        (CANARY.encode(), 0o640, "others may read it; expected the mode 0600"),
        (CANARY.encode(), 0o604, "others may read it; expected the mode 0600"),
        (CANARY.encode() + b"\xff", 0o600, "expected UTF-8 text"),
        (CANARY.encode() * MAX_FILE_BYTES, 0o600, "expected at most 262144 bytes"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    folder: Path, content: bytes, mode: int, problem: str
) -> None:
    """Libpq would ignore it, and nobody would know why the login fails."""
    file = written(folder, content, mode)
    with pytest.raises(DatabaseFileError) as refused:
        password_of(file, LOGIN)
    assert str(refused.value) == f"passfile: {file} cannot be used: {problem}"


@pytest.mark.parametrize("name", ["missing", "."])
def test_what_is_no_file_is_named(folder: Path, name: str) -> None:
    """A folder, or nothing."""
    with pytest.raises(DatabaseFileError, match=r"^passfile: .* cannot be used: "):
        password_of(folder / name, LOGIN)


fields = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0"), min_size=1, max_size=12)


@given(fields, fields, fields, st.text(st.characters(codec="utf-8", exclude_characters="\n\r")))
def test_what_is_escaped_is_read_as_it_was(
    folder: Path, host: str, database: str, user: str, password: str
) -> None:
    """Any field, whatever it holds; `*` alone and a comment's `#` are libpq's own."""

    def escaped(text: str) -> str:
        return text.replace("\\", "\\\\").replace(":", "\\:")

    if host.startswith("#"):
        host = f"x{host}"
    line = ":".join(map(escaped, (host, "5432", database, user, password)))
    file = written(folder, f"other:1:x:y:no\n{line}\n".encode())
    assert password_of(file, DatabaseLogin(host, 5432, database, user)) == Secret(password)
    if host != "*":
        assert password_of(file, DatabaseLogin(f"{host}x", 5432, database, user)) is None


@given(st.binary(max_size=200))
def test_any_file_is_read_or_refused(folder: Path, content: bytes) -> None:
    """Nothing but the declared error."""
    file = written(folder, content)
    try:
        password = password_of(file, LOGIN)
    except DatabaseFileError:
        return
    assert password is None or isinstance(password, Secret)
