"""A password leaves this machine for a server that proves who it is, or as the URL says."""

from pathlib import Path

import pytest
from attrs import frozen

from shared.environment import ConfigurationError, load
from shared.postgres.exposure import exposure_of
from shared.postgres.setting import DatabaseUrl, parse_database_url
from shared.setting_types import InvalidSettingError

CANARY = "canary-database-password"
LOCAL = [
    "127.0.0.1",
    "127.8.9.10:6432",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "localhost",
    "LOCALHOST.",
    "db.localhost",
    "%2Frun%2Fpostgresql",
    "127.0.0.1,localhost,[::1]",
    "",
]
AWAY = [
    "db.example",
    "10.0.0.7",
    "192.0.2.1:6432",
    "[2001:db8::7]",
    "localhost.example",
    "127.0.0.1.example",
    "0.0.0.0",  # noqa: S104  # nobody listens here
    "db",
    "127.0.0.1,db.example",
]
WEAK = ["disable", "allow", "prefer", "require"]


@frozen(kw_only=True)
class Settings:
    """A command's."""

    database_url: DatabaseUrl


def url(place: str, query: str = "", password: str = f":{CANARY}") -> str:
    """Return a URL; without a place its socket is in the query."""
    query = query if place else f"host=/run/postgresql&{query}"
    return (
        f"postgresql://u{password}@{place}/d?{query}"
        if query
        else (f"postgresql://u{password}@{place}/d")
    )


@pytest.mark.parametrize("place", LOCAL)
@pytest.mark.parametrize("query", ["", "sslmode=disable", "sslmode=prefer"])
def test_a_password_for_this_machine_needs_nothing(place: str, query: str) -> None:
    """A socket, or loopback in any of its forms."""
    assert exposure_of(parse_database_url(url(place, query), {})) is None


@pytest.mark.parametrize("place", AWAY)
def test_a_password_that_would_go_away_unsaid_is_refused(place: str) -> None:
    """The setting is named, and what to say; nothing of the URL is quoted."""
    with pytest.raises(ConfigurationError) as refused:
        load(Settings, "APP", {"APP_DATABASE_URL": url(place)})
    (problem,) = refused.value.problems
    assert problem.startswith("APP_DATABASE_URL: a password is sent to another machine")
    assert "sslmode=verify-full" in problem
    assert CANARY not in problem
    assert "example" not in problem


@pytest.mark.parametrize(
    "query, variables",
    [
        ("password=x", {}),
        ("", {"PGPASSWORD": "x"}),
        ("", {"PGPASSWORD": "x", "PGSSLMODE": "require"}),
        ("hostaddr=192.0.2.1", {"PGPASSWORD": "x"}),
        ("", {"PGPASSWORD": "x", "PGREQUIRESSL": "1"}),
    ],
)
def test_wherever_the_password_comes_from(query: str, variables: dict[str, str]) -> None:
    """And the environment is not the URL: who reads that must see what is given up."""
    with pytest.raises(InvalidSettingError, match="password is sent to another machine"):
        parse_database_url(url("db.example", query, password=""), variables)


def test_a_password_file_is_a_password(tmp_path: Path) -> None:
    """Whatever it holds today."""
    file = tmp_path / "pgpass"
    file.write_text("*:*:*:*:x\n")
    file.chmod(0o600)
    with pytest.raises(InvalidSettingError, match="password is sent to another machine"):
        parse_database_url(url("db.example", f"passfile={file}", password=""), {})


def test_an_address_of_this_machine_under_another_name_is_local() -> None:
    """What is connected to counts, not what it is called."""
    assert exposure_of(parse_database_url(url("db.example", "hostaddr=127.0.0.1"), {})) is None


@pytest.mark.parametrize("place", AWAY)
@pytest.mark.parametrize("mode", WEAK)
def test_what_the_url_says_itself_is_done_and_warned_of(place: str, mode: str) -> None:
    """At each start; the words name the mode."""
    words = exposure_of(parse_database_url(url(place, f"sslmode={mode}"), {}))
    assert words is not None
    assert f"sslmode={mode}" in words
    assert CANARY not in words


@pytest.mark.parametrize("place", AWAY)
@pytest.mark.parametrize(
    "query, variables",
    [
        ("sslmode=verify-full", {}),
        ("sslrootcert=system", {}),
        ("", {"PGSSLMODE": "verify-full"}),
    ],
)
def test_a_server_that_proves_who_it_is_may_have_it(
    place: str, query: str, variables: dict[str, str]
) -> None:
    """Nothing is warned of."""
    assert exposure_of(parse_database_url(url(place, query), variables)) is None


def test_without_a_password_nothing_is_given_away() -> None:
    """A client's certificate proves, and is not worn out by it."""
    assert exposure_of(parse_database_url(url("db.example", password=""), {})) is None
