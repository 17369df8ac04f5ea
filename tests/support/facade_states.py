"""Bringing a running facade into a state, and knowing when it is there."""

from collections.abc import Mapping
from typing import Any

from deploy.dev.image import Destination, Image, push
from deploy.dev.registry import Htpasswd, Registry
from shared.statement import ConnectionApproval, Statement
from tests.support.eventually import PATIENCE_SECONDS, eventually
from tests.support.facade_process import Facade
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter

USERNAME = "robot"
CANARY_TOKEN = "canary-7d1f0b9e-never-anywhere"


async def until_accepted(
    facade: Facade, statement: Statement, seconds: float = PATIENCE_SECONDS
) -> None:
    """Return once the facade has logged that it believes the statement."""
    await eventually(
        lambda: bool(
            facade.log_lines(
                event="statement accepted",
                subject=statement.subject,
                generation=statement.generation,
            )
        ),
        seconds,
    )


async def write_and_wait(facade: Facade, writer: StatementWriter, statement: Statement) -> None:
    """Write a statement; return once the facade believes it."""
    await writer.write(statement)
    await until_accepted(facade, statement)


async def connect(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, **fields: Any
) -> ConnectionApproval:
    """Approve the simulated registry with the canary token; return once the facade knows."""
    credential: dict[str, Any] = {"username": USERNAME, "token": CANARY_TOKEN, "plain_http": True}
    approval = writer.approval(str(upstream.host), **(credential | fields))
    await write_and_wait(facade, writer, approval)
    return approval


async def push_behind(
    facade: Facade,
    writer: StatementWriter,
    registry: Registry,
    login: Mapping[str, str],
    repository: str,
    image: Image,
) -> str:
    """Push an image to a registry that wants a password, which the facade has.

    Returns its digest once the facade knows the registry.
    """
    assert isinstance(registry.authentication, Htpasswd)
    ((username, password),) = registry.authentication.users.items()
    approval = writer.approval(registry.host, username=username, token=password, plain_http=True)
    await write_and_wait(facade, writer, approval)
    return await push(image, Destination(registry.url, repository, dict(login)))


def pull_path(
    upstream: RegistrySimulator, digest: str, *, kind: str = "blobs", repository: str = "team/app"
) -> str:
    """Return the path by which a device asks the facade for a digest of the registry."""
    return f"/v2/{upstream.host.path_form}/{repository}/{kind}/{digest}"
