"""How a service account's key becomes a token, and what every other answer becomes."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from shared.upstream.credentials.google import (
    GoogleServiceAccountProvider,
    GoogleTokenEndpoint,
)
from shared.upstream.credentials.google_key import GoogleServiceAccountKey
from shared.upstream.credentials.short_lived import ShortLivedCredential
from shared.upstream.errors import (
    ConnectError,
    CredentialRefusedError,
    RateLimitedError,
    ServerError,
    Step,
    TokenExchangeError,
    UnexpectedAnswerError,
    UpstreamError,
    UpstreamTimeoutError,
)
from tests.support.eventually import eventually
from tests.support.simulators.behaviour import Answers
from tests.support.simulators.google import GoogleSimulator, ServiceAccount
from tests.support.simulators.login import basic_header
from tests.support.simulators.registry import StoreSimulator
from tests.unit.upstream.reading import UPSTREAM_TEXT, everything_said

UNAVAILABLE = Answers(503)


@pytest.fixture
async def google(account: ServiceAccount) -> AsyncIterator[GoogleSimulator]:
    """Google's token endpoint, which knows the account."""
    async with GoogleSimulator(account) as simulator:
        yield simulator


async def mint(account: ServiceAccount, url: str, **key_fields: Any) -> ShortLivedCredential:
    """Return a new credential from the endpoint."""
    key = GoogleServiceAccountKey.parse(account.key_json(**key_fields))
    async with GoogleTokenEndpoint.open(url) as endpoint:
        return await GoogleServiceAccountProvider(key, endpoint).mint()


async def refusal(account: ServiceAccount, google: GoogleSimulator) -> UpstreamError:
    """Return the error of an exchange; it is of the step `exchange`, and quotes nothing."""
    with pytest.raises(UpstreamError) as raised:
        await mint(account, google.token_url)
    assert raised.value.step is Step.EXCHANGE
    said = everything_said(raised.value)
    assert UPSTREAM_TEXT not in said
    assert "canary" not in said
    assert account.private_pem.splitlines()[1] not in said
    return raised.value


async def test_an_assertion_that_google_verifies_becomes_a_basic_credential(
    account: ServiceAccount, google: GoogleSimulator
) -> None:
    """Signature, issuer, audience, scope and times are the simulator's to judge."""
    minted = await mint(account, google.token_url)
    assert google.refused == []
    (token,) = google.tokens.values
    shown = minted.basic.authorization().reveal_text()
    assert shown == basic_header("oauth2accesstoken", token)
    assert minted.lifetime_seconds == 3599
    assert token not in f"{minted} {minted!r}"


async def test_the_keys_own_token_address_is_never_contacted(
    account: ServiceAccount, google: GoogleSimulator
) -> None:
    """Whoever stands there would get a signed assertion for Google."""
    async with StoreSimulator() as elsewhere:
        await mint(account, google.token_url, token_uri=f"{elsewhere.origin}/token")
        assert elsewhere.connections_made == 0
    assert google.refused == []


async def test_the_private_key_is_not_sent(
    account: ServiceAccount, google: GoogleSimulator
) -> None:
    """Only what it signs is."""
    await mint(account, google.token_url)
    (request,) = google.requests
    sent = f"{request.target} {request.headers} {request.body.decode()}"
    assert account.private_pem.splitlines()[1] not in sent
    assert request.query == []


async def test_a_key_that_google_does_not_know_is_refused_once(google: GoogleSimulator) -> None:
    """400 is final: nothing is sent again."""
    stranger = ServiceAccount.create(name="stranger")
    error = await refusal(stranger, google)
    assert isinstance(error, CredentialRefusedError)
    assert error.status == 400
    assert google.refused == ["issuer"]


async def test_a_signature_of_another_key_is_refused(
    account: ServiceAccount, google: GoogleSimulator
) -> None:
    """The simulator really verifies: an account with somebody else's key gets nothing."""
    other = ServiceAccount.create()
    assert other.client_email == account.client_email
    assert isinstance(await refusal(other, google), CredentialRefusedError)
    assert google.refused == ["signature: bad_signature"]
    assert len(google.tokens) == 0


async def test_a_moments_trouble_is_tried_again(
    account: ServiceAccount, google: GoogleSimulator
) -> None:
    """Google asks its clients to try a 503 again."""
    google.instead = [UNAVAILABLE]
    await mint(account, google.token_url)
    assert (len(google.requests), len(google.tokens)) == (2, 1)


async def test_lasting_trouble_is_told_after_three_tries(
    account: ServiceAccount, google: GoogleSimulator
) -> None:
    """It is no refusal of the key."""
    google.always = UNAVAILABLE
    error = await refusal(account, google)
    assert isinstance(error, ServerError)
    assert error.status == 503
    assert len(google.requests) == 3


@pytest.mark.parametrize(
    "status, error",
    [
        (401, CredentialRefusedError),
        (403, CredentialRefusedError),
        (404, TokenExchangeError),
        (302, TokenExchangeError),
        (202, TokenExchangeError),
    ],
)
async def test_another_status_is_final(
    account: ServiceAccount, google: GoogleSimulator, status: int, error: type[UpstreamError]
) -> None:
    """A redirect is not followed: it would take the assertion along."""
    async with StoreSimulator() as elsewhere:
        google.always = Answers(status, (("Location", f"{elsewhere.origin}/token"),))
        assert isinstance(await refusal(account, google), error)
        assert elsewhere.connections_made == 0
    assert len(google.requests) == 1


@pytest.mark.parametrize(
    "status, error", [(429, RateLimitedError), (503, ServerError), (500, ServerError)]
)
async def test_a_time_to_come_back_is_honoured(
    account: ServiceAccount, google: GoogleSimulator, status: int, error: type[UpstreamError]
) -> None:
    """Nothing is tried before it; who asked is told."""
    google.always = Answers(status, (("Retry-After", "7"),))
    refused = await refusal(account, google)
    assert isinstance(refused, error)
    assert isinstance(refused, RateLimitedError | ServerError)
    assert refused.retry_after == 7
    assert len(google.requests) == 1


async def test_a_limit_without_a_time_is_not_tried_against(
    account: ServiceAccount, google: GoogleSimulator
) -> None:
    """The broker decides when to come back."""
    google.always = Answers(429)
    assert isinstance(await refusal(account, google), RateLimitedError)
    assert len(google.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>upstream text that nobody may see</body></html>",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'"canary"',
        b"{}",
        b'{"access_token": null}',
        b'{"access_token": ""}',
        b'{"access_token": 7}',
        b'{"access_token": "canary token"}',
        b'{"access_token": "canary\\r\\nX: y"}',
        '{"access_token": "cänary"}'.encode(),
        b'{"access_token": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        b'{"access_token": "canary", "pad": "' + b"a" * 5 * 1024 * 1024 + b'"}',
    ],
    ids=lambda body: str(body[:24]),
)
async def test_an_answer_without_a_token_is_an_error_of_the_exchange(
    account: ServiceAccount, google: GoogleSimulator, body: bytes
) -> None:
    """Nothing, another language, too deep or 5 MiB: it is not tried again, and not quoted."""
    google.always = Answers(200, (("Content-Type", "text/html"),), body)
    assert isinstance(await refusal(account, google), TokenExchangeError)
    assert len(google.requests) == 1


@pytest.mark.parametrize(
    "expires_in, seconds",
    [
        (3599, 3599),
        (2, 2),
        (0, 60),
        (-1, 60),
        (None, 60),
        ("3599", 60),
        ("soon", 60),
        (True, 60),
        ([], 60),
        (10**12, 3600),
        (1e308, 3600),
    ],
)
async def test_a_lifetime_is_defined_for_every_answer(
    account: ServiceAccount, google: GoogleSimulator, expires_in: object, seconds: float
) -> None:
    """google-auth alone was seen to end in an `OverflowError`."""
    google.expires_in = expires_in
    assert (await mint(account, google.token_url)).lifetime_seconds == seconds


async def test_an_endpoint_that_is_away_cannot_be_reached(
    account: ServiceAccount, google: GoogleSimulator
) -> None:
    """No connection is no refusal of the key."""
    await google.__aexit__()
    assert isinstance(await refusal(account, google), ConnectError)


async def test_an_answer_that_is_no_http_is_not_quoted(account: ServiceAccount) -> None:
    """What aiohttp says of it holds the bytes."""

    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(UPSTREAM_TEXT.encode() + b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        with pytest.raises(UnexpectedAnswerError) as raised:
            await mint(account, f"http://127.0.0.1:{port}/token")
        assert raised.value.step is Step.EXCHANGE
        assert UPSTREAM_TEXT not in everything_said(raised.value)
    finally:
        server.close()


async def test_whoever_gives_up_leaves_nothing_behind(
    account: ServiceAccount, google: GoogleSimulator
) -> None:
    """A connection that was revoked asks Google for nothing more, not even for the second try."""
    google.always = UNAVAILABLE
    key = GoogleServiceAccountKey.parse(account.key_json())
    async with GoogleTokenEndpoint.open(google.token_url) as endpoint:
        minting = asyncio.create_task(GoogleServiceAccountProvider(key, endpoint).mint())
        await eventually(lambda: bool(google.requests))
        minting.cancel()
        await asyncio.wait([minting])
        endpoint.threads.shutdown(wait=False)
        await asyncio.to_thread(_join_google_threads)
    assert len(google.requests) == 1


def _join_google_threads() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("google-token"):
            thread.join(timeout=10)
            assert not thread.is_alive()


async def test_an_endpoint_that_is_closed_ends_what_is_under_way(
    account: ServiceAccount, google: GoogleSimulator
) -> None:
    """The process may end in the middle of an exchange."""
    google.delay_seconds = 60
    key = GoogleServiceAccountKey.parse(account.key_json())
    async with GoogleTokenEndpoint.open(google.token_url) as endpoint:
        minting = asyncio.create_task(GoogleServiceAccountProvider(key, endpoint).mint())
        await eventually(lambda: bool(google.requests))
    with pytest.raises(UpstreamError):
        await minting


@pytest.fixture
def no_blocking() -> Iterator[BlockBuster]:
    """Raise where the loop's own thread blocks."""
    with blockbuster_ctx() as blockbuster:
        yield blockbuster


@pytest.mark.usefixtures("no_blocking")
async def test_a_slow_endpoint_never_blocks_the_loop(
    account: ServiceAccount, google: GoogleSimulator
) -> None:
    """google-auth sleeps between its tries: not on the loop, whose work goes on meanwhile."""
    google.instead = [UNAVAILABLE]
    assert (await mint(account, google.token_url)).lifetime_seconds == 3599


async def test_many_exchanges_that_hang_leave_other_threads_free(
    account: ServiceAccount, google: GoogleSimulator
) -> None:
    """The loop's own threads serve files and lookups, and are no more than a handful."""
    google.delay_seconds = 60
    key = GoogleServiceAccountKey.parse(account.key_json())
    async with GoogleTokenEndpoint.open(google.token_url) as endpoint:
        provider = GoogleServiceAccountProvider(key, endpoint)
        minting = [asyncio.create_task(provider.mint()) for _ in range(40)]
        await eventually(lambda: bool(google.requests))
        await asyncio.to_thread(threading.current_thread)
        for task in minting:
            task.cancel()
        await asyncio.wait(minting)


async def test_silence_ends_in_time(account: ServiceAccount, google: GoogleSimulator) -> None:
    """An endpoint that accepts and says nothing is given up, once."""
    google.delay_seconds = 60
    key = GoogleServiceAccountKey.parse(account.key_json())
    minted, seconds = 0, 0.2
    while not google.requests:  # a busy machine may take longer than that to ask
        async with GoogleTokenEndpoint.open(google.token_url, request_seconds=seconds) as endpoint:
            with pytest.raises(UpstreamTimeoutError):
                await GoogleServiceAccountProvider(key, endpoint).mint()
        minted, seconds = minted + 1, 2 * seconds
    assert len(google.requests) <= minted
