"""A real facade, and for each test a fleet of its own behind it."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.dev.device_ca import IssuedCertificate
from tests.support.agent_device import AgentDevice
from tests.support.facade_process import Facade
from tests.support.facade_states import connect
from tests.support.fleet_keys import FleetKeys
from tests.support.hostile_facade import HostileFacade
from tests.support.signed_fleet import SignedFleet, repository_in
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.support.tuf_mirror import TufMirror
from tests.system.facade.conftest import (  # noqa: F401 - the same facade
    facade,
    facade_database,
    facade_prefix,
    facade_settings,
    issued,
    upstream,
    writer,
)


@pytest.fixture
async def fleet(
    facade: Facade,  # noqa: F811 the fixture
    writer: StatementWriter,  # noqa: F811 the fixture
    upstream: RegistrySimulator,  # noqa: F811 the fixture
    issued: IssuedCertificate,  # noqa: F811 the fixture
    tmp_path: Path,
) -> AsyncIterator[SignedFleet]:
    """A fleet whose first root is pinned on its device, and that has named nothing yet."""
    await connect(facade, writer, upstream)
    repository = repository_in(tmp_path / "repository")
    through = facade.device(issued)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(facade.files.folder / "server.pem", facade.files.folder / "server.key")
    async with (
        TufMirror(repository.files.published, tls) as mirror,
        HostileFacade(through) as front,
    ):
        device = AgentDevice(
            tmp_path / "device",
            through.files,
            facade.files.folder / "server-ca.pem",
            f"{mirror.origin}/tuf/",
            front.origin,
        )
        made = SignedFleet(FleetKeys.make(), repository, mirror, upstream, front, through, device)
        made.begin()
        device.install(made.root)
        yield made
