"""What a database URL asks for: frozen values whose `repr` shows no secret.

`database_url` makes them of libpq's parameters; `connect` connects with them.
"""

from enum import StrEnum
from pathlib import Path
from ssl import TLSVersion
from typing import Final

from attrs import field, frozen

from shared.secret import Secret

DEFAULT_PORT: Final = 5432


class SslMode(StrEnum):
    """How much TLS there has to be (libpq's `sslmode`)."""

    DISABLE = "disable"
    ALLOW = "allow"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"

    @property
    def is_weak(self) -> bool:
        """Whether a connection without TLS would do."""
        return self in {SslMode.DISABLE, SslMode.ALLOW, SslMode.PREFER}


class SystemRoots(StrEnum):
    """The authorities that the machine trusts, in place of a file."""

    SYSTEM = "system"


class TargetSession(StrEnum):
    """Which servers will do (libpq's `target_session_attrs`)."""

    ANY = "any"
    READ_WRITE = "read-write"
    READ_ONLY = "read-only"
    PRIMARY = "primary"
    STANDBY = "standby"
    PREFER_STANDBY = "prefer-standby"


@frozen
class Server:
    """One of the named servers: where it is, and by which name it is known."""

    name: str  # its name in its certificate and in the password file; or a socket's folder
    port: int = DEFAULT_PORT
    address: str | None = None  # libpq's `hostaddr`: the name is not resolved

    @property
    def is_socket(self) -> bool:
        """Whether it is reached through a socket of this machine, and so without TLS."""
        return self.address is None and self.name.startswith("/")


@frozen
class TlsParameters:
    """How a server is spoken to. Files are read anew for every connection."""

    mode: SslMode = SslMode.PREFER
    is_said: bool = field(default=False, eq=False)  # the URL itself says the mode
    is_direct: bool = False  # TLS from the first byte on (libpq's `sslnegotiation`)
    roots: Path | SystemRoots | None = None  # None: no certificate is verified
    certificate: Path | None = None
    key: Path | None = None  # None: it lies in the certificate's file
    key_password: Secret = field(default=Secret(""), repr=False)
    revocations: Path | None = None
    revocation_folder: Path | None = None
    minimum: TLSVersion = TLSVersion.TLSv1_2
    maximum: TLSVersion = TLSVersion.MAXIMUM_SUPPORTED


@frozen
class Keepalive:
    """How the kernel finds out that a link is dead; 0 is the system's own value."""

    is_on: bool = True
    idle_seconds: int = 0
    interval_seconds: int = 0
    count: int = 0
    user_timeout_milliseconds: int = 0


@frozen
class ConnectionParameters:
    """Everything that a connection is made with."""

    servers: tuple[Server, ...]
    user: str | None = None  # None: this process's own
    password: Secret | None = field(default=None, repr=False)
    password_file: Path | None = None  # read if there is no password
    database: str | None = None  # None: named as the user
    tls: TlsParameters = TlsParameters()
    target: TargetSession = TargetSession.ANY
    is_shuffled: bool = False  # whether the servers are tried in any order
    connect_seconds: float | None = None  # for each server; None: the caller's own bound
    keepalive: Keepalive = Keepalive()
    server_settings: tuple[tuple[str, str], ...] = ()
