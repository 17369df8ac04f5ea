"""A client of a registry is made, and its secret opened, when it is asked, and not before."""

from http import HTTPStatus
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from shared.keys import private_pem
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_states import connect, pull_path
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.support.swapped_files import put
from tests.system.facade.conftest import StartFacade
from tests.system.facade.stores import store_settings
from tests.system.facade.test_readiness import metric

CONTENT = bytes(range(250)) * 20
MANIFEST = b'{"schemaVersion":2,"config":{},"layers":[]}'
RANGES = ("bytes=0-1", "bytes=-5", "bytes=7-", "bytes=0-1,100-101")


@pytest.mark.parametrize("opens", [True, False], ids=["the secret opens", "it does not open"])
async def test_what_is_stored_needs_no_client(
    opens: bool,  # noqa: FBT001 - parametrized
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    tmp_path: Path,
) -> None:
    """A warm pull, a range, HEAD, 304, a refusal; and then one that the registry is asked for."""
    facade = start_facade(own_writer, own_database.facade_url, store_settings(tmp_path))
    await connect(facade, own_writer, upstream)
    blob, manifest = upstream.blob(CONTENT), upstream.manifest(MANIFEST)
    paths = {
        blob: pull_path(upstream, blob),
        manifest: pull_path(upstream, manifest, kind="manifests"),
    }
    for path in paths.values():
        assert (await facade.device().get(path)).status == HTTPStatus.OK
    assert metric(facade, "facade_open_upstreams") == 1
    facade.stop()
    if not opens:
        put(facade.files.folder / "sealing.private.pem", private_pem(X25519PrivateKey.generate()))
    facade.restart()
    device, asked = facade.device(), len(upstream.requests)
    for digest, path in paths.items():
        for method in ("GET", "HEAD"):
            assert (await device.get(path, method=method)).status == HTTPStatus.OK
            matching = {"If-None-Match": f'"{digest}"'}
            answer = await device.get(path, method=method, **matching)
            assert answer.status == HTTPStatus.NOT_MODIFIED
    for each in RANGES:
        answer = await device.get(paths[blob], Range=each)
        assert answer.status == HTTPStatus.PARTIAL_CONTENT
    assert (await device.get(paths[blob], Range="bytes=9999-")).status == 416
    assert (await device.get(pull_path(upstream, "latest", kind="manifests"))).status == 404
    assert metric(facade, "facade_open_upstreams") == 0
    assert len(upstream.requests) == asked
    cold = await device.get(pull_path(upstream, upstream.blob(b"another")))
    assert cold.status == (HTTPStatus.OK if opens else HTTPStatus.BAD_GATEWAY)
    assert metric(facade, "facade_open_upstreams") == 1
    assert (len(upstream.requests) > asked) is opens
