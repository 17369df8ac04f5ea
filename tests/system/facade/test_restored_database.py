"""A backup is restored: what devices and operators see of it, until both see the same again."""

from pathlib import Path

from control_plane.proof.history import OLDER
from deploy.dev.postgres import Postgres
from tests.support.accepted_restore import accept_restore
from tests.support.both_processes import start_facade_of
from tests.support.control_plane import (
    LOGIN_PASSWORD,
    LOGIN_ROLE,
    ControlPlane,
    approved_connection,
    make_login_role,
)
from tests.support.database_backup import Backup
from tests.support.eventually import eventually
from tests.support.facade_database import DatabaseTemplate
from tests.support.facade_states import CANARY_TOKEN, USERNAME, pull_path
from tests.support.simulators.login import BasicLogin
from tests.support.simulators.registry import RegistrySimulator

QUICK_POLLS = {"FACADE_POLL_INTERVAL": "200ms"}


async def test_what_facades_refuse_is_told_by_the_control_plane_and_approved_again(
    postgres: Postgres, database_template: DatabaseTemplate, tmp_path: Path
) -> None:
    """The control plane showed `approved`, facades refused, and only their log knew."""
    database = database_template.copy()
    make_login_role(postgres)
    plane = await ControlPlane.start(
        tmp_path,
        owner_url=database.owner_url,
        url=postgres.url(LOGIN_ROLE, LOGIN_PASSWORD, database.name),
        environment={"CONTROL_PLANE_STATE_DIR": str(tmp_path / "state")},
    )
    facade = start_facade_of(plane, database, tmp_path / "facade", QUICK_POLLS)
    bob, device = plane.client("bob"), facade.device()
    try:
        async with RegistrySimulator(login=BasicLogin(USERNAME, CANARY_TOKEN)) as registry:
            digest = registry.blob(b"content")
            path = pull_path(registry, digest)

            async def is_answered(status: int) -> bool:
                answer = await device.get(path)
                return answer.status == status

            view = await approved_connection(
                plane,
                str(registry.host),
                username=USERNAME,
                token=CANARY_TOKEN,
                plain_http=True,
                allowed_networks=["127.0.0.0/8"],
            )
            await eventually(lambda: is_answered(200))
            backup = Backup(postgres, database.name)
            renewed = await bob.approve(view)

            def has_seen_it() -> bool:
                return bool(facade.log_lines(generation=renewed["generation"]))

            await eventually(has_seen_it)
            backup.restore()
            await eventually(lambda: is_answered(404))
            await accept_restore(plane)
            await plane.restart()  # the folder knows that it was accepted, and what went back

            async def is_told() -> bool:
                shown = await bob.show(view["id"])
                return str(shown["problem"]) == OLDER

            await eventually(is_told)
            assert (await bob.show(view["id"]))["status"] == "approved"
            await bob.approve(view)
            await eventually(lambda: is_answered(200))
            assert (await bob.show(view["id"]))["problem"] is None
    finally:
        facade.child.kill()
        plane.stop()
