"""Fleet x repository x connection by raw requests, on cold and on warm content.

What is out of scope is one and the same answer however it is asked for, also where the bytes lie
ready and the request is one that needs none of them; the log alone says why.
"""

import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import define, field, frozen

from shared.oci import RepositoryName
from shared.repository_pattern import RepositoryPattern
from tests.support.answer_checks import require_same_refusal
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Device, Facade, FacadeFiles
from tests.support.facade_states import CANARY_TOKEN, USERNAME, connect, pull_path, until_accepted
from tests.support.raw_http import RawAnswer, RawConnection, raw_connection, request_bytes
from tests.support.simulators.login import BasicLogin
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import NOTIFY_ALONE

SERVED: Final = None
NOT_CONNECTED: Final = "host or repository is not connected and approved"
REPOSITORY: Final = "the repository is out of the connection's scope"
FLEET: Final = "the device's fleet is out of the connection's scope"
FLEETS: Final = ("line-a", "line-b", "line-c", None)


def patterns(*texts: str) -> dict[str, Any]:
    """Return the repositories of a connection's scope."""
    return {"repositories": tuple(map(RepositoryPattern.parse, texts))}


def prefix(text: str) -> dict[str, Any]:
    """Return the place of a connection beside others of its host."""
    return {"repository_prefix": RepositoryName.parse(text)}


# The connections of three registries; a fourth is not connected.
CONNECTIONS: Final[dict[str, tuple[dict[str, Any], ...]]] = {
    "one": (
        {},
        prefix("team") | {"fleets": ("line-a",)},
        prefix("team/app") | patterns("team/app/*") | {"fleets": ("line-a", "line-b")},
    ),
    "two": ({"fleets": ("line-b",)},),
    "three": (patterns("models/**", "tools"),),
    "four": (),
}
# What a device of each of `FLEETS` gets of a registry's repository.
EXPECTED: Final = {
    ("one", "tools"): (SERVED, SERVED, SERVED, SERVED),
    ("one", "teammate/app"): (SERVED, SERVED, SERVED, SERVED),
    ("one", "team/other"): (SERVED, FLEET, FLEET, FLEET),
    ("one", "team/app"): (REPOSITORY, REPOSITORY, REPOSITORY, REPOSITORY),
    ("one", "team/app/debug"): (SERVED, SERVED, FLEET, FLEET),
    ("two", "team/app"): (FLEET, SERVED, FLEET, FLEET),
    ("three", "models/small"): (SERVED, SERVED, SERVED, SERVED),
    ("three", "models"): (REPOSITORY, REPOSITORY, REPOSITORY, REPOSITORY),
    ("four", "tools"): (NOT_CONNECTED, NOT_CONNECTED, NOT_CONNECTED, NOT_CONNECTED),
}


@frozen
class Probe:
    """A way of asking, and how it is answered where the device may."""

    kind: str
    method: str
    header: bytes  # `{digest}` in it is the digest that is asked for
    status: int


PROBES: Final = (
    Probe("blobs", "GET", b"", 200),
    Probe("blobs", "HEAD", b"", 200),
    Probe("blobs", "GET", b'If-None-Match: "{digest}"\r\n', 304),
    Probe("blobs", "HEAD", b'If-None-Match: "{digest}"\r\n', 304),
    Probe("blobs", "GET", b"Range: bytes=1000-\r\n", 416),
    Probe("blobs", "GET", b"Range: bytes=1-2\r\n", 206),
    Probe("manifests", "GET", b"", 200),
    Probe("manifests", "HEAD", b"", 200),
    Probe("manifests", "GET", b'If-None-Match: "{digest}"\r\n', 304),
)


@define
class Matrix:
    """Registries, devices on their connections, and what was refused so far."""

    registries: dict[str, RegistrySimulator]
    facades: tuple[Facade, ...]
    connections: dict[str | None, RawConnection]
    digests: dict[tuple[str, str, Probe], str] = field(factory=dict)
    refusals: list[tuple[RawAnswer, Probe, str]] = field(factory=list)

    def fill(self) -> None:
        """Put something else in each repository for each way of asking."""
        numbers = itertools.count()
        for (name, repository), probe in itertools.product(EXPECTED, PROBES):
            content = b'{"schemaVersion":2,"config":{},"layers":[],"x":%d}' % next(numbers)
            put = self.registries[name].blob
            if probe.kind == "manifests":
                put = self.registries[name].manifest
            self.digests[name, repository, probe] = put(content, repository=repository)

    async def ask(self, name: str, repository: str, fleet: str | None, probe: Probe) -> RawAnswer:
        """Return what a device of a fleet is answered."""
        digest = self.digests[name, repository, probe]
        path = pull_path(
            self.registries[name], digest, kind=probe.kind, repository=repository
        ).encode()
        header = probe.header.replace(b"{digest}", digest.encode())
        connection = self.connections[fleet]
        await connection.send(request_bytes(path, method=probe.method, headers=header))
        return await connection.answer(to=probe.method)

    async def require_refused(self, name: str, repository: str) -> None:
        """Have every device that may not ask in every way, and keep what it was told."""
        asked = sum(len(registry.requests) for registry in self.registries.values())
        for fleet, reason in zip(FLEETS, EXPECTED[name, repository], strict=True):
            for probe in PROBES if reason else ():
                answer = await self.ask(name, repository, fleet, probe)
                assert answer.status == 404, (name, repository, fleet, probe)
                self.refusals.append((answer, probe, reason or ""))
        assert asked == sum(len(registry.requests) for registry in self.registries.values())

    async def require_served(self, name: str, repository: str) -> None:
        """Have every device that may ask in every way."""
        for fleet, reason in zip(FLEETS, EXPECTED[name, repository], strict=True):
            for probe in PROBES if reason is SERVED else ():
                answer = await self.ask(name, repository, fleet, probe)
                assert answer.status == probe.status, (name, repository, fleet, probe, answer)

    def reasons(self) -> dict[str, str]:
        """Return the logged reason of every request."""
        return {
            line["request_id"]: line["reason"]
            for facade in self.facades
            for line in facade.log_lines(event="answered")
        }


@pytest.fixture(scope="module")
def facade_settings(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A facade that keeps what it fetches: what is warm is asked for as well."""
    return stored_in(tmp_path_factory.mktemp("cache"))


def stored_in(folder: Path) -> dict[str, str]:
    """Return the settings of a store."""
    return {"FACADE_CACHE_DIR": str(folder), "FACADE_CACHE_MAX_BYTES": "64MiB"}


@pytest.fixture(scope="module")
def fleetless(
    facade_database: FacadeDatabase,
    writer: StatementWriter,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Facade]:
    """A facade that knows devices by DNS names, which have no fleet."""
    files = FacadeFiles.write(
        tmp_path_factory.mktemp("fleetless"),
        statement_public_pem=writer.statement_public_pem,
        sealing_private_pem=writer.sealing_private_pem,
    )
    settings = {
        **NOTIFY_ALONE,
        **stored_in(tmp_path_factory.mktemp("fleetless-cache")),
        "FACADE_DEVICE_IDENTITY": "dns",
    }
    running = Facade.start(files, facade_database.facade_url, settings)
    yield running
    running.child.kill()


def device_of(facade: Facade, fleetless: Facade, fleet: str | None) -> Device:
    """Return a device of a fleet, or of none."""
    if fleet is None:
        return fleetless.device(fleetless.files.device_ca.issue(dns=["press-7.example.com"]))
    return facade.device(facade.files.device_ca.issue_device(fleet=fleet))


@pytest.fixture
async def matrix(
    facade: Facade, fleetless: Facade, writer: StatementWriter
) -> AsyncIterator[Matrix]:
    """Four registries, their connections known to both facades, and nothing pulled yet."""
    async with contextlib.AsyncExitStack() as stack:
        registries = {
            name: await stack.enter_async_context(
                RegistrySimulator(login=BasicLogin(USERNAME, CANARY_TOKEN))
            )
            for name in CONNECTIONS
        }
        for name, scopes in CONNECTIONS.items():
            for scope in scopes:
                approval = await connect(facade, writer, registries[name], **scope)
                await until_accepted(fleetless, approval)
        connections = {
            fleet: await stack.enter_async_context(
                raw_connection(device_of(facade, fleetless, fleet))
            )
            for fleet in FLEETS
        }
        made = Matrix(registries, (facade, fleetless), connections)
        made.fill()
        yield made


async def test_scope_decides_on_everything_that_can_be_asked(matrix: Matrix) -> None:
    """Cold, then fetched by who may, then warm: the refused are told the same each time."""
    for place in EXPECTED:
        await matrix.require_refused(*place)
    for place in EXPECTED:
        await matrix.require_served(*place)
    for place in EXPECTED:
        await matrix.require_served(*place)
        await matrix.require_refused(*place)
    reasons = matrix.reasons()
    baseline: dict[str, RawAnswer] = {}
    for answer, probe, reason in matrix.refusals:
        require_same_refusal(answer, baseline.setdefault(probe.method, answer))
        assert reasons[str(answer.header("X-Request-Id"))] == reason
    assert baseline["GET"].error["code"] == "NAME_UNKNOWN"
    assert {reason for _, _, reason in matrix.refusals} == {NOT_CONNECTED, REPOSITORY, FLEET}
