"""TLS to a PostgreSQL server, from the files that are named and from no other.

asyncpg would look for certificates, keys and lists in the home folder by itself. So it is given a
finished context.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from typing_extensions import override

from shared.bounded_file import require_file
from shared.log_fields import bounded_text
from shared.postgres.connection_parameters import SslMode, SystemRoots, TlsParameters
from shared.safe_message import SafeMessage

PROTOCOL: Final = "postgresql"  # ALPN; PostgreSQL 17 wants it where TLS comes first
PEM: Final = "a file in PEM"
MAX_FILE_BYTES: Final = 64 * 1024 * 1024  # as of a device's CRLs; OpenSSL reads them whole


class DatabaseFileError(SafeMessage, OSError):
    """A file that a database URL names cannot be used; the message names parameter and path."""


class ServerContext(ssl.SSLContext):
    """A context that asks for one server by its name, whatever address is connected to."""

    server_name: str | None = None

    @override
    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Return the connection's TLS; event loops pass the address that they connected to."""
        name = self.server_name or server_hostname
        return super().wrap_bio(incoming, outgoing, server_side, name, session)


def tls_context(tls: TlsParameters) -> ServerContext:
    """Return a new context; blocks, and raises `DatabaseFileError`."""
    context = ServerContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version, context.maximum_version = tls.minimum, tls.maximum
    context.check_hostname = tls.mode is SslMode.VERIFY_FULL
    context.verify_mode = ssl.CERT_NONE if tls.roots is None else ssl.CERT_REQUIRED
    context.set_alpn_protocols([PROTOCOL])
    match tls.roots:
        case SystemRoots.SYSTEM:
            context.load_default_certs()
        case Path() as path:
            with _named("sslrootcert", path, f"{PEM} with certificates"):
                require_file(path, MAX_FILE_BYTES)
                context.load_verify_locations(cafile=path)
        case None:
            pass
    _load_revocations(context, tls)
    _load_certificate(context, tls)
    return context


def _load_revocations(context: ssl.SSLContext, tls: TlsParameters) -> None:
    if tls.revocations is not None:
        with _named("sslcrl", tls.revocations, f"{PEM} with revocation lists"):
            require_file(tls.revocations, MAX_FILE_BYTES)
            context.load_verify_locations(cafile=tls.revocations)
    if tls.revocation_folder is not None:
        with _named("sslcrldir", tls.revocation_folder, "a folder, prepared by openssl rehash"):
            next(tls.revocation_folder.iterdir(), None)  # OpenSSL would not miss the folder
            context.load_verify_locations(capath=tls.revocation_folder)
    if tls.revocations is not None or tls.revocation_folder is not None:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


def _load_certificate(context: ssl.SSLContext, tls: TlsParameters) -> None:
    if tls.certificate is None:
        return
    with _named("sslcert", tls.certificate, PEM):
        require_file(tls.certificate, MAX_FILE_BYTES)
    key = tls.key or tls.certificate
    with _named("sslkey" if tls.key else "sslcert", key, f"{PEM} with the certificate's key"):
        require_file(key, MAX_FILE_BYTES)
        # A function, or OpenSSL would ask for the password on the terminal.
        context.load_cert_chain(tls.certificate, tls.key, tls.key_password.reveal)


@contextmanager
def _named(parameter: str, path: Path, expected: str) -> Iterator[None]:
    """Have every failure name the parameter and its path."""
    try:
        yield
    except ssl.SSLError:  # its text only says where in OpenSSL it failed
        problem = f"expected {expected}"
    except OSError as error:
        problem = error.strerror or type(error).__name__
    else:
        return
    shown = bounded_text(str(path))
    raise DatabaseFileError(f"{parameter}: {shown} cannot be used: {problem}")
