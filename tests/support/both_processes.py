"""Both processes on one Postgres: a control plane, and facades with the keys that it made."""

from collections.abc import Mapping
from pathlib import Path

from deploy.dev.postgres import Postgres
from tests.support.control_plane import (
    LOGIN_PASSWORD,
    LOGIN_ROLE,
    ControlPlane,
    make_login_role,
)
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade, FacadeFiles


async def start_control_plane(
    postgres: Postgres, database: FacadeDatabase, folder: Path
) -> ControlPlane:
    """Return a control plane of a database, ready, with alice, bob, root and eve."""
    make_login_role(postgres)
    return await ControlPlane.start(
        folder,
        owner_url=database.owner_url,
        url=postgres.url(LOGIN_ROLE, LOGIN_PASSWORD, database.name),
    )


def start_facade_of(
    plane: ControlPlane,
    database: FacadeDatabase,
    folder: Path,
    settings: Mapping[str, str],
    *,
    wait: bool = True,
) -> Facade:
    """Return a facade that believes this control plane; with `wait`, once it is ready."""
    files = FacadeFiles.write(
        folder,
        statement_public_pem=plane.keys.statement_public.read_bytes(),
        sealing_private_pem=plane.keys.sealing_private.read_bytes(),
    )
    return Facade.start(files, database.facade_url, settings, wait=wait)
