"""Who is shown the credential, when, and how often."""

import logging

import pytest

from shared.oci import Digest, Kind
from shared.secret import Secret
from shared.upstream.authorization import OneShotAuthorizer
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.challenge import BearerChallenge, Challenge
from shared.upstream.client import RegistryClient
from shared.upstream.errors import (
    ChallengeError,
    CredentialRefusedError,
    NotInRegistryError,
    RateLimitedError,
    RealmNotAllowedError,
    RedirectRefusedError,
    ServerError,
    Step,
    TokenExchangeError,
    UpstreamError,
    UpstreamTimeoutError,
)
from shared.upstream.scope import Scope
from shared.upstream.token_exchange import MAX_TOKEN_BYTES
from shared.upstream.transport import UpstreamTransport
from tests.support.simulators.behaviour import Answers, Honest
from tests.support.simulators.login import BasicLogin, BearerLogin, basic_header
from tests.support.simulators.registry import RegistrySimulator, StoreSimulator
from tests.unit.upstream.conftest import PASSWORD, QUICK, ROBOT, Connect, target_of
from tests.unit.upstream.reading import APP, UPSTREAM_TEXT, everything_said, read

ROBOTS_HEADER = basic_header(ROBOT.username, PASSWORD)


def basic_login() -> BasicLogin:
    """A registry that knows the robot."""
    return BasicLogin(ROBOT.username, PASSWORD)


def bearer_login(**options: object) -> BearerLogin:
    """A registry whose token endpoint knows the robot."""
    return BearerLogin(ROBOT.username, PASSWORD, **options)  # type: ignore[arg-type] # as given


async def test_basic_is_sent_only_when_it_is_asked_for(connect: Connect) -> None:
    """The first request is anonymous; the challenge is answered once."""
    async with RegistrySimulator(login=basic_login()) as registry:
        digest = registry.blob(b"content")
        client = await connect(registry, ROBOT)
        assert await read(client, digest) == b"content"
        assert [request.header("Authorization") for request in registry.requests] == [
            None,
            ROBOTS_HEADER,
        ]
        assert registry.connections_made == 1


async def test_a_token_is_asked_for_exactly_one_pull(connect: Connect) -> None:
    """Basic goes to the realm, the token to the registry, and neither the other way."""
    login = bearer_login(realm=None)
    async with RegistrySimulator(login=login) as registry:
        digest = registry.blob(b"content")
        client = await connect(registry, ROBOT)
        assert await read(client, digest) == b"content"
        first, token, second = registry.requests
        assert first.header("Authorization") is None
        assert token.path == "/token"
        assert token.query == [
            ("service", "simulator"),
            ("scope", "repository:team/app:pull"),
        ]
        assert token.header("Authorization") == ROBOTS_HEADER
        assert (second.header("Authorization") or "").startswith("Bearer ")


async def test_an_anonymous_connection_gets_a_token_without_a_credential(connect: Connect) -> None:
    """Public repositories ask for a token, too."""
    async with RegistrySimulator(login=BearerLogin()) as registry:
        digest = registry.blob(b"content")
        client = await connect(registry)
        assert await read(client, digest) == b"content"
        assert registry.requests[1].header("Authorization") is None


async def test_a_realms_own_query_is_kept(connect: Connect) -> None:
    """Some realms carry an account or a repository of their own."""
    login = bearer_login()
    async with RegistrySimulator(login=login) as registry:
        login.realm = f"{registry.origin}/token?account=a%2fb&scope=repository:other:pull"
        digest = registry.blob(b"content")
        client = await connect(registry, ROBOT)
        assert await read(client, digest) == b"content"
        assert registry.requests[1].target == (
            "/token?account=a%2fb&scope=repository:other:pull"
            "&service=simulator&scope=repository:team/app:pull"
        )


async def test_a_challenge_behind_another_header_is_found(connect: Connect) -> None:
    """`Negotiate` was seen to hide `Bearer`."""
    login = bearer_login(challenges=("Negotiate", 'Bearer realm="{realm}"', 'Basic realm="x"'))
    async with RegistrySimulator(login=login) as registry:
        digest = registry.blob(b"content")
        client = await connect(registry, ROBOT)
        assert await read(client, digest) == b"content"
        assert login.minted == 1


@pytest.mark.parametrize(
    "challenges",
    [("Negotiate",), ("Bearer",), ('Bearer realm="unterminated',), ("Basic " + "a" * 15_000,)],
)
async def test_a_challenge_that_we_cannot_answer_is_named_so(
    connect: Connect, challenges: tuple[str, ...]
) -> None:
    """And nothing is sent anywhere."""
    async with RegistrySimulator(login=bearer_login(challenges=challenges)) as registry:
        digest = registry.blob(b"content")
        client = await connect(registry, ROBOT)
        with pytest.raises(ChallengeError):
            await read(client, digest)
        assert len(registry.requests) == 1


async def test_a_foreign_realm_is_sent_nothing(connect: Connect) -> None:
    """go-containerregistry#2193: an attacker's realm got the password."""
    async with (
        StoreSimulator() as foreign,
        RegistrySimulator(login=bearer_login(realm=f"{foreign.origin}/token")) as registry,
    ):
        digest = registry.blob(b"content")
        client = await connect(registry, ROBOT)
        with pytest.raises(RealmNotAllowedError) as refusal:
            await read(client, digest)
        assert refusal.value.realm == f"{foreign.origin}/token"
        assert refusal.value.step is Step.REALM
        assert foreign.connections_made == 0
        assert len(registry.requests) == 1


async def test_a_wrong_password_is_tried_once(connect: Connect) -> None:
    """Retries lock accounts (goharbor/harbor#22569)."""
    wrong = BasicCredential(ROBOT.username, Secret("canary-wrong"))
    for login in (basic_login(), bearer_login()):
        async with RegistrySimulator(login=login) as registry:
            digest = registry.blob(b"content")
            client = await connect(registry, wrong)
            with pytest.raises(CredentialRefusedError) as refusal:
                await read(client, digest)
            shown = [request.header("Authorization") for request in registry.requests]
            assert shown.count(basic_header(ROBOT.username, "canary-wrong")) == 1
            said = everything_said(refusal.value)
            assert UPSTREAM_TEXT not in said
            assert "canary" not in said
            assert refusal.value.status == 401
            is_token = isinstance(login, BearerLogin)
            assert refusal.value.step is (Step.EXCHANGE if is_token else Step.REQUEST)


async def test_a_head_with_a_wrong_password_tries_it_once(connect: Connect) -> None:
    """The second look at a blob's HEAD is not a second try of the password."""
    wrong = BasicCredential(ROBOT.username, Secret("wrong"))
    async with RegistrySimulator(login=basic_login()) as registry:
        digest = registry.blob(b"content")
        client = await connect(registry, wrong)
        with pytest.raises(CredentialRefusedError):
            async with client.fetch(Kind.BLOB, APP, Digest.parse(digest), method="HEAD"):
                pass
        assert len(registry.requests) == 2


async def test_an_anonymous_connection_has_nothing_to_log_in_with(connect: Connect) -> None:
    """Basic asked of nobody is a refusal."""
    async with RegistrySimulator(login=basic_login()) as registry:
        digest = registry.blob(b"content")
        client = await connect(registry)
        with pytest.raises(CredentialRefusedError):
            await read(client, digest)
        assert len(registry.requests) == 1


async def test_a_forbidden_repository_is_not_a_reason_to_log_in_again(connect: Connect) -> None:
    """A 403 without a challenge stands."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(b"content", get=Answers(403))
        client = await connect(registry, ROBOT)
        with pytest.raises(CredentialRefusedError) as refusal:
            await read(client, digest)
        assert UPSTREAM_TEXT not in everything_said(refusal.value)
        assert len(registry.requests) == 1


class Remembering:
    """Presents what it is told to, and records what it is asked."""

    def __init__(self, presented: Secret | None, answer: Secret | None) -> None:
        self.presented = presented
        self.reply = answer
        self.refusals: list[tuple[tuple[Challenge, ...], Scope, Secret | None]] = []
        self.accepted: list[Scope] = []
        self.ends: list[tuple[Scope, bool]] = []

    async def present(self, scope: Scope) -> Secret | None:  # noqa: ARG002 - the protocol's
        """Return the known value."""
        return self.presented

    async def answer(
        self, challenges: tuple[Challenge, ...], scope: Scope, refused: Secret | None
    ) -> Secret | None:
        """Record, and return the reply."""
        self.refusals.append((challenges, scope, refused))
        return self.reply

    def worked(self, scope: Scope) -> None:
        """Record what was accepted."""
        self.accepted.append(scope)

    def ended(
        self,
        scope: Scope,
        *,
        is_open: bool,
        unreadable: ChallengeError | None = None,  # noqa: ARG002 - the protocol's
    ) -> None:
        """Record how it ended."""
        self.ends.append((scope, is_open))

    def close(self) -> None:
        """Have nothing under way."""


async def test_what_is_known_is_presented_at_first() -> None:
    """A warm pull has no challenge."""
    async with RegistrySimulator(login=basic_login()) as registry:
        digest = registry.blob(b"content")
        authorizer = Remembering(ROBOT.authorization(), None)
        client = await RegistryClient.create(target_of(registry), authorizer)
        try:
            assert await read(client, digest) == b"content"
        finally:
            await client.close()
        assert len(registry.requests) == 1
        assert authorizer.refusals == []


async def test_an_expired_token_is_replaced_once() -> None:
    """Drop, mint, retry, stop (amazon-ecr-credential-helper#7)."""
    login = bearer_login()
    async with RegistrySimulator(login=login) as registry:
        digest = registry.blob(b"content")
        stale = Secret("Bearer stale")
        authorizer = Remembering(stale, Secret("Bearer stale too"))
        client = await RegistryClient.create(target_of(registry), authorizer)
        try:
            with pytest.raises(CredentialRefusedError):
                await read(client, digest)
        finally:
            await client.close()
        assert len(registry.requests) == 2
        [(challenges, scope, refused)] = authorizer.refusals
        assert refused is stale
        assert scope == Scope.pull(APP)
        assert challenges == (BearerChallenge(f"{registry.origin}/token", "simulator"),)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_ecrs_403_for_an_expired_token_is_answered(method: str) -> None:
    """It has no challenge, only a text; a HEAD does not even have that."""
    text = b"Your Authorization Token has expired. Reauthenticate and try again."
    async with RegistrySimulator() as registry:
        digest = registry.blob(b"content", get=Answers(403, body=text))
        authorizer = Remembering(Secret("Basic stale"), Secret("Basic fresh"))
        client = await RegistryClient.create(target_of(registry), authorizer)
        try:
            with pytest.raises(CredentialRefusedError):
                async with client.fetch(Kind.BLOB, APP, Digest.parse(digest), method=method):  # type: ignore[arg-type] # parametrized Literal
                    pass
        finally:
            await client.close()
        assert [refused for _, _, refused in authorizer.refusals] == [Secret("Basic stale")]
        assert registry.requests[-1].header("Authorization") == "Basic fresh"


async def test_a_401_without_a_challenge_is_the_authorizers_to_answer() -> None:
    """docker/hub-feedback#2530."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(b"content", get=Answers(401))
        authorizer = Remembering(None, Secret("Basic known"))
        client = await RegistryClient.create(target_of(registry), authorizer)
        try:
            with pytest.raises(CredentialRefusedError):
                await read(client, digest)
        finally:
            await client.close()
        [(challenges, _, refused)] = authorizer.refusals
        assert (challenges, refused) == ((), None)
        assert len(registry.requests) == 2


async def test_public_ecrs_401_to_a_head_is_looked_through(connect: Connect) -> None:
    """public.ecr.aws answers 401 to the HEAD of a blob that GET gives, whatever the token."""
    async with RegistrySimulator(login=BearerLogin()) as registry:
        realm = f'Bearer realm="{registry.origin}/token"'
        refusing = Answers(401, (("WWW-Authenticate", realm),))
        digest = registry.blob(b"content", get=Honest(), head=refusing)
        client = await connect(registry)
        async with client.fetch(Kind.BLOB, APP, Digest.parse(digest), method="HEAD") as answer:
            assert answer.content_length == 7
        assert isinstance(registry.login, BearerLogin)
        assert registry.login.minted == 1


async def test_a_credential_is_proven_by_one_request(connect: Connect) -> None:
    """Before every device's first request shows it: a hundred wrong ones lock an account."""
    wrong = BasicCredential(ROBOT.username, Secret("canary-wrong"))
    async with RegistrySimulator(login=basic_login()) as registry:
        client = await connect(registry)
        await client.prove(ROBOT.authorization())
        with pytest.raises(CredentialRefusedError) as refusal:
            await client.prove(wrong.authorization())
        assert refusal.value.status == 401
        assert "canary" not in everything_said(refusal.value)
        assert [request.path for request in registry.requests] == ["/v2/", "/v2/"]


@pytest.mark.parametrize(
    "ping",
    [
        Answers(200),
        Answers(401, (("WWW-Authenticate", 'Bearer realm="https://other.example/token"'),)),
        Answers(403),
        Answers(404),
    ],
)
async def test_what_does_not_want_basic_proves_nothing(connect: Connect, ping: Answers) -> None:
    """Then the request itself tells; a 403 is about rights, and a token is not asked for."""
    async with RegistrySimulator(ping=ping) as registry:
        client = await connect(registry)
        await client.prove(ROBOT.authorization())
        assert len(registry.requests) == 1


@pytest.mark.parametrize("status, error", [(429, RateLimitedError), (503, ServerError)])
async def test_trouble_is_no_proof_either(
    connect: Connect, status: int, error: type[UpstreamError]
) -> None:
    """It is told as what it is."""
    async with RegistrySimulator(ping=Answers(status)) as registry:
        client = await connect(registry)
        with pytest.raises(error):
            await client.prove(ROBOT.authorization())


async def test_what_is_not_found_stays_not_found_behind_a_login(connect: Connect) -> None:
    """A login is no answer."""
    async with RegistrySimulator(login=bearer_login()) as registry:
        client = await connect(registry, ROBOT)
        with pytest.raises(NotInRegistryError):
            await read(client, "sha256:" + "0" * 64)


TOKEN = b'{"token": "canary-token", '


@pytest.mark.parametrize(
    "status, headers, body, error",
    [
        (401, (), b"x", CredentialRefusedError),
        (403, (), b"x", CredentialRefusedError),
        (429, (("Retry-After", "5"),), b"x", RateLimitedError),
        (500, (), b"x", ServerError),
        (404, (), b"x", TokenExchangeError),
        (302, (), b"", RedirectRefusedError),
        (304, (), b"", TokenExchangeError),
        (200, (), b"", TokenExchangeError),
        (200, (), b"<html>", TokenExchangeError),
        (200, (), b"[]", TokenExchangeError),
        (200, (), b'"token"', TokenExchangeError),
        (200, (), b"{}", TokenExchangeError),
        (200, (), b'{"token": ""}', TokenExchangeError),
        (200, (), b'{"token": 7}', TokenExchangeError),
        (200, (), b'{"token": "a b"}', TokenExchangeError),
        (200, (), b'{"token": "a\\r\\nX: y"}', TokenExchangeError),
        (200, (), '{"token": "tökn"}'.encode(), TokenExchangeError),
        (200, (), b'{"token": "' + b"a" * (MAX_TOKEN_BYTES + 1) + b'"}', TokenExchangeError),
        (200, (), TOKEN + b'"pad": "' + b"a" * 5 * 1024 * 1024 + b'"}', TokenExchangeError),
        (200, (), TOKEN + b'"deep": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", TokenExchangeError),
    ],
)
async def test_a_token_endpoint_without_a_token_is_an_error_of_the_exchange(
    connect: Connect,
    status: int,
    headers: tuple[tuple[str, str], ...],
    body: bytes,
    error: type[UpstreamError],
) -> None:
    """Refused, broken, too much, or no token at all: nothing is sent with it, nothing is quoted."""
    login = bearer_login(answer=(status, headers, body))
    async with RegistrySimulator(login=login) as registry:
        digest = registry.blob(b"content")
        client = await connect(registry, ROBOT)
        with pytest.raises(error) as refusal:
            await read(client, digest)
        assert refusal.value.step is Step.EXCHANGE
        assert "canary" not in everything_said(refusal.value)
        assert len(registry.requests) == 2


async def test_the_longest_token_is_sent(connect: Connect) -> None:
    """16 KiB are room for whatever a registry signs."""
    login = bearer_login(answer_fields={"token": "a" * MAX_TOKEN_BYTES})
    async with RegistrySimulator(login=login) as registry:
        login.tokens["a" * MAX_TOKEN_BYTES] = (float("inf"), ())
        client = await connect(registry, ROBOT)
        assert await read(client, registry.blob(b"content")) == b"content"


async def test_a_token_endpoint_that_is_silent_is_named(connect: Connect) -> None:
    """The step is the exchange, not the registry's answer."""
    async with RegistrySimulator(login=bearer_login(is_silent=True)) as registry:
        digest = registry.blob(b"content")
        client = await connect(registry, ROBOT, timeouts=QUICK)
        with pytest.raises(UpstreamTimeoutError) as refusal:
            await read(client, digest)
        assert refusal.value.step is Step.EXCHANGE


async def test_an_access_token_is_a_token(connect: Connect) -> None:
    """ACR answers `access_token` alone."""
    login = bearer_login(answer_fields={"token": None, "access_token": ""})
    async with RegistrySimulator(login=login) as registry:
        digest = registry.blob(b"content")
        client = await connect(registry, ROBOT)
        assert await read(client, digest) == b"content"


async def test_a_secret_is_nowhere_in_what_is_kept() -> None:
    """Credential, authorizer, client and header print nothing."""
    async with RegistrySimulator(login=basic_login()) as registry:
        transport = await UpstreamTransport.open(target_of(registry))
        client = RegistryClient(transport, OneShotAuthorizer(transport, ROBOT))
        try:
            for shown in (ROBOT, ROBOT.authorization(), client, transport):
                assert PASSWORD not in repr(shown)
                assert ROBOTS_HEADER.removeprefix("Basic ") not in repr(shown)
        finally:
            await transport.close()
    with pytest.raises(ValueError, match="colon") as refusal:
        BasicCredential("user:name", Secret("x"))
    assert "user:name" not in str(refusal.value)


async def test_a_secret_is_in_no_log(caplog: pytest.LogCaptureFixture, connect: Connect) -> None:
    """At debug level, of every library, in success and in failure."""
    caplog.set_level(logging.DEBUG)
    said = ""
    for login in (basic_login(), bearer_login(), bearer_login(answer=(500, (), b""))):
        async with RegistrySimulator(login=login) as registry:
            digest = registry.blob(b"content")
            client = await connect(registry, ROBOT)
            try:
                await read(client, digest)
            except UpstreamError as error:
                said += everything_said(error)
            tokens = login.tokens if isinstance(login, BearerLogin) else {}
            for secret in (PASSWORD, ROBOTS_HEADER.removeprefix("Basic "), *tokens):
                assert secret not in caplog.text + said
