"""One database of a test."""

from attrs import frozen

from deploy.dev.postgres import Postgres


@frozen
class Database:
    """An empty database on `server`, for one test."""

    server: Postgres
    name: str

    @property
    def superuser_url(self) -> str:
        """How the superuser reaches it."""
        return self.server.superuser_url_of(self.name)

    def url(self, role: str, password: str) -> str:
        """How `role` reaches it."""
        return self.server.url(role, password, self.name)

    def sql(self, statements: str) -> str:
        """Run statements as the superuser; rows as lines, columns between `|`. Blocks."""
        return self.server.sql(statements, self.name)
