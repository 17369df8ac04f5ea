"""`control-plane migrate`: the database, brought to this program's schema."""

import asyncpg
import click
from sqlalchemy.exc import SQLAlchemyError

from control_plane.commands.running import command, fail, say, warn_of_exposure
from control_plane.commands.usage import Command
from control_plane.database.migrate import (
    CONTROL_PLANE_CONNECTIONS,
    FACADE_CONNECTIONS,
    HeldUpError,
    MissingRightError,
    NewerSchemaError,
    unlimited_logins,
)
from control_plane.database.migrate import migrate as migrate_database
from control_plane.migrations.newest import newest_revision
from control_plane.serving.config import MigrateSettings
from control_plane.serving.environment import settings

_LOGINS = (
    "Now make the login roles: one for the control plane, and one for each facade, so that a stolen"
    " one can be taken away alone. For example:\n"
    "  CREATE ROLE control_plane LOGIN PASSWORD '...'"
    f" CONNECTION LIMIT {CONTROL_PLANE_CONNECTIONS} IN ROLE registry_control_plane\n"
    "  CREATE ROLE facade_1 LOGIN PASSWORD '...'"
    f" CONNECTION LIMIT {FACADE_CONNECTIONS} IN ROLE registry_facade"
)
# What no migration can take from a role that may log in at all.
_ALWAYS = (
    "Every role that may log in can also LISTEN and NOTIFY, take advisory locks, read the system"
    " catalogs and connect to databases whose CONNECT is PUBLIC's. A false NOTIFY"
    " costs a facade one look at the view. A full notification queue makes facades wait for their"
    " poll, and stops no act."
)


@click.command(
    cls=Command, examples=("CONTROL_PLANE_MIGRATION_DATABASE_URL=… control-plane migrate",)
)
@command
async def migrate() -> None:
    """Bring the database to the current schema, and state the group roles' grants.

    It is safe to run it twice, and from two places at once. The login has to own the database, and
    needs CREATEROLE unless an administrator has made registry_control_plane and registry_facade.
    """
    configured = settings(MigrateSettings)
    owner_url = configured.owner_url
    warn_of_exposure(configured.owner_field, owner_url)
    try:
        remaining = await migrate_database(owner_url)
        unlimited = await unlimited_logins(owner_url)
    except NewerSchemaError as newer:
        if not newer.may_work:
            fail(f"the migration changed nothing: {newer}")
        say(
            "a newer program has migrated the database, and this one may work with it:"
            " nothing to do"
        )
        return
    except (MissingRightError, HeldUpError) as error:
        fail(f"the migration changed nothing: {error}")
    except (asyncpg.PostgresError, SQLAlchemyError) as error:
        # the driver's text may quote the URL or a value; its code says enough
        code = getattr(getattr(error, "orig", error), "sqlstate", None)
        fail(f"the migration failed and changed nothing: {type(error).__name__} {code or ''}")
    say(f"the database is at schema revision {newest_revision()}")
    if remaining:
        say("registry_facade keeps rights that it does not need. A superuser takes them away with:")
    for statement in remaining:
        say(f"  {statement}")
    say(_ALWAYS)
    if unlimited:
        say("These logins may take every connection of the server. Limit each:")
    for login, enough in unlimited.items():
        say(f"  ALTER ROLE {login} CONNECTION LIMIT {enough}")
    say(_LOGINS)
