"""A facade with a warm manifest, which a victim asks for while somebody attacks."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from tests.adversary.watch import Target
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade
from tests.support.facade_states import CANARY_TOKEN, USERNAME, connect, pull_path
from tests.support.simulators.login import BasicLogin
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import (  # noqa: F401 - the same facades
    StartFacade,
    facade_database,
    facade_prefix,
    issued,
    new_database,
    own_database,
    own_writer,
    start_facade,
    upstream,
    writer,
)

MANIFEST = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}'
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
async def honest() -> AsyncIterator[RegistrySimulator]:
    """The registry of the victim, which behaves."""
    async with RegistrySimulator(login=BasicLogin(USERNAME, CANARY_TOKEN)) as registry:
        yield registry


@pytest.fixture
def more_settings() -> Mapping[str, str]:
    """What the facade is configured with besides; a module may say more."""
    return {}


@pytest.fixture
def facade(
    own_writer: StatementWriter,  # noqa: F811 - a fixture
    own_database: FacadeDatabase,  # noqa: F811 - a fixture
    start_facade: StartFacade,  # noqa: F811 - a fixture
    more_settings: Mapping[str, str],
    tmp_path: Path,
) -> Facade:
    """A facade of the attack's own, as it is configured by default, with a store."""
    settings = {
        "FACADE_CACHE_DIR": str(tmp_path / "cache"),
        "FACADE_CACHE_MAX_BYTES": "256MiB",
        "FACADE_LOG_LEVEL": "info",
        "FACADE_MAX_CONNECTIONS_PER_DEVICE": "32",
        "FACADE_POLL_INTERVAL": "5s",
        **more_settings,
    }
    return start_facade(own_writer, own_database.facade_url, settings)


@pytest.fixture
async def target(
    facade: Facade,
    own_writer: StatementWriter,  # noqa: F811 - a fixture
    honest: RegistrySimulator,
) -> Target:
    """The facade, and another device's warm manifest."""
    digest = honest.manifest(MANIFEST, media_type=OCI_MANIFEST)
    await connect(facade, own_writer, honest)
    # A device of its own: what one may have of everything is not the attack's matter.
    device = facade.device(facade.files.device_ca.issue_device(device="victim"))
    path = pull_path(honest, digest, kind="manifests")
    assert (await device.get(path)).status == 200
    return Target(
        pid=facade.child.pid,
        victim=(
            f"https://localhost:{facade.port}{path}",
            "--ca",
            str(facade.files.folder / "server-ca.pem"),
            "--certificate",
            str(device.files.certificate),
            "--key",
            str(device.files.key),
        ),
        is_alive=facade.is_alive,
    )
