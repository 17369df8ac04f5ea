"""A gibibyte through the facade, in constant memory."""

import aiohttp
import orjson

from deploy.dev.device_ca import IssuedCertificate
from deploy.dev.image import Destination, push_big_artifact
from deploy.dev.registry import Registry
from tests.conftest import ROBOT, ROBOT_PASSWORD
from tests.support.device_stream import End, device_stream
from tests.support.facade_process import Facade
from tests.support.facade_states import write_and_wait
from tests.support.memory import MIB, Memory
from tests.support.statement_writer import StatementWriter

SIZE = 1024 * MIB
SECONDS = 300.0  # to read that, on a loaded machine
MAX_GROWTH = 64 * MIB  # of the whole process, what it allocates at its first pull included


async def test_a_gibibyte_passes_in_constant_memory(
    facade: Facade,
    writer: StatementWriter,
    issued: IssuedCertificate,
    htpasswd_registry: Registry,
    repository: str,
) -> None:
    """And is right: the device hashes it as it comes."""
    host = htpasswd_registry.host
    login = {"Authorization": aiohttp.encode_basic_auth(ROBOT, ROBOT_PASSWORD)}
    artifact = await push_big_artifact(Destination(htpasswd_registry.url, repository, login), SIZE)
    [layer] = orjson.loads(artifact.manifest.body)["layers"]
    approval = writer.approval(host, username=ROBOT, token=ROBOT_PASSWORD, plain_http=True)
    await write_and_wait(facade, writer, approval)
    device = facade.device(issued)
    before = Memory.of(facade.child.pid)
    path = f"/v2/{host.replace(':', '_')}/{repository}/blobs/{layer['digest']}"
    async with device_stream(facade.port, device.tls(), path) as stream:
        assert (stream.status, stream.length) == (200, SIZE)
        assert await stream.end(SECONDS) is End.WHOLE
        assert stream.digest == layer["digest"]
    growth = Memory.of(facade.child.pid).peak - before.now
    figure = f"facade: {before.now / MIB:.0f} MiB, grew by {growth / MIB:.1f} MiB for 1 GiB"
    print(figure)  # noqa: T201 - said with -s, and where the bound is passed
    assert growth < MAX_GROWTH, figure
