"""What a registry sends in vain is let go at once: no failure keeps what it was about."""

import asyncio
from collections.abc import Mapping

import pytest

from deploy.dev.device_ca import IssuedCertificate
from shared.oci import MAX_MANIFEST_BYTES
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path
from tests.support.memory import MIB, Memory
from tests.support.simulators.behaviour import Answers, Behaviour, NoLength, TypedAs
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter

# Each pull of one of them was kept, with its 4 MiB, until 50,000 objects had been made.
PULLS = 12
AT_ONCE = 4
MAX_GROWTH_BYTES = 48 * MIB  # a quarter of what they were
ANYTHING = b"x" * MAX_MANIFEST_BYTES

KINDS: Mapping[str, Behaviour] = {
    "wrong bytes": Answers(200, body=ANYTHING),
    "too long": Answers(200, body=ANYTHING + b"x"),
    "wrong type": TypedAs(("text/plain",)),
    "cut": NoLength(missing=1, head_length=False),
}


@pytest.fixture(scope="module")
def facade_settings(
    tmp_path_factory: pytest.TempPathFactory,
) -> Mapping[str, str]:
    """With a store, whose fetches several share."""
    cache = tmp_path_factory.mktemp("cache")
    return {"FACADE_CACHE_DIR": str(cache), "FACADE_CACHE_MAX_BYTES": "1GiB"}


async def test_manifests_of_anything_are_let_go(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, issued: IssuedCertificate
) -> None:
    """Whatever is wrong with them."""
    await connect(facade, writer, upstream)
    device, number, before = facade.device(issued), 0, 0
    content = b"{}" + b" " * (MAX_MANIFEST_BYTES - 2)
    for get in (KINDS["wrong bytes"], *KINDS.values()):
        for _ in range(PULLS // AT_ONCE):
            paths = []
            for _ in range(AT_ONCE):
                number += 1
                digest = upstream.manifest(content, get=get, digest=f"sha256:{number:064x}")
                paths.append(pull_path(upstream, digest, kind="manifests"))
            answers = await asyncio.gather(*(device.get(path) for path in paths))
            assert {answer.status for answer in answers} == {502}
            upstream.forget()
        before = before or Memory.of(facade.child.pid).now  # with what is made once
    assert Memory.of(facade.child.pid).now - before < MAX_GROWTH_BYTES
