"""A backup of a database, which is restored in its place."""

from attrs import frozen

from deploy.dev.postgres import Postgres


@frozen
class Backup:
    """A copy of a database as it was when this was made. Blocks."""

    _server: Postgres
    _name: str

    def __attrs_post_init__(self) -> None:
        """Copy it; whoever is connected has to connect again, and cannot before that is done."""
        self._server.sql(
            f'ALTER DATABASE "{self._name}" ALLOW_CONNECTIONS false;'
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE datname = '{self._name}';"
            f'CREATE DATABASE "{self._copy}" TEMPLATE "{self._name}";'
            f'ALTER DATABASE "{self._name}" ALLOW_CONNECTIONS true'
        )

    def restore(self) -> None:
        """Put the copy in the database's place, once."""
        self._server.sql(f'DROP DATABASE "{self._name}" WITH (FORCE)')
        self._server.sql(f'ALTER DATABASE "{self._copy}" RENAME TO "{self._name}"')

    @property
    def _copy(self) -> str:
        return f"{self._name}_backup"
