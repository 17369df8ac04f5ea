"""What a device sees of a connection as it is approved, revoked, out of scope or expired."""

from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter


async def test_approved_connection_serves(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """The main job."""
    digest = upstream.blob(b"content")
    await connect(facade, writer, upstream)
    answer = await facade.device().get(pull_path(upstream, digest))
    assert (answer.status, answer.body) == (200, b"content")
