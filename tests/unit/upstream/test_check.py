"""What an operator's check says of a registry, and what it shows to whom."""

import ssl
from pathlib import Path

import pytest

from deploy.dev.device_ca import CertificateAuthority
from shared.oci import RepositoryName
from shared.registry_host import RegistryHost
from shared.secret import Secret
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.check import CheckOutcome, CheckStage, LoginCheck, check_login
from shared.upstream.target import UpstreamTarget
from tests.support.simulators.behaviour import (
    Answers,
    Behaviour,
    RawBytes,
    RedirectsTo,
    Stalls,
    WebPage,
)
from tests.support.simulators.login import BasicLogin, BearerLogin, basic_header
from tests.support.simulators.registry import RegistrySimulator, StoreSimulator
from tests.unit.upstream.conftest import PASSWORD, QUICK, ROBOT, target_of
from tests.unit.upstream.reading import APP, UPSTREAM_TEXT

TAGS = f"/v2/{APP}/tags/list"
WRONG = BasicCredential(ROBOT.username, Secret("canary-wrong"))


def problem(check: LoginCheck) -> tuple[CheckOutcome, str]:
    """Return the outcome and the problem's code, and see that nothing leaked."""
    assert check.problem is not None
    assert "canary" not in repr(check)
    assert UPSTREAM_TEXT not in repr(check)
    assert check.problem.text
    return check.outcome, check.problem.code


async def test_a_basic_login_passes() -> None:
    """The scheme is told; there is no token to expire."""
    async with RegistrySimulator(login=BasicLogin(ROBOT.username, PASSWORD)) as registry:
        check = await check_login(target_of(registry), ROBOT)
        assert check == LoginCheck(CheckOutcome.PASSED, auth_scheme="basic")


async def test_a_token_login_passes() -> None:
    """Scheme, realm and the token's lifetime are told; the token is tried."""
    stages: list[CheckStage] = []
    async with RegistrySimulator(login=BearerLogin(ROBOT.username, PASSWORD)) as registry:
        registry.paths[TAGS] = Answers(200, (), b'{"name":"team/app","tags":["1.4"]}')
        target = target_of(registry)
        check = await check_login(target, ROBOT, repository=APP, tell=stages.append)
        assert stages == [*CheckStage]
        assert check == LoginCheck(
            CheckOutcome.PASSED,
            auth_scheme="bearer",
            realm=f"{registry.origin}/token",
            token_expires_in_seconds=300,
        )
        assert ("scope", "repository:team/app:pull") in registry.requests[1].query
        assert (registry.requests[2].header("Authorization") or "").startswith("Bearer ")


@pytest.mark.parametrize(
    "status, code",
    [(404, "repository_unknown"), (403, "repository_refused"), (401, "repository_refused")],
)
async def test_a_repository_that_is_not_shown_fails_after_the_login(status: int, code: str) -> None:
    """In words of the repository, and not of the login, which was taken."""
    stages: list[CheckStage] = []
    async with RegistrySimulator(login=BearerLogin(ROBOT.username, PASSWORD)) as registry:
        challenge = ("WWW-Authenticate", f'Bearer realm="{registry.origin}/token"')
        registry.paths[TAGS] = Answers(status, (challenge,), UPSTREAM_TEXT.encode())
        target = target_of(registry)
        check = await check_login(target, ROBOT, repository=APP, tell=stages.append)
        assert problem(check) == (CheckOutcome.FAILED, code)
    assert stages == [*CheckStage][:-1]


async def test_what_was_not_done_is_not_told() -> None:
    """Neither of a host that nobody knows, nor of a login that is refused."""
    stages: list[CheckStage] = []
    async with RegistrySimulator(login=BasicLogin(ROBOT.username, PASSWORD)) as registry:
        await check_login(target_of(registry), WRONG, tell=stages.append)
    assert stages == [CheckStage.NAME, CheckStage.CONNECTION, CheckStage.CHALLENGE]
    stages.clear()
    unknown = UpstreamTarget(RegistryHost.parse("registry.example"))
    await check_login(unknown, None, tell=stages.append, lookup=lambda *_: [])
    assert stages == []


async def test_a_check_without_a_repository_asks_for_no_scope() -> None:
    """It only logs in."""
    async with RegistrySimulator(login=BearerLogin(ROBOT.username, PASSWORD)) as registry:
        assert (await check_login(target_of(registry), ROBOT)).outcome is CheckOutcome.PASSED
        assert [name for name, _ in registry.requests[1].query] == ["service"]


@pytest.mark.parametrize("login", [None, BearerLogin()])
async def test_an_anonymous_check_of_a_public_registry_passes(login: BearerLogin | None) -> None:
    """With a token for anybody, or with none at all."""
    async with RegistrySimulator(login=login) as registry:
        check = await check_login(target_of(registry), None)
        assert check.outcome is CheckOutcome.PASSED
        assert check.auth_scheme == ("bearer" if login else "none")
        assert all(request.header("Authorization") is None for request in registry.requests)


async def test_a_registry_that_lets_anybody_in_still_judges_the_password() -> None:
    """It answers 200 to nobody, but 401 to a wrong password."""
    async with RegistrySimulator() as registry:
        check = await check_login(target_of(registry), ROBOT)
        assert (check.outcome, check.auth_scheme) == (CheckOutcome.PASSED, "none")
        assert registry.requests[1].header("Authorization") == basic_header(
            ROBOT.username, PASSWORD
        )


@pytest.mark.parametrize(
    "login", [BasicLogin(ROBOT.username, PASSWORD), BearerLogin(ROBOT.username, PASSWORD)]
)
async def test_a_wrong_password_fails_after_one_try(login: BasicLogin | BearerLogin) -> None:
    """By the registry or by its token endpoint; tried once."""
    async with RegistrySimulator(login=login) as registry:
        check = await check_login(target_of(registry), WRONG)
        assert problem(check) == (CheckOutcome.FAILED, "credential_refused")
        shown = [request.header("Authorization") for request in registry.requests]
        assert shown.count(basic_header(ROBOT.username, "canary-wrong")) == 1


async def test_an_anonymous_check_of_a_private_registry_fails() -> None:
    """It asks for a login that the connection does not have."""
    for login in (BasicLogin("a", "b"), BearerLogin("a", "b")):
        async with RegistrySimulator(login=login) as registry:
            check = await check_login(target_of(registry), None)
            assert problem(check) == (CheckOutcome.FAILED, "credential_refused")


async def test_a_realm_outside_the_rule_is_named_and_sent_nothing() -> None:
    """The operator may repeat the check with it in `auth_realms`."""
    async with StoreSimulator() as foreign:
        realm = f"{foreign.origin}/token"
        login = BearerLogin(ROBOT.username, PASSWORD, realm=realm)
        async with RegistrySimulator(login=login) as registry:
            check = await check_login(target_of(registry), ROBOT)
            assert problem(check) == (CheckOutcome.FAILED, "realm_not_allowed")
            assert (check.realm, check.auth_scheme) == (realm, "bearer")
            # the API takes no realm on plain HTTP
            assert check.problem is not None
            assert "auth_realms" not in check.problem.text
            assert check.realm_entry is None
            assert foreign.connections_made == 0


async def test_a_redirect_to_a_realm_outside_the_rule_is_named_and_sent_nothing() -> None:
    """With the entry that would allow it, and nothing of its query."""
    login = BearerLogin(ROBOT.username, PASSWORD)
    async with RegistrySimulator(login=login) as registry:
        registry.paths["/token"] = RedirectsTo("https://auth.invalid/token?canary=1")
        check = await check_login(target_of(registry), ROBOT)
        assert problem(check) == (CheckOutcome.FAILED, "realm_not_allowed")
        assert check.realm == check.realm_entry == "https://auth.invalid/token"
        assert check.problem is not None
        assert "add https://auth.invalid/token to" in check.problem.text


async def test_what_cannot_be_reached_from_here_is_skipped() -> None:
    """The facade may stand elsewhere."""
    async with RegistrySimulator() as registry:
        target = target_of(registry)
        inside = UpstreamTarget(registry.host, plain_http=True)
        assert problem(await check_login(inside, ROBOT)) == (
            CheckOutcome.SKIPPED,
            "address_not_allowed",
        )
        assert registry.connections_made == 0
    assert problem(await check_login(target, ROBOT)) == (CheckOutcome.SKIPPED, "not_reachable")
    nowhere = UpstreamTarget(RegistryHost.parse("registry.invalid"))
    assert problem(await check_login(nowhere, ROBOT)) == (CheckOutcome.SKIPPED, "not_resolved")


@pytest.mark.parametrize(
    "ping, outcome, code",
    [
        (Answers(404), CheckOutcome.FAILED, "not_a_registry"),
        (Answers(400), CheckOutcome.FAILED, "not_a_registry"),
        (WebPage(), CheckOutcome.FAILED, "not_a_registry"),
        (RawBytes(b"SSH-2.0-OpenSSH_9.2\r\n"), CheckOutcome.FAILED, "not_a_registry"),
        (Answers(401), CheckOutcome.FAILED, "challenge_unusable"),
        (
            Answers(401, (("WWW-Authenticate", "Bearer"),)),
            CheckOutcome.FAILED,
            "challenge_unusable",
        ),
        (Answers(403), CheckOutcome.FAILED, "credential_refused"),
        (Answers(429), CheckOutcome.SKIPPED, "rate_limited"),
        (Answers(503), CheckOutcome.SKIPPED, "registry_error"),
        (Stalls(None), CheckOutcome.SKIPPED, "timeout"),
        (RedirectsTo("http://169.254.169.254/"), CheckOutcome.SKIPPED, "address_not_allowed"),
        (RedirectsTo("ftp://example.com/"), CheckOutcome.FAILED, "redirect_refused"),
    ],
)
async def test_what_answers_oddly_is_told_apart(
    ping: Behaviour, outcome: CheckOutcome, code: str
) -> None:
    """No password is shown to what does not ask for it as a registry does."""
    async with RegistrySimulator(ping=ping) as registry:
        check = await check_login(target_of(registry), ROBOT, timeouts=QUICK)
        assert problem(check) == (outcome, code)
        assert all(request.header("Authorization") is None for request in registry.requests)


@pytest.mark.parametrize("kind", ["alert", "says 400"])
async def test_plain_http_where_tls_is_spoken_is_told_as_that(kind: str, tmp_path: Path) -> None:
    """By what OpenSSL does, which closes, and by what Go and nginx do, which say 400."""
    files = CertificateAuthority.create().issue_server().write(tmp_path, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    simulated = (
        RegistrySimulator(tls=context) if kind == "alert" else RegistrySimulator(ping=Answers(400))
    )
    async with simulated as registry:
        check = await check_login(target_of(registry, plain_http=True), ROBOT, timeouts=QUICK)
    assert problem(check)[1] in {"not_reachable", "not_a_registry"}
    assert check.problem is not None
    assert check.problem.text.endswith("; if it speaks TLS, leave out plain_http (--plain-http)")


async def test_a_registry_that_sends_everybody_elsewhere_asks_nobody_to_log_in() -> None:
    """As registry.k8s.io does; the other host is shown no password."""
    async with (
        StoreSimulator() as elsewhere,
        RegistrySimulator(ping=RedirectsTo(f"{elsewhere.origin}/v2/")) as registry,
    ):
        check = await check_login(target_of(registry), None)
        assert check == LoginCheck(CheckOutcome.PASSED, auth_scheme="none")
        with_password = await check_login(target_of(registry), ROBOT)
        assert with_password.outcome is CheckOutcome.PASSED


async def test_a_token_endpoint_without_a_token_fails() -> None:
    """The step is told."""
    login = BearerLogin(answer=(200, (), b"{}"))
    async with RegistrySimulator(login=login) as registry:
        check = await check_login(target_of(registry), ROBOT)
        assert problem(check) == (CheckOutcome.FAILED, "exchange_failed")
        assert check.problem is not None
        assert check.problem.text.startswith("getting a token failed")


async def test_a_token_that_the_registry_does_not_take_fails() -> None:
    """A token alone proves nothing."""
    login = BearerLogin(ROBOT.username, PASSWORD, answer=(200, (), b'{"token":"canary-useless"}'))
    async with RegistrySimulator(login=login) as registry:
        check = await check_login(target_of(registry), ROBOT)
        assert problem(check) == (CheckOutcome.FAILED, "credential_refused")


async def test_a_scope_has_the_repositorys_upstream_name() -> None:
    """Docker Hub's one-part names live in `library/`."""
    async with RegistrySimulator(login=BearerLogin()) as registry:
        await check_login(target_of(registry), None, repository=RepositoryName.parse("busybox"))
        assert ("scope", "repository:busybox:pull") in registry.requests[1].query
