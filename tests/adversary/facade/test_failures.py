"""Three hundred failures of each kind, one after the other: nothing of them is kept.

Each is asked for by a device of its own, because a device that fails a few times is held up, and
what is remembered would answer in the registry's place.
"""

import asyncio

import pytest

from shared.oci import MAX_MANIFEST_BYTES
from shared.outside_bytes import Party
from tests.adversary.watch import Target, Watch
from tests.support.facade_process import Answer, Facade
from tests.support.facade_states import CANARY_TOKEN, USERNAME, connect, pull_path
from tests.support.simulators.behaviour import (
    Answers,
    Behaviour,
    FewerBytes,
    Honest,
    OtherBytes,
    RawBytes,
    Stalls,
    TypedAs,
    WebPage,
)
from tests.support.simulators.login import BearerLogin
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter

pytestmark = pytest.mark.attack
FAILURES = 300
AT_ONCE = 10
SECONDS = 120.0  # at the most; most kinds take a few
LONG = b" " * (MAX_MANIFEST_BYTES - 1)

KINDS: dict[str, tuple[str, bytes, Behaviour]] = {
    "wrong bytes": ("manifests", LONG, OtherBytes()),
    "too long": ("manifests", LONG + b"  ", Honest()),
    "another type": ("manifests", b'{"a":1}', TypedAs(("text/html",))),
    "a web page": ("manifests", LONG, WebPage(b"<p>" * (MAX_MANIFEST_BYTES // 3 - 1))),
    "cut": ("manifests", LONG, FewerBytes(missing=MAX_MANIFEST_BYTES // 2, then="reset")),
    "no HTTP": ("manifests", LONG, RawBytes(b"\0" * 65536)),
    "5xx": ("manifests", LONG, Answers(503, body=b"x" * 65536)),
    "silence": ("manifests", LONG, Stalls()),
    "a blob of wrong bytes": ("blobs", LONG, OtherBytes()),
    "a blob that is cut": ("blobs", LONG, FewerBytes(missing=MAX_MANIFEST_BYTES // 2)),
}


@pytest.fixture
def more_settings() -> dict[str, str]:
    """Silence is short here."""
    return {"FACADE_UPSTREAM_TIMEOUT": "1s"}


@pytest.mark.parametrize("kind", KINDS)
async def test_three_hundred_failures(
    kind: str, watch: Watch, target: Target, facade: Facade, own_writer: StatementWriter
) -> None:
    """Of one kind, each for a digest of its own."""
    what, content, behaviour = KINDS[kind]
    async with RegistrySimulator() as registry:
        await connect(facade, own_writer, registry, username=None, token=None)
        await _fail(f"300 x {kind}", what, content, behaviour, registry, (watch, target, facade))


async def test_three_hundred_failed_logins(
    watch: Watch, target: Target, facade: Facade, own_writer: StatementWriter
) -> None:
    """The token endpoint answers as much as it may, and it is no token."""
    login = BearerLogin(USERNAME, CANARY_TOKEN, answer=(200, (), b'{"x":"%b"}' % (b"y" * 60_000)))
    async with RegistrySimulator(login=login) as registry:
        await connect(facade, own_writer, registry)
        around = (watch, target, facade)
        await _fail("300 x no token", "manifests", b"{}", Honest(), registry, around)


async def _fail(
    attack: str,
    what: str,
    content: bytes,
    behaviour: Behaviour,
    registry: RegistrySimulator,
    around: tuple[Watch, Target, Facade],
) -> None:
    watch, target, facade = around
    serve = registry.manifest if what == "manifests" else registry.blob
    async with watch("V2", attack, Party.REGISTRY, target, seconds=SECONDS) as attacked:
        for first in range(0, FAILURES, AT_ONCE):
            if not attacked.goes_on:
                break
            paths = []
            for number in range(first, first + AT_ONCE):
                repository = f"team/app-{number}"
                digest = f"sha256:{number:064x}"
                serve(content, digest=digest, repository=repository, get=behaviour)
                paths.append(pull_path(registry, digest, kind=what, repository=repository))
            devices = [
                facade.device(
                    facade.files.device_ca.issue_device(device=f"attacker-{first}-{each}")
                )
                for each in range(AT_ONCE)
            ]
            answers = await asyncio.gather(
                *(each.get(path) for each, path in zip(devices, paths, strict=True)),
                return_exceptions=True,
            )
            statuses = {each.status for each in answers if isinstance(each, Answer)}
            assert 200 not in statuses
            registry.forget()
