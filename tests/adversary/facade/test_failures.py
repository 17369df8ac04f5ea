"""Three hundred failures of each kind, one after the other: nothing of them is kept.

Each is asked for by a device of its own, because a device that fails a few times is held up, and
what is remembered would answer in the registry's place.
"""

import asyncio

import pytest

from shared.oci import MAX_MANIFEST_BYTES
from shared.outside_bytes import Party
from tests.adversary.bounds import Allowed
from tests.adversary.facade.attacked import AttackedFacade
from tests.adversary.facade.common_checks import NOTHING_IS_KEPT
from tests.adversary.guards import guards_nothing
from tests.support.facade_process import Answer
from tests.support.facade_states import CANARY_TOKEN, USERNAME, pull_path
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

pytestmark = pytest.mark.attack
FAILURES = 300
AT_ONCE = 10
ALLOWED = Allowed(seconds=120.0)  # at the most; most kinds take a few
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


LONG_ENOUGH = ("wrong bytes", "a web page")  # read whole as a manifest, and then refused
SHORTER = guards_nothing("no long manifest comes whole: if it was kept, nothing would be seen")


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(each, marks=NOTHING_IS_KEPT if each in LONG_ENOUGH else SHORTER)
        for each in KINDS
    ],
)
async def test_three_hundred_failures(kind: str, attacked: AttackedFacade) -> None:
    """Of one kind, each for a digest of its own."""
    async with RegistrySimulator() as registry:
        await attacked.connect(registry, username=None, token=None)
        await _fail(f"300 x {kind}", KINDS[kind], registry, attacked)


@guards_nothing("64 KiB an answer are too little to be seen; what is kept of one is a unit test")
async def test_three_hundred_failed_logins(attacked: AttackedFacade) -> None:
    """The token endpoint answers as much as it may, and it is no token."""
    login = BearerLogin(USERNAME, CANARY_TOKEN, answer=(200, (), b'{"x":"%b"}' % (b"y" * 60_000)))
    async with RegistrySimulator(login=login) as registry:
        await attacked.connect(registry)
        await _fail("300 x no token", ("manifests", b"{}", Honest()), registry, attacked)


async def _fail(
    name: str,
    kind: tuple[str, bytes, Behaviour],
    registry: RegistrySimulator,
    attacked: AttackedFacade,
) -> None:
    what, content, behaviour = kind
    serve = registry.manifest if what == "manifests" else registry.blob
    async with attacked.watched(name, Party.REGISTRY, ALLOWED) as attack:
        for first in range(0, FAILURES, AT_ONCE):
            if not attack.goes_on:
                break
            paths = []
            for number in range(first, first + AT_ONCE):
                repository = f"team/app-{number}"
                digest = f"sha256:{number:064x}"
                serve(content, digest=digest, repository=repository, get=behaviour)
                paths.append(pull_path(registry, digest, kind=what, repository=repository))
            devices = [attacked.attacker(f"attacker-{first}-{each}") for each in range(AT_ONCE)]
            answers = await asyncio.gather(
                *(each.get(path) for each, path in zip(devices, paths, strict=True)),
                return_exceptions=True,
            )
            statuses = {each.status for each in answers if isinstance(each, Answer)}
            assert 200 not in statuses
            registry.forget()
