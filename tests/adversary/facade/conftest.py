"""A facade with a warm manifest, which a victim asks for while somebody attacks."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from shared.oci import OCI_MANIFEST
from tests.adversary.facade.attacked import AttackedFacade
from tests.adversary.watch import Watch
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
def settings(more_settings: Mapping[str, str], tmp_path: Path) -> Mapping[str, str]:
    """A configuration by default, with a store."""
    return {
        "FACADE_CACHE_DIR": str(tmp_path / "cache"),
        "FACADE_CACHE_MAX_BYTES": "256MiB",
        "FACADE_LOG_LEVEL": "info",
        "FACADE_MAX_CONNECTIONS_PER_DEVICE": "32",
        "FACADE_POLL_INTERVAL": "5s",
        **more_settings,
    }


@pytest.fixture
def facade(
    own_writer: StatementWriter,  # noqa: F811 - a fixture
    own_database: FacadeDatabase,  # noqa: F811 - a fixture
    start_facade: StartFacade,  # noqa: F811 - a fixture
    settings: Mapping[str, str],
) -> Facade:
    """A facade of the attack's own; a module may start another one."""
    return start_facade(own_writer, own_database.facade_url, settings)


@pytest.fixture
async def attacked(
    facade: Facade,
    own_database: FacadeDatabase,  # noqa: F811 - a fixture
    own_writer: StatementWriter,  # noqa: F811 - a fixture
    upstream: RegistrySimulator,  # noqa: F811 - a fixture
    honest: RegistrySimulator,
    watch: Watch,
) -> AttackedFacade:
    """The facade, and a victim whose manifest is warm."""
    digest = honest.manifest(MANIFEST, media_type=OCI_MANIFEST)
    await connect(facade, own_writer, honest)
    # A device of its own: what one may have of everything is not the attack's matter.
    victim = facade.device(facade.files.device_ca.issue_device(device="victim"))
    asked = pull_path(honest, digest, kind="manifests")
    assert (await victim.get(asked)).status == 200
    return AttackedFacade(facade, own_database, own_writer, upstream, honest, victim, asked, watch)
