"""Reads a database URL for everybody who uses one: facade, control plane and `migrate`.

What the URL does not say, libpq's environment variables say, as for every other client of
PostgreSQL: a machine that is set up to verify its server (`PGSSLMODE`) must not stop verifying it
here. Nothing is read in the home folder unasked: no `.pgpass`, no `.pg_service.conf`, no
`.postgresql`.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from ssl import TLSVersion
from typing import Final

from shared.postgres.connection_parameters import (
    DEFAULT_PORT,
    ConnectionParameters,
    Keepalive,
    Server,
    SslMode,
    SystemRoots,
    TargetSession,
    TlsParameters,
)
from shared.postgres.connection_uri import EXPECTED, parse_connection_uri
from shared.postgres.parameter_reader import ParameterReader
from shared.secret import Secret
from shared.setting_types import (
    MAX_HOST_NAME_CHARACTERS,
    MAX_PORT,
    InvalidSettingError,
)

MAX_SERVERS: Final = 16  # each is waited for in turn; a cluster has three
MAX_CONNECT_SECONDS: Final = 600
MAX_KEEPALIVE_SECONDS: Final = 32767  # Linux, tcp(7): the kernel refuses more
MAX_KEEPALIVE_COUNT: Final = 127
MAX_USER_TIMEOUT_MILLISECONDS: Final = 2**31 - 1

_HOST: Final = re.compile(r"[^\s@/\[\],]+")
_SOCKET: Final = re.compile(r"/[^\s@]*")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)


class LoadBalance(StrEnum):
    """In which order servers are tried (libpq's `load_balance_hosts`)."""

    DISABLE = "disable"
    RANDOM = "random"


class SslNegotiation(StrEnum):
    """How TLS begins (libpq's `sslnegotiation`)."""

    POSTGRES = "postgres"
    DIRECT = "direct"


class CertificateMode(StrEnum):
    """Whether a client certificate is sent (libpq's `sslcertmode`)."""

    DISABLE = "disable"
    ALLOW = "allow"
    REQUIRE = "require"


class TlsVersionName(StrEnum):
    """libpq's names of TLS versions."""

    TLS_1_0 = "TLSv1"
    TLS_1_1 = "TLSv1.1"
    TLS_1_2 = "TLSv1.2"
    TLS_1_3 = "TLSv1.3"


_OLD_VERSIONS: Final = (TlsVersionName.TLS_1_0, TlsVersionName.TLS_1_1)


def read_database_url(url: str, variables: Mapping[str, str] | None = None) -> ConnectionParameters:
    """Return what a URL asks for, completed by libpq's `VARIABLES`.

    Raises `InvalidSettingError`, which names every parameter that cannot be honoured.
    """
    reader = ParameterReader.of(parse_connection_uri(url), variables or {})
    parameters = ConnectionParameters(
        servers=_servers(reader),
        user=reader.text("user"),
        password=reader.secret("password"),
        password_file=reader.path("passfile"),
        database=reader.text("dbname"),
        tls=_tls(reader),
        target=reader.choice("target_session_attrs", TargetSession, TargetSession.ANY),
        is_shuffled=_is_shuffled(reader),
        connect_seconds=reader.number("connect_timeout", 1, MAX_CONNECT_SECONDS, " seconds"),
        keepalive=_keepalive(reader),
        server_settings=_server_settings(reader),
    )
    reader.finish()
    if reader.problems:
        raise InvalidSettingError(*reader.problems)
    return parameters


def _servers(reader: ParameterReader) -> tuple[Server, ...]:
    names, addresses, ports = (_list(reader, each) for each in ("host", "hostaddr", "port"))
    count = len(addresses or names)
    if count == 0:
        reader.wrong("host", f"it is missing; expected {EXPECTED}")
    elif count > MAX_SERVERS:
        reader.wrong("host", f"expected at most {MAX_SERVERS}")
    elif names and len(names) != count:
        reader.wrong("hostaddr", "expected as many as there are hosts")
    elif len(ports) not in {0, 1, count}:
        reader.wrong("port", "expected one, or as many as there are hosts")
    else:
        every_port = ports * count if len(ports) == 1 else ports or [""] * count
        given = zip(names or [""] * count, addresses or [""] * count, every_port, strict=True)
        return tuple(_server(reader, *each) for each in given)
    return ()


def _list(reader: ParameterReader, keyword: str) -> list[str]:
    text = reader.text(keyword)
    return text.split(",") if text else []


def _server(reader: ParameterReader, name: str, address: str, port: str) -> Server:
    is_host = len(name) <= MAX_HOST_NAME_CHARACTERS and _HOST.fullmatch(name)
    if name and not (_SOCKET.fullmatch(name) if name.startswith("/") else is_host):
        reader.wrong("host", "expected names, addresses or folders of sockets")
    elif not (name or address):
        reader.wrong("host", "one of several is empty")
    if address and not _is_address(address):
        reader.wrong("hostaddr", "expected IP addresses")
    if port and not (_PORT.fullmatch(port) and int(port) <= MAX_PORT):
        reader.wrong("port", f"expected 1 to {MAX_PORT}")
        port = ""
    return Server(name or address, int(port or DEFAULT_PORT), address or None)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_shuffled(reader: ParameterReader) -> bool:
    order = reader.choice("load_balance_hosts", LoadBalance, LoadBalance.DISABLE)
    return order is LoadBalance.RANDOM


def _tls(reader: ParameterReader) -> TlsParameters:
    roots = _roots(reader)
    by_default = SslMode.VERIFY_FULL if roots is SystemRoots.SYSTEM else SslMode.PREFER
    mode = reader.choice("sslmode", SslMode, by_default)
    if roots is SystemRoots.SYSTEM and mode is not SslMode.VERIFY_FULL:
        reader.wrong("sslmode", "sslrootcert=system needs verify-full: anybody may be certified")
    if roots is None and mode is SslMode.VERIFY_CA:
        reader.wrong("sslrootcert", "sslmode=verify-ca needs the file of an authority")
    if roots is None and mode is SslMode.VERIFY_FULL:
        roots = SystemRoots.SYSTEM  # libpq would look into the home folder
    minimum, maximum = _versions(reader)
    certificate, key = _client_certificate(reader)
    revocations, folder = reader.path("sslcrl"), reader.path("sslcrldir")
    if roots is None and (revocations or folder):
        keyword = "sslcrl" if revocations else "sslcrldir"
        reader.wrong(keyword, "it needs sslrootcert: without it no certificate is verified")
    return TlsParameters(
        mode=mode,
        is_said=reader.is_in_uri("sslmode"),
        is_direct=_is_direct(reader, mode),
        roots=roots,
        certificate=certificate,
        key=key,
        key_password=reader.secret("sslpassword") or Secret(""),
        revocations=revocations,
        revocation_folder=folder,
        minimum=minimum,
        maximum=maximum,
    )


def _roots(reader: ParameterReader) -> Path | SystemRoots | None:
    path = reader.path("sslrootcert")
    return SystemRoots.SYSTEM if path == Path(SystemRoots.SYSTEM) else path


def _client_certificate(reader: ParameterReader) -> tuple[Path | None, Path | None]:
    certificate, key = reader.path("sslcert"), reader.path("sslkey")
    mode = reader.choice("sslcertmode", CertificateMode, CertificateMode.ALLOW)
    if mode is CertificateMode.REQUIRE:
        reader.wrong("sslcertmode", "cannot be honoured: asyncpg is not told who was asked for one")
    if key is not None and certificate is None:
        reader.wrong("sslkey", "it needs sslcert, the certificate of the key")
    return (None, None) if mode is CertificateMode.DISABLE else (certificate, key)


def _is_direct(reader: ParameterReader, mode: SslMode) -> bool:
    how = reader.choice("sslnegotiation", SslNegotiation, SslNegotiation.POSTGRES)
    if how is SslNegotiation.DIRECT and mode.is_weak:
        reader.wrong("sslnegotiation", "direct needs sslmode=require, verify-ca or verify-full")
    return how is SslNegotiation.DIRECT


def _versions(reader: ParameterReader) -> tuple[TLSVersion, TLSVersion]:
    """Return the lowest and the highest version. If an older one is asked for, it is our lowest."""
    lowest = reader.choice("ssl_min_protocol_version", TlsVersionName, TlsVersionName.TLS_1_2)
    highest = reader.choice("ssl_max_protocol_version", TlsVersionName, TlsVersionName.TLS_1_3)
    if highest in _OLD_VERSIONS:
        reader.wrong("ssl_max_protocol_version", "expected TLSv1.2 or TLSv1.3")
    elif (lowest, highest) == (TlsVersionName.TLS_1_3, TlsVersionName.TLS_1_2):
        reader.wrong("ssl_max_protocol_version", "it is below ssl_min_protocol_version")
    only_newest = lowest is TlsVersionName.TLS_1_3
    not_newest = highest is TlsVersionName.TLS_1_2
    return (
        TLSVersion.TLSv1_3 if only_newest else TLSVersion.TLSv1_2,
        TLSVersion.TLSv1_2 if not_newest else TLSVersion.MAXIMUM_SUPPORTED,
    )


def _keepalive(reader: ParameterReader) -> Keepalive:
    def number(keyword: str, most: int) -> int:
        return reader.number(keyword, 0, most) or 0

    is_on = reader.number("keepalives", 0, 1)
    return Keepalive(
        is_on=is_on != 0,
        idle_seconds=number("keepalives_idle", MAX_KEEPALIVE_SECONDS),
        interval_seconds=number("keepalives_interval", MAX_KEEPALIVE_SECONDS),
        count=number("keepalives_count", MAX_KEEPALIVE_COUNT),
        user_timeout_milliseconds=number("tcp_user_timeout", MAX_USER_TIMEOUT_MILLISECONDS),
    )


def _server_settings(reader: ParameterReader) -> tuple[tuple[str, str], ...]:
    """Return what the server is told: these three are settings of the server, not of the client."""
    name, fallback = reader.text("application_name"), reader.text("fallback_application_name")
    given = {"application_name": name or fallback, "options": reader.text("options")}
    return tuple((keyword, value) for keyword, value in given.items() if value)
