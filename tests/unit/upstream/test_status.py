"""Every status that is no success has one meaning, of the registry and of its store."""

from typing import Final

import pytest

from facade.pulls.failure_answers import answer_to
from shared.oci import Digest, Kind
from shared.upstream.errors import (
    CredentialRefusedError,
    GoneError,
    NotInRegistryError,
    NotNowError,
    PolicyDeniedError,
    RateLimitedError,
    ServerError,
    UnexpectedStatusError,
    UpstreamError,
)
from shared.upstream.transport import Method
from tests.support.simulators.behaviour import Answers, RedirectsTo
from tests.support.simulators.registry import RegistrySimulator, StoreSimulator
from tests.unit.upstream.conftest import Connect
from tests.unit.upstream.reading import APP

POLICY: Final = {402, 412, 451}
NOT_NOW: Final = {408, 421, 425}
REFUSED: Final = {401, 403}
ERRORS: Final = range(400, 600)

WRONG_BYTES: Final = "the registry's answer is not what the digest names"


def meaning(status: int, *, of_store: bool) -> type[UpstreamError]:
    """Return what a status means; the table is written here a second time."""
    if status in REFUSED:
        return UnexpectedStatusError if of_store else CredentialRefusedError
    for statuses, error in (
        (POLICY, PolicyDeniedError),
        ({404}, NotInRegistryError),
        ({410}, GoneError),
        (NOT_NOW, NotNowError),
        ({429}, RateLimitedError),
        (set(range(500, 600)), ServerError),
    ):
        if status in statuses:
            return error
    return UnexpectedStatusError


def told(status: int, *, of_store: bool) -> tuple[int, str]:
    """Return what a device is told of it."""
    answers: dict[type[UpstreamError], tuple[int, str]] = {
        CredentialRefusedError: (502, "DENIED"),
        PolicyDeniedError: (403, "DENIED"),
        NotInRegistryError: (404, "BLOB_UNKNOWN"),
        GoneError: (404, "BLOB_UNKNOWN"),
        NotNowError: (503, "UNAVAILABLE"),
        RateLimitedError: (429, "TOOMANYREQUESTS"),
        ServerError: (503, "UNAVAILABLE"),
        UnexpectedStatusError: (502, "UNAVAILABLE"),
    }
    return answers[meaning(status, of_store=of_store)]


@pytest.mark.parametrize("of_store", [False, True], ids=["registry", "store"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_every_error_of_http_has_its_meaning(
    connect: Connect, method: Method, *, of_store: bool
) -> None:
    """To the client, and to the device behind it; none is told as wrong bytes."""
    async with StoreSimulator() as store, RegistrySimulator() as registry:
        client = await connect(registry)
        for status in ERRORS:
            content, says = b"%d" % status, Answers(status)
            get = RedirectsTo(store.put(content, get=says)) if of_store else says
            digest = Digest.parse(registry.blob(content, get=get))
            with pytest.raises(UpstreamError) as failure:
                async with client.fetch(Kind.BLOB, APP, digest, method=method):
                    pass
            assert type(failure.value) is meaning(status, of_store=of_store), status
            answer = answer_to(failure.value, Kind.BLOB)
            assert (answer.status, answer.code) == told(status, of_store=of_store), status
            assert answer.message != WRONG_BYTES


@pytest.mark.parametrize("status", sorted(NOT_NOW | {429, 503}))
async def test_a_delay_that_is_named_reaches_the_device(connect: Connect, status: int) -> None:
    """Who asks to be asked again says when."""
    async with RegistrySimulator() as registry:
        says = Answers(status, (("Retry-After", "17"),))
        digest = Digest.parse(registry.blob(b"content", get=says))
        client = await connect(registry)
        with pytest.raises(UpstreamError) as failure:
            async with client.fetch(Kind.BLOB, APP, digest):
                pass
        assert answer_to(failure.value, Kind.BLOB).headers["Retry-After"] == "17"
