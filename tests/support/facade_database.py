"""Migrated databases, cheap enough for one a test: each is a copy of one template."""

import asyncio
from typing import Self

import uvloop
from attrs import define, field, frozen

from control_plane.database.migrate import migrate
from deploy.dev.postgres import Postgres
from shared.postgres.database_url import read_database_url

TEMPLATE = "facade_template"
FACADE_ROLE = "device_endpoint"
FACADE_PASSWORD = "facade's own password"


@frozen
class FacadeDatabase:
    """One database of the product: its owner's URL, and that of a member of `registry_facade`."""

    name: str
    owner_url: str
    facade_url: str


@define
class DatabaseTemplate:
    """A migrated database that others are copied from."""

    postgres: Postgres
    _copies: int = field(default=0, init=False)

    @classmethod
    def make(cls, postgres: Postgres) -> Self:
        """Migrate a new database and make the facade's login role. Blocks, outside of any loop."""
        postgres.create_database(TEMPLATE)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(migrate(read_database_url(postgres.superuser_url_of(TEMPLATE))))
        password = FACADE_PASSWORD.replace("'", "''")
        postgres.sql(
            f"CREATE ROLE {FACADE_ROLE} LOGIN PASSWORD '{password}' IN ROLE registry_facade"
        )
        return cls(postgres)

    def copy(self) -> FacadeDatabase:
        """Return a new database."""
        # file_copy: its CPU is two thirds of what a copy through the log takes (measured).
        self._copies += 1
        name = f"copy_{self._copies}"
        self.postgres.sql(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy")
        return FacadeDatabase(
            name,
            self.postgres.superuser_url_of(name),
            self.postgres.url(FACADE_ROLE, FACADE_PASSWORD, name),
        )
