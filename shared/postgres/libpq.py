"""Tables of libpq's parameters that nothing here acts upon, and of its environment variables.

PostgreSQL's documentation, "Parameter Key Words" and "Environment Variables"; a test compares them
with libpq itself. asyncpg is not libpq: a parameter that passed unread would promise what is not
there (`channel_binding=require` would bind nothing). So each is honoured (`database_url`), or
accepted because it asks for what is so anyway, or refused.
"""

from typing import Final

from attrs import frozen


@frozen
class FixedParameter:
    """A parameter that nothing here acts upon."""

    accepted: tuple[str, ...]  # what is so anyway, lower case
    why: str  # nothing else can be honoured


_NO_GSSAPI: Final = "there is no GSSAPI here"
_NO_OAUTH: Final = "there is no OAuth here"
_NO_KEYS: Final = "asyncpg takes the password alone"
FIXED: Final[dict[str, FixedParameter]] = {
    "channel_binding": FixedParameter(("prefer", "disable"), "asyncpg has no channel binding"),
    "require_auth": FixedParameter((), "asyncpg logs in by whichever method the server asks for"),
    "gssencmode": FixedParameter(("prefer", "disable"), _NO_GSSAPI),
    "gssdelegation": FixedParameter(("0",), _NO_GSSAPI),
    "gsslib": FixedParameter(("gssapi",), _NO_GSSAPI),
    "krbsrvname": FixedParameter(("postgres",), _NO_GSSAPI),
    "sslcompression": FixedParameter(("0",), "TLS is not compressed (CRIME)"),
    "sslsni": FixedParameter(("1",), "the server is always told its name"),
    "sslkeylogfile": FixedParameter((), "it would write the keys of every session to disk"),
    "requirepeer": FixedParameter((), "nobody here asks who is behind a socket"),
    "min_protocol_version": FixedParameter(("3.0",), "asyncpg speaks 3.0"),
    "max_protocol_version": FixedParameter(("3.0", "3.2", "latest"), "asyncpg speaks 3.0"),
    "client_encoding": FixedParameter(("utf8", "utf-8", "unicode"), "asyncpg speaks UTF8"),
    "replication": FixedParameter(("false", "off", "no", "0"), "this is no replication"),
    "service": FixedParameter((), "no service file is read; give its parameters here"),
    "servicefile": FixedParameter((), "no service file is read; give its parameters here"),
    "scram_client_key": FixedParameter((), _NO_KEYS),
    "scram_server_key": FixedParameter((), _NO_KEYS),
    "oauth_issuer": FixedParameter((), _NO_OAUTH),
    "oauth_client_id": FixedParameter((), _NO_OAUTH),
    "oauth_client_secret": FixedParameter((), _NO_OAUTH),
    "oauth_scope": FixedParameter((), _NO_OAUTH),
    "oauth_ca_file": FixedParameter((), _NO_OAUTH),
}
# From libpq's `PQconndefaults`. `requiressl` is older than `sslmode`.
VARIABLES: Final[dict[str, str]] = {
    "PGHOST": "host",
    "PGHOSTADDR": "hostaddr",
    "PGPORT": "port",
    "PGDATABASE": "dbname",
    "PGUSER": "user",
    "PGPASSWORD": "password",
    "PGPASSFILE": "passfile",
    "PGREQUIREAUTH": "require_auth",
    "PGCHANNELBINDING": "channel_binding",
    "PGSERVICE": "service",
    "PGOPTIONS": "options",
    "PGAPPNAME": "application_name",
    "PGREQUIRESSL": "requiressl",
    "PGSSLMODE": "sslmode",
    "PGSSLNEGOTIATION": "sslnegotiation",
    "PGSSLCOMPRESSION": "sslcompression",
    "PGSSLCERT": "sslcert",
    "PGSSLKEY": "sslkey",
    "PGSSLCERTMODE": "sslcertmode",
    "PGSSLROOTCERT": "sslrootcert",
    "PGSSLCRL": "sslcrl",
    "PGSSLCRLDIR": "sslcrldir",
    "PGSSLSNI": "sslsni",
    "PGREQUIREPEER": "requirepeer",
    "PGSSLMINPROTOCOLVERSION": "ssl_min_protocol_version",
    "PGSSLMAXPROTOCOLVERSION": "ssl_max_protocol_version",
    "PGMINPROTOCOLVERSION": "min_protocol_version",
    "PGMAXPROTOCOLVERSION": "max_protocol_version",
    "PGGSSENCMODE": "gssencmode",
    "PGKRBSRVNAME": "krbsrvname",
    "PGGSSLIB": "gsslib",
    "PGGSSDELEGATION": "gssdelegation",
    "PGCONNECT_TIMEOUT": "connect_timeout",
    "PGCLIENTENCODING": "client_encoding",
    "PGTARGETSESSIONATTRS": "target_session_attrs",
    "PGLOADBALANCEHOSTS": "load_balance_hosts",
}
