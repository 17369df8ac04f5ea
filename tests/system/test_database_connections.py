"""Connections to a real PostgreSQL as a database URL asks for them, TLS in front of it included."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from deploy.dev.device_ca import CertificateAuthority, IssuedCertificate
from deploy.dev.postgres import Postgres
from shared.postgres.connect import DatabaseAwayError, connect
from shared.postgres.connection_parameters import Keepalive
from shared.postgres.database_url import MAX_KEEPALIVE_SECONDS, read_database_url
from shared.postgres.link import Connection
from tests.support.eventually import PATIENCE_SECONDS, eventually
from tests.support.memory import MIB
from tests.support.postgres_front import SOCKET_NAME, PostgresFront
from tests.support.tcp_proxy import TcpProxy
from tests.support.traps import GARBAGE, trapped_home

SECONDS = 10.0
CANARY = "canary-"

UrlOf = Callable[..., str]


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    """Who certifies the database's server and its clients."""
    return CertificateAuthority.create("database CA")


@pytest.fixture(scope="module")
def certificate(authority: CertificateAuthority) -> IssuedCertificate:
    """The server's, for one name and no address."""
    return authority.issue_server(dns=("localhost",), ips=())


@pytest.fixture(scope="module")
def files(
    authority: CertificateAuthority,
    certificate: IssuedCertificate,
    other_ca: CertificateAuthority,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """What a URL may name: authorities, a client's certificate, revocation lists."""
    folder = tmp_path_factory.mktemp("database")
    (folder / "ca.pem").write_bytes(authority.pem)
    (folder / "other.pem").write_bytes(other_ca.pem)
    (folder / "garbage.pem").write_text(GARBAGE)
    authority.issue().write(folder, "client")
    certificate.write(folder, "server")
    (folder / "empty.crl").write_bytes(authority.crl())
    (folder / "revoked.crl").write_bytes(authority.crl([certificate.certificate.serial_number]))
    return folder


def server_side(files: Path, *, wants_certificates: bool = False) -> ssl.SSLContext:
    """Return a server's TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "server.pem", files / "server.key")
    if wants_certificates:
        context.load_verify_locations(cafile=files / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.fixture(scope="module")
def url_of(postgres: Postgres) -> UrlOf:
    """Return the superuser's URL of another place, with parameters."""

    def url(place: str, **parameters: object) -> str:
        user, _, _ = postgres.superuser_url.partition("@")
        pairs = "&".join(f"{name}={value}" for name, value in parameters.items())
        return f"{user}@{place}/postgres?{pairs}"

    return url


@asynccontextmanager
async def connected(url: str, variables: dict[str, str] | None = None) -> AsyncIterator[Connection]:
    """Give a connection as a process makes it."""
    connection = await connect(read_database_url(url, variables), seconds=SECONDS, most_bytes=MIB)
    try:
        yield connection
    finally:
        await connection.close()


async def works(url: str, variables: dict[str, str] | None = None) -> bool:
    """Tell whether the server answers."""
    async with connected(url, variables) as connection:
        return bool(await connection.fetchval("SELECT true"))


async def refusal(url: str) -> str:
    """Return why there is no connection; no secret and no library's text is in it."""
    with pytest.raises(DatabaseAwayError) as refused:
        await works(url)
    assert CANARY not in repr(refused.value)
    assert refused.value.__cause__ is None
    return str(refused.value)


@pytest.mark.parametrize(
    "parameters, links",
    [
        ({}, ["tls"]),
        ({"sslmode": "prefer"}, ["tls"]),
        ({"sslmode": "allow"}, ["plain"]),
        ({"sslmode": "disable"}, ["plain"]),
        ({"sslmode": "require"}, ["tls"]),
        ({"sslmode": "require", "sslrootcert": "{files}/ca.pem"}, ["tls"]),
        ({"sslmode": "verify-ca", "sslrootcert": "{files}/ca.pem"}, ["tls"]),
        ({"sslmode": "verify-full", "sslrootcert": "{files}/ca.pem"}, ["tls"]),
        ({"sslmode": "require", "ssl_min_protocol_version": "TLSv1.3"}, ["tls"]),
        ({"sslmode": "require", "ssl_max_protocol_version": "TLSv1.2"}, ["tls"]),
        ({"sslmode": "require", "channel_binding": "prefer", "gssencmode": "disable"}, ["tls"]),
        (
            {
                "sslmode": "verify-full",
                "sslrootcert": "{files}/ca.pem",
                "sslcrl": "{files}/empty.crl",
            },
            ["tls"],
        ),
    ],
)
async def test_as_much_tls_as_is_asked_for(
    postgres: Postgres,
    url_of: UrlOf,
    files: Path,
    parameters: dict[str, str],
    links: list[str],
) -> None:
    """By default it is preferred, as libpq has it."""
    given = {name: value.format(files=files) for name, value in parameters.items()}
    async with PostgresFront(postgres.port, tls=server_side(files)) as front:
        assert await works(url_of(f"localhost:{front.port}", **given))
        assert front.links == links


@pytest.mark.parametrize(
    "place, parameters, reason",
    [
        (
            "localhost",
            {"sslmode": "verify-full", "sslrootcert": "{files}/other.pem"},
            "not trusted",
        ),
        ("localhost", {"sslmode": "verify-ca", "sslrootcert": "{files}/other.pem"}, "not trusted"),
        ("localhost", {"sslmode": "require", "sslrootcert": "{files}/other.pem"}, "not trusted"),
        ("localhost", {"sslmode": "verify-full"}, "not trusted"),  # the machine's authorities
        ("localhost", {"sslrootcert": "system"}, "not trusted"),
        ("127.0.0.1", {"sslmode": "verify-full", "sslrootcert": "{files}/ca.pem"}, "mismatch"),
        (
            "localhost",
            {
                "sslmode": "verify-full",
                "sslrootcert": "{files}/ca.pem",
                "sslcrl": "{files}/revoked.crl",
            },
            "revoked",
        ),
        (
            "localhost",
            {"sslmode": "require", "sslrootcert": "{files}/missing.pem"},
            "sslrootcert: {files}/missing.pem cannot be used: No such file",
        ),
        (
            "localhost",
            {"sslmode": "require", "sslcert": "{files}/garbage.pem"},
            "sslcert: {files}/garbage.pem cannot be used: expected",
        ),
    ],
)
async def test_a_server_that_is_not_believed_is_not_logged_in_to(
    postgres: Postgres,
    url_of: UrlOf,
    files: Path,
    place: str,
    parameters: dict[str, str],
    reason: str,
) -> None:
    """In words, and with the file's name where a file is the reason."""
    given = {name: value.format(files=files) for name, value in parameters.items()}
    async with PostgresFront(postgres.port, tls=server_side(files)) as front:
        url = url_of(f"{place}:{front.port}", **given)
        assert reason.format(files=files) in await refusal(url)
        assert front.links == []


async def test_the_machines_authorities_are_believed(
    postgres: Postgres,
    url_of: UrlOf,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`sslrootcert=system`, and `verify-full` alone: nobody looks into the home folder for them."""
    monkeypatch.setenv("SSL_CERT_FILE", str(files / "ca.pem"))
    async with PostgresFront(postgres.port, tls=server_side(files)) as front:
        assert await works(url_of(f"localhost:{front.port}", sslrootcert="system"))
        assert await works(url_of(f"localhost:{front.port}", sslmode="verify-full"))
        assert front.links == ["tls", "tls"]


@pytest.mark.parametrize(
    "front_is, sslmode, links",
    [
        ({}, "prefer", ["plain"]),  # a server without TLS
        ({"breaks_tls": True}, "prefer", ["plain"]),
        ({"has_tls": True, "refuses_tls_logins": True}, "prefer", ["tls", "plain"]),
        ({"has_tls": True, "hangs_up_on_tls": True}, "prefer", ["tls", "plain"]),
        ({"has_tls": True}, "allow", ["plain"]),
    ],
)
async def test_without_tls_where_that_is_allowed(
    postgres: Postgres,
    url_of: UrlOf,
    files: Path,
    front_is: dict[str, Any],
    sslmode: str,
    links: list[str],
) -> None:
    """As libpq goes on: the server has no TLS, breaks it, or lets nobody in over it."""
    arguments = dict(front_is)
    tls = server_side(files) if arguments.pop("has_tls", False) else None
    async with PostgresFront(postgres.port, tls=tls, **arguments) as front:
        assert await works(url_of(f"localhost:{front.port}", sslmode=sslmode))
        assert front.links == links


@pytest.mark.parametrize("sslmode", ["prefer", "allow"])
async def test_a_wrong_password_is_tried_once(
    postgres: Postgres, files: Path, sslmode: str
) -> None:
    """Without TLS it is as wrong, and a second try counts against the account."""
    async with PostgresFront(postgres.port, tls=server_side(files)) as front:
        url = f"postgresql://postgres:{CANARY}@localhost:{front.port}/postgres?sslmode={sslmode}"
        assert await refusal(url) == "InvalidPasswordError"
        assert len(front.links) == 1


@pytest.mark.parametrize("sslmode", ["require", "verify-full"])
async def test_never_without_tls_where_it_is_required(
    postgres: Postgres, url_of: UrlOf, files: Path, sslmode: str
) -> None:
    """A man in the middle says that the server has none."""
    async with PostgresFront(postgres.port) as front:
        given = {"sslmode": sslmode, "sslrootcert": files / "ca.pem"}
        assert await refusal(url_of(f"localhost:{front.port}", **given)) == "ConnectionError"
        assert front.links == []


async def test_tls_from_the_first_byte_on(postgres: Postgres, url_of: UrlOf, files: Path) -> None:
    """`sslnegotiation=direct`, with the name of the server in it."""
    tls = server_side(files)
    async with PostgresFront(postgres.port, tls=tls, is_direct=True) as front:
        given = {"sslmode": "verify-full", "sslrootcert": files / "ca.pem"}
        url = url_of(f"localhost:{front.port}", sslnegotiation="direct", **given)
        assert await works(url)
        assert (front.links, front.names) == (["tls"], ["localhost"])


async def test_a_client_certificate_is_shown(
    postgres: Postgres, url_of: UrlOf, files: Path
) -> None:
    """From the two files that are named; without them the server lets nobody in."""
    tls = server_side(files, wants_certificates=True)
    async with PostgresFront(postgres.port, tls=tls) as front:
        pair = {"sslcert": files / "client.pem", "sslkey": files / "client.key"}
        assert await works(url_of(f"localhost:{front.port}", sslmode="require", **pair))
        assert await refusal(url_of(f"localhost:{front.port}", sslmode="require"))
        withheld = url_of(
            f"localhost:{front.port}", sslmode="require", sslcertmode="disable", **pair
        )
        assert await refusal(withheld)
        assert front.links == ["tls"]


async def test_an_address_is_connected_to_and_the_name_is_believed(
    postgres: Postgres, url_of: UrlOf, files: Path
) -> None:
    """Libpq's `hostaddr`: nothing is resolved, and the certificate is the name's."""
    async with PostgresFront(postgres.port, tls=server_side(files)) as front:
        given = {"sslmode": "verify-full", "sslrootcert": files / "ca.pem"}
        url = url_of(f"localhost:{front.port}", hostaddr="127.0.0.1", **given)
        assert await works(url)
        nowhere = url_of(f"no-such-name.invalid:{front.port}", hostaddr="127.0.0.1", **given)
        assert "mismatch" in await refusal(nowhere)
        assert front.names == ["localhost", "no-such-name.invalid"]


async def test_a_socket_of_this_machine(postgres: Postgres, url_of: UrlOf, tmp_path: Path) -> None:
    """TLS is no matter on it, whatever the mode says."""
    folder = tmp_path / "run"
    folder.mkdir()
    async with PostgresFront(postgres.port, path=folder) as front:
        assert (folder / SOCKET_NAME).is_socket()
        assert await works(url_of("", host=folder, sslmode="require"))
        assert await works(url_of(str(folder).replace("/", "%2F")))
        assert front.links == ["plain", "plain"]


async def test_the_next_server_is_tried(postgres: Postgres, url_of: UrlOf) -> None:
    """One that is not there, one that is silent, one that does not resolve; each has its time."""
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        places = (
            f"127.0.0.1:{closed.getsockname()[1]}",
            f"127.0.0.1:{silent.getsockname()[1]}",
            "no-such-name.invalid:5432",
            f"127.0.0.1:{postgres.port}",
        )
        # On a busy machine the one that is there takes its time as well.
        assert await works(url_of(",".join(places), connect_timeout=5))
        assert await refusal(url_of(places[0], connect_timeout=1)) == "ConnectionRefusedError"


async def test_a_connection_that_is_given_up_is_closed(postgres: Postgres, url_of: UrlOf) -> None:
    """The server had let it in, and was not asked in time whose session it is."""

    def but_the_first_statement() -> Callable[[bytes], bytes]:
        return lambda sent: b"" if b"BEGIN" in sent else sent

    def sessions() -> str:
        named = "application_name = 'given_up'"
        return postgres.sql(f"SELECT count(*) FROM pg_stat_activity WHERE {named}")

    with TcpProxy(postgres.port, make_client_filter=but_the_first_statement) as link:
        url = url_of(f"127.0.0.1:{link.port}", application_name="given_up", connect_timeout=5)
        connecting = asyncio.create_task(
            connect(read_database_url(url), seconds=PATIENCE_SECONDS, most_bytes=MIB, prepares=True)
        )
        await eventually(lambda: sessions() == "1")
        with pytest.raises(DatabaseAwayError):
            await connecting
        await eventually(lambda: sessions() == "0")


async def test_a_connection_that_cannot_be_watched_is_closed(
    postgres: Postgres, url_of: UrlOf
) -> None:
    """A kernel that does not know an option refuses it after the login."""
    url = read_database_url(
        url_of(f"127.0.0.1:{postgres.port}", application_name="not_watched", connect_timeout=5)
    )
    too_long = evolve(url, keepalive=Keepalive(idle_seconds=MAX_KEEPALIVE_SECONDS + 1))
    with pytest.raises(DatabaseAwayError):
        await connect(too_long, seconds=SECONDS, most_bytes=MIB)
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'not_watched'"
    await eventually(lambda: postgres.sql(count) == "0")


@pytest.mark.parametrize(
    "target, is_right",
    [("any", True), ("primary", True), ("read-write", True), ("prefer-standby", True),
     ("standby", False), ("read-only", False)],
)  # fmt: skip
async def test_only_a_server_of_the_wanted_kind_will_do(
    postgres: Postgres,
    url_of: UrlOf,
    target: str,
    is_right: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """This one is a primary that may be written to."""
    url = url_of(f"127.0.0.1:{postgres.port}", target_session_attrs=target)
    if is_right:
        assert await works(url)
    else:
        assert await refusal(url) == "TargetServerAttributeNotMatched"


async def test_the_server_is_told_its_settings(postgres: Postgres, url_of: UrlOf) -> None:
    """`options` and the application's name; the last one is for where there is none."""
    given = {
        "options": "-c%20statement_timeout%3D5s%20-c%20geqo%3Doff",
        "application_name": "control-plane",
        "fallback_application_name": "other",
    }
    async with connected(url_of(f"127.0.0.1:{postgres.port}", **given)) as connection:
        shown = [
            await connection.fetchval(f"SHOW {name}")
            for name in ("statement_timeout", "geqo", "application_name")
        ]
    assert shown == ["5s", "off", "control-plane"]
    del given["application_name"]
    async with connected(url_of(f"127.0.0.1:{postgres.port}", **given)) as connection:
        assert await connection.fetchval("SHOW application_name") == "other"


async def test_a_setting_that_the_server_refuses_is_no_traceback(
    postgres: Postgres, url_of: UrlOf
) -> None:
    """It is the server's to know its settings: the connection fails, with its kind of error."""
    url = url_of(f"127.0.0.1:{postgres.port}", options="-c%20no_such_setting%3D1")
    assert await refusal(url) == "UndefinedObjectError"


async def test_the_kernel_watches_the_link(postgres: Postgres, url_of: UrlOf) -> None:
    """As libpq has it: on by default, with the numbers of the URL, or off."""
    given = {
        "keepalives_idle": 31,
        "keepalives_interval": 7,
        "keepalives_count": 4,
        "tcp_user_timeout": 12345,
    }
    for parameters, expected in (
        (given, (1, 31, 7, 4, 12345)),
        ({}, (1, None, None, None, 0)),
        ({"keepalives": 0}, (0, None, None, None, 0)),
    ):
        async with connected(url_of(f"127.0.0.1:{postgres.port}", **parameters)) as connection:
            link = connection._link  # noqa: SLF001 - what the kernel was told is nowhere else
            assert link is not None
            options = (
                (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
                (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
                (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
                (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
            )
            for option, value in zip(options, expected, strict=True):
                assert value in (None, link.getsockopt(*option))


async def test_a_password_of_the_file_that_is_named(
    postgres: Postgres, url_of: UrlOf, tmp_path: Path
) -> None:
    """`passfile`, of the URL or of the environment; the URL's own password comes first."""
    password = postgres.superuser_url.partition("@")[0].rpartition(":")[2]
    file = tmp_path / "pgpass"
    file.write_text(f"# ours\nother:*:*:*:{CANARY}\n127.0.0.1:{postgres.port}:*:*:{password}\n")
    file.chmod(0o600)
    place = f"postgresql://postgres@127.0.0.1:{postgres.port}/postgres"
    assert await works(f"{place}?passfile={file}")
    assert await works(place, {"PGPASSFILE": str(file)})
    assert await works(url_of(f"127.0.0.1:{postgres.port}", passfile=tmp_path / "missing"))
    assert await refusal(place) == "InvalidPasswordError"
    file.chmod(0o640)
    assert "passfile: " in (said := await refusal(f"{place}?passfile={file}"))
    assert "others may read it" in said


async def test_nothing_is_read_in_the_home_folder_or_of_the_environment_unasked(
    postgres: Postgres, url_of: UrlOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asyncpg looks there by itself: what it would find here would make it fail, or log it in."""
    password = postgres.superuser_url.partition("@")[0].rpartition(":")[2]
    home = trapped_home(tmp_path, password)
    monkeypatch.setenv("HOME", str(home))
    for variable in (
        "PGSERVICE", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGSSLMODE", "PGSSLROOTCERT",
        "PGSSLCERT", "PGSSLKEY", "PGSSLCRL", "PGTARGETSESSIONATTRS", "PGSSLNEGOTIATION",
        "PGSSLMINPROTOCOLVERSION", "PGGSSLIB", "PGKRBSRVNAME",
    ):  # fmt: skip
        monkeypatch.setenv(variable, "other")
    monkeypatch.setenv("PGPASSWORD", password)
    assert await works(url_of(f"127.0.0.1:{postgres.port}"))
    place = f"postgresql://postgres@127.0.0.1:{postgres.port}/postgres"
    assert await refusal(place) == "InvalidPasswordError"
