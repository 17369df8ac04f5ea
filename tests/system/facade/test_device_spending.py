"""A device pays for what its pulls take of a registry: requests, tokens and bytes, as they are."""

import random
import time
from collections.abc import AsyncIterator, Mapping
from uuid import uuid4

import pytest

from facade.values.piece import PIECE_BYTES
from tests.support.facade_process import Answer, Device, Facade
from tests.support.facade_states import CANARY_TOKEN, USERNAME, connect, pull_path
from tests.support.simulators.behaviour import RedirectsTo
from tests.support.simulators.login import BearerLogin
from tests.support.simulators.registry import RegistrySimulator, StoreSimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.stores import store_settings
from tests.system.facade.test_store import stored

TOKENS, REQUESTS = 3, 11  # a minute
BYTES = 2 * PIECE_BYTES  # an hour
PULLS = 10
ENDLESS = 4 * BYTES

_random = random.Random(6)  # noqa: S311 - any bytes will do


@pytest.fixture(scope="module")
def facade_settings(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A facade that allows little, and keeps what it fetches."""
    return {
        **store_settings(tmp_path_factory.mktemp("cache")),
        "FACADE_DEVICE_TOKENS_PER_MINUTE": str(TOKENS),
        "FACADE_DEVICE_UPSTREAM_REQUESTS_PER_MINUTE": str(REQUESTS),
        "FACADE_DEVICE_UPSTREAM_BYTES_PER_HOUR": str(BYTES),
    }


@pytest.fixture
async def token_registry() -> AsyncIterator[RegistrySimulator]:
    """A registry that wants a token for each repository."""
    async with RegistrySimulator(login=BearerLogin(USERNAME, CANARY_TOKEN)) as registry:
        yield registry


def new_device(facade: Facade) -> Device:
    """Return a device that has spent nothing yet."""
    return facade.device(facade.files.device_ca.issue_device(device=f"press-{uuid4()}"))


def require_limited(answer: Answer) -> None:
    """Hold that the answer is the device's own limit, and says when to come again."""
    assert (answer.status, answer.error_code) == (429, "TOOMANYREQUESTS")
    assert int(answer.headers["Retry-After"]) >= 1


def first_refused(answers: list[Answer]) -> Answer:
    """Return the first that is no 200; a later one may be, because some is earned meanwhile."""
    return next(answer for answer in answers if answer.status != 200)


def most(a_minute: int, began: float) -> int:
    """Return how many there may have been: a minute's, those earned since, one pull's beyond."""
    return a_minute + int((time.monotonic() - began) * a_minute / 60) + 4


async def pulls(facade: Facade, paths: list[str]) -> list[Answer]:
    """Have one device ask for everything, on one connection after the other."""
    device = new_device(facade)
    return [await device.get(path) for path in paths]


async def test_small_requests_for_many_repositories_are_so_many_tokens_and_no_more(
    facade: Facade, writer: StatementWriter, token_registry: RegistrySimulator
) -> None:
    """Each of them is three requests and a token."""
    names = [f"team/app-{number}" for number in range(PULLS)]
    paths = [
        pull_path(
            token_registry, token_registry.blob(name.encode(), repository=name), repository=name
        )
        for name in names
    ]
    await connect(facade, writer, token_registry)
    began = time.monotonic()
    answers = await pulls(facade, paths)
    assert isinstance(token_registry.login, BearerLogin)
    assert TOKENS <= token_registry.login.minted <= most(TOKENS, began)
    require_limited(first_refused(answers))
    assert (await new_device(facade).get(paths[-1])).status == 200
    assert "device_tokens" in facade.not_asked()


async def test_requests_are_counted_as_they_are_sent(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """To the registry, and to where it points."""
    async with StoreSimulator() as store:
        contents = [bytes([number]) * 9 for number in range(PULLS)]
        paths = [
            pull_path(upstream, upstream.blob(content, get=RedirectsTo(store.put(content))))
            for content in contents
        ]
        await connect(facade, writer, upstream, allowed_networks=("127.0.0.0/8",))
        began = time.monotonic()
        answers = await pulls(facade, paths)
        sent = len(upstream.requests) + len(store.requests)
        assert REQUESTS <= sent <= most(REQUESTS, began)
        assert answers[0].body == contents[0]
        require_limited(first_refused(answers))
        assert (await new_device(facade).get(paths[-1])).body == contents[-1]
    assert "device_requests" in facade.not_asked()


async def test_bytes_are_counted_as_they_come(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """What has begun is served to its end; what is stored costs nothing."""
    blobs = [_random.randbytes(ENDLESS) for _ in range(2)]
    first, second = (pull_path(upstream, upstream.blob(blob)) for blob in blobs)
    await connect(facade, writer, upstream)
    device = new_device(facade)
    assert (await device.get(first)).body == blobs[0]
    await stored(facade, first.rpartition("/")[2])
    require_limited(await device.get(second))
    assert (await device.get(first)).body == blobs[0]
    assert (await device.get(first, method="HEAD")).status == 200
    other = new_device(facade)
    assert (await other.get(second)).body == blobs[1]
    assert (await device.get(second)).body == blobs[1]
    assert "device_bytes" in facade.not_asked()


async def test_another_registry_is_not_refused_for_it(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    token_registry: RegistrySimulator,
) -> None:
    """One that sends much, or breaks often, would keep a device from all others."""
    greedy = pull_path(upstream, upstream.blob(_random.randbytes(ENDLESS)))
    small = pull_path(token_registry, token_registry.blob(b"small"))
    await connect(facade, writer, upstream)
    await connect(facade, writer, token_registry)
    device = new_device(facade)
    assert (await device.get(greedy)).status == 200
    require_limited(await device.get(pull_path(upstream, upstream.blob(b"cold"))))
    assert (await device.get(small)).body == b"small"
