"""One connection to PostgreSQL, to the first server that will do.

asyncpg is told everything; otherwise it would look into the environment and the home folder by
itself. Each server has a deadline of its own, which its addresses share. So a server that has gone
silent does not use up the others' time.
"""

import asyncio
import os
import pwd
import random
import socket
import ssl
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final, cast

import asyncpg
from asyncpg.connect_utils import SessionAttribute
from attrs import frozen

from shared.failures import without_frames
from shared.postgres.bounded_answers import BoundedLoop
from shared.postgres.connection_parameters import (
    ConnectionParameters,
    Server,
    SslMode,
    TargetSession,
)
from shared.postgres.link import Connection
from shared.postgres.message_frames import NoMessageError
from shared.postgres.password_file import SOCKET_HOST, DatabaseLogin, password_of
from shared.postgres.tls import ServerContext, tls_context
from shared.safe_message import SafeMessage

MAX_ADDRESSES: Final = 16  # of one server; a headless service has one for each pod
MIN_ADDRESS_SECONDS: Final = 1.0  # TCP, TLS and a login over a long line
MOST_LOGIN_BYTES: Final = 64 * 1024  # until a server has let us in; some hundred bytes of settings
KEPT_STATEMENTS: Final = 200  # of one connection, prepared; a program has some dozens
_OUR_OWN_DEADLINE_HOLDS: Final = 24 * 3600.0

# ValueError: no resolver takes the host. RuntimeError: asyncpg has no library for the login.
# InternalClientError: what answers is no PostgreSQL, or not the kind that is wanted.
_FAILURES: Final = (
    OSError,
    ValueError,
    RuntimeError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


class DatabaseAwayError(SafeMessage, OSError):
    """No server gave a connection; the message says why the last one did not, in words of ours."""


@frozen
class ServerAttempt:
    """A server, and what it has to be."""

    server: Server
    target: TargetSession


async def connect(
    parameters: ConnectionParameters,
    *,
    seconds: float,
    most_bytes: int,
    command_seconds: float | None = None,
    prepares: bool = False,
) -> Connection:
    """Return a connection; raise `DatabaseAwayError`.

    `seconds` bounds each server if the URL does not, `command_seconds` each statement, and
    `most_bytes` what a server sends until it is asked again. With `prepares`, a repeated statement
    takes one round trip instead of two, unless a pooler stands in between.
    """
    reason = "no server is named"
    try:
        context = await _context(parameters)
    except OSError as error:
        raise DatabaseAwayError(reason_of(error)) from None
    for attempt in attempts(parameters):
        connecting = _Connecting(
            parameters, attempt, context, most_bytes, command_seconds, prepares
        )
        try:
            return await connecting.connect(parameters.connect_seconds or seconds)
        except _FAILURES as error:
            reason = reason_of(error)
    raise DatabaseAwayError(reason)


def reason_of(error: BaseException) -> str:
    """Return why there is no connection: words of ours, or a type's name; no library's text."""
    if isinstance(error.__cause__, NoMessageError):  # asyncpg's own error is before it
        return str(error.__cause__)
    match error:
        case SafeMessage():
            return str(error)
        case ssl.SSLCertVerificationError():
            return f"the server's certificate is not trusted: {error.verify_message}"
        case _:
            return type(error).__name__


def attempts(parameters: ConnectionParameters) -> Iterator[ServerAttempt]:
    """Yield which server is tried for which role, in order; `prefer-standby` takes two rounds."""
    servers = list(parameters.servers)
    if parameters.is_shuffled:
        random.shuffle(servers)  # it spreads a load, and keeps no secret
    rounds = [parameters.target]
    if parameters.target is TargetSession.PREFER_STANDBY:
        rounds = [TargetSession.STANDBY, TargetSession.ANY]
    for target in rounds:
        yield from (ServerAttempt(server, target) for server in servers)


@frozen
class _Connecting:
    """One server's turn."""

    _parameters: ConnectionParameters
    _attempt: ServerAttempt
    _context: ServerContext | None
    _most_bytes: int
    _command_seconds: float | None
    _prepares: bool

    async def connect(self, seconds: float) -> Connection:
        """Return a connection to one of the server's addresses, or raise the last one's failure."""
        deadline = asyncio.get_running_loop().time() + seconds
        async with asyncio.timeout_at(deadline):
            addresses = await self._addresses()
        failure: Exception = TimeoutError()
        for position, address in enumerate(addresses):
            left = deadline - asyncio.get_running_loop().time()
            share = max(left / (len(addresses) - position), MIN_ADDRESS_SECONDS)
            try:
                async with asyncio.timeout(min(share, left)):
                    return await self._connect_to(address)
            except _FAILURES as error:
                failure = without_frames(error)
        raise without_frames(failure)

    async def _addresses(self) -> list[str]:
        server = self._attempt.server
        if server.is_socket:
            return [server.name]
        if server.address is not None or _is_literal(server.name):
            return [server.address or server.name]
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(server.name, server.port, type=socket.SOCK_STREAM)
        return [str(each[4][0]) for each in found][:MAX_ADDRESSES]

    async def _connect_to(self, address: str) -> Connection:
        """Return a connection: with TLS, and then without if the mode allows both."""
        *before, last = self._ways()
        for way in before:
            try:
                return await self._open(address, way)
            except (ConnectionError, ssl.SSLError, asyncpg.PostgresError) as error:
                if not _refuses_way(error):
                    raise
        return await self._open(address, last)

    def _ways(self) -> tuple[ServerContext | None, ...]:
        if self._context is None or self._attempt.server.is_socket:
            return (None,)
        match self._parameters.tls.mode:
            case SslMode.PREFER:
                return (self._context, None)
            case SslMode.ALLOW:
                return (None, self._context)
            case _:
                return (self._context,)

    async def _open(self, address: str, context: ServerContext | None) -> Connection:
        if self._prepares:
            connection = await self._open_keeping(address, context, KEPT_STATEMENTS)
            try:
                if await _is_alone(connection):
                    return connection
            except BaseException:  # also the end of the time that it may take
                connection.terminate()
                raise
            await connection.close()
        return await self._open_keeping(address, context, 0)

    async def _open_keeping(
        self, address: str, context: ServerContext | None, statements: int
    ) -> Connection:
        parameters, server = self._parameters, self._attempt.server
        user = parameters.user or _own_name()
        if context is not None:
            context.server_name = server.name
        loop = BoundedLoop(asyncio.get_running_loop(), MOST_LOGIN_BYTES)
        connection = await asyncpg.connect(
            host=address,
            port=server.port,
            user=user,
            # Not None: asyncpg would look for a file in the home folder.
            password=await self._password(user) or "",
            database=parameters.database or user,
            ssl=context or False,
            direct_tls=parameters.tls.is_direct and context is not None,
            target_session_attrs=SessionAttribute(self._attempt.target.value),
            server_settings=dict(parameters.server_settings),
            krbsrvname="postgres",
            gsslib="gssapi",
            timeout=_OUR_OWN_DEADLINE_HOLDS,
            command_timeout=self._command_seconds,
            statement_cache_size=statements,  # 0: a transaction pooler has none
            max_cached_statement_lifetime=0,  # for as long as the connection is there
            max_cacheable_statement_size=0,  # of any length
            connection_class=Connection,
            loop=cast("asyncio.AbstractEventLoop", loop),
        )
        loop.most_bytes = self._most_bytes
        try:
            connection.watch(parameters.keepalive)
        except BaseException:  # a kernel may not know all of it
            connection.terminate()
            raise
        return connection

    async def _password(self, user: str) -> str | None:
        parameters, server = self._parameters, self._attempt.server
        if parameters.password is not None:
            return parameters.password.reveal_text()
        if parameters.password_file is None:
            return None
        host = SOCKET_HOST if server.is_socket else server.name
        login = DatabaseLogin(host, server.port, parameters.database or user, user)
        password = await asyncio.to_thread(password_of, parameters.password_file, login)
        return password and password.reveal_text()


async def _is_alone(connection: Connection) -> bool:
    """Tell whether the server's session is this connection's own; a pooler shares out sessions.

    A pooler names a process that is no server's (PostgreSQL's documentation, "BackendKeyData"). A
    pooler can be asked too: it is one transaction, and the statement has no name.
    """
    async with connection.transaction():
        asking = await connection.prepare("SELECT pg_backend_pid()", name="")
        return bool(await asking.fetchval() == connection.get_server_pid())


async def _context(parameters: ConnectionParameters) -> ServerContext | None:
    """Return TLS for this connection; reading authorities takes milliseconds, so off the loop."""
    is_remote = not all(server.is_socket for server in parameters.servers)
    if parameters.tls.mode is SslMode.DISABLE or not is_remote:
        return None
    return await asyncio.to_thread(tls_context, parameters.tls)


def _refuses_way(error: Exception) -> bool:
    """Tell whether a server may let us in with TLS but not without, or the reverse."""
    match error:
        case ConnectionRefusedError() | asyncpg.InvalidPasswordError():
            return False
        case asyncpg.InvalidAuthorizationSpecificationError():
            return True  # `pg_hba.conf` has no line for it
        case asyncpg.ConnectionDoesNotExistError():
            return True  # it hung up in the middle of the login
        case _:
            return not isinstance(error, asyncpg.PostgresError)


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _own_name() -> str:
    """Return the name of whoever this process runs as: libpq's default for the user."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise DatabaseAwayError("no user is named, and this process's own has no name") from None
