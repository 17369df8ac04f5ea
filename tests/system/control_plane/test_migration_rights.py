"""A login that may not migrate is told what to grant, and then it may."""

from collections.abc import Iterator

import pytest

from deploy.dev.postgres import Postgres
from deploy.dev.product import CommandFailedError
from tests.support.control_plane import run_control_plane

OWNER, PASSWORD = "schema_owner", "canary-owner-password"
DATABASE = "registry"
# What any administrator may have in place, for databases that are not the login's own.
MAKE_ROLES = "CREATE ROLE registry_control_plane NOLOGIN; CREATE ROLE registry_facade NOLOGIN"
DROP_ROLES = "DROP ROLE IF EXISTS registry_control_plane; DROP ROLE IF EXISTS registry_facade"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server of its own: the group roles are the whole server's."""
    with Postgres(tmp_path_factory.mktemp("rights")) as server:
        server.sql(f"CREATE ROLE {OWNER} LOGIN PASSWORD '{PASSWORD}'")
        yield server


@pytest.fixture
def server(cluster: Postgres) -> Iterator[Postgres]:
    """The server with a database of the login's own, and no group roles."""
    cluster.create_database(DATABASE, owner=OWNER)
    yield cluster
    cluster.sql(f"DROP DATABASE {DATABASE} WITH (FORCE)")
    cluster.sql(f"{DROP_ROLES}; ALTER ROLE {OWNER} NOCREATEROLE")


def migrate(server: Postgres) -> None:
    """Migrate as the login."""
    url = server.url(OWNER, PASSWORD, DATABASE)
    run_control_plane("migrate", environment={"CONTROL_PLANE_MIGRATION_DATABASE_URL": url})


def refusal(server: Postgres) -> str:
    """Return the words of a migration that fails, without what it says of itself."""
    with pytest.raises(CommandFailedError, match="exit 1") as failed:
        migrate(server)
    words = str(failed.value)
    assert PASSWORD not in words
    return words


@pytest.mark.parametrize("mend", [f"ALTER ROLE {OWNER} CREATEROLE", MAKE_ROLES])
def test_a_login_that_may_not_make_roles_is_told_what_to_grant(server: Postgres, mend: str) -> None:
    """Either of the two ways that it names is enough."""
    words = refusal(server)
    assert "CREATEROLE" in words
    assert MAKE_ROLES in words
    server.sql(mend)
    migrate(server)


def test_a_login_that_does_not_own_the_database_is_told_so(server: Postgres) -> None:
    """PostgreSQL 15 and newer let nobody else make tables in the schema public."""
    server.sql(f"ALTER DATABASE {DATABASE} OWNER TO postgres; {MAKE_ROLES}")
    assert "ALTER DATABASE name OWNER TO" in refusal(server)
    server.sql(f"ALTER DATABASE {DATABASE} OWNER TO {OWNER}")
    migrate(server)
