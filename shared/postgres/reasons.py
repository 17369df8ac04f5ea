"""Why there is no database, in words and with the next step. Pure.

`connect.reason_of` gives the name of a failure's type, because a library's own text may quote a
URL. Here are the words for the names that a mistake in a URL or a server in trouble leads to.
"""

from typing import Final

_REFUSED_LOGIN: Final = "the server refuses the login"
_WORDS: Final = {
    "InvalidPasswordError": f"{_REFUSED_LOGIN}: the password is wrong, or there is no such role",
    "InvalidAuthorizationSpecificationError": f"{_REFUSED_LOGIN}: there is no such role, it may not"
    " log in, or no line of pg_hba.conf lets it in from here",
    "InvalidCatalogNameError": "the server has no database of that name",
    "InsufficientPrivilegeError": "the login lacks a right: it may not connect to this database, or"
    " it is no member of the group role that `control-plane migrate` made for this program",
    "TooManyConnectionsError": "the server, the database or the login has no connection left",
    "CannotConnectNowError": "the server is starting or stopping",
    "AdminShutdownError": "the server is being shut down",
    "ReadOnlySQLTransactionError": "the server is a standby, or read-only",
    "TargetServerAttributeNotMatched": "no server is what target_session_attrs asks for",
    "ConnectionRefusedError": "nothing listens at that host and port",
    "gaierror": "the host's name does not resolve",
    "TimeoutError": "no answer in time from that host and port",
    "ConnectionError": "the server has no TLS, which sslmode asks for",
    "SSLError": "TLS with the server failed",
    "ConnectionDoesNotExistError": "the server closed the connection",
    "ConnectionResetError": "the server closed the connection",
    "BrokenPipeError": "the server closed the connection",
    "InternalClientError": "what answers there is no PostgreSQL server",
    "ProtocolViolationError": "what answers there is no PostgreSQL server, or a pooler in its way",
    "OSError": "the network does not reach that host and port",
}


def in_words(reason: str) -> str:
    """Return what `reason_of` gave, followed by what it means. Words of ours stay as they are."""
    words = _WORDS.get(reason)
    return reason if words is None else f"{reason}: {words}"
