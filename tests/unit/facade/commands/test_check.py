"""A connection's check: each step in words, the one that fails named, and no secret in any."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from attrs import evolve
from typing_extensions import override

from deploy.dev.device_ca import CertificateAuthority
from facade.commands.check import CheckResources, check_connection
from facade.commands.check_pull import MAX_READ_BYTES
from facade.commands.check_report import CheckReport, CheckStep, StepOutcome, StepReport
from facade.commands.typed_reference import TypedDigest
from facade.registries.aws.aws_session import AwsSession
from facade.registries.providers import Providers
from facade.registries.unsealer import Unsealer
from facade.values.piece import PIECE_BYTES
from shared.approved_connection import approved_connection
from shared.connection import EcrRole, GoogleServiceAccount
from shared.keys import load_sealing_private_keys
from shared.upstream.credentials.google import GoogleTokenEndpoint
from shared.upstream.credentials.google_key import GoogleServiceAccountKey
from shared.upstream.proxy import OutboundProxy
from tests.support.simulators.aws import AwsSimulator, ecr_error
from tests.support.simulators.behaviour import (
    Answers,
    Behaviour,
    Honest,
    OtherBytes,
    RawBytes,
    RedirectsTo,
    WebPage,
)
from tests.support.simulators.google import INVALID_GRANT, GoogleSimulator, ServiceAccount
from tests.support.simulators.login import BasicLogin, BearerLogin
from tests.support.simulators.minted import ArtifactRegistry, EcrRegistry
from tests.support.simulators.proxy import ProxySimulator
from tests.support.simulators.registries import TITLES, Estate
from tests.support.simulators.registry import RegistrySimulator, StoreSimulator
from tests.support.simulators.wire import RecordedRequest, Wire
from tests.support.statement_writer import StatementWriter

USERNAME = "robot"
PASSWORD = "canary-check-password"
EXTERNAL_ID = "canary-external-id"
ROLE = EcrRole("arn:aws:iam::123456789012:role/puller", "123456789012", "eu-central-1", EXTERNAL_ID)
UNKNOWN_DIGEST = "sha256:" + "0" * 64

Check = Callable[..., Any]


@pytest.fixture
def writer() -> StatementWriter:
    """The control plane's pen; nothing is written to a database."""
    return StatementWriter("")


@asynccontextmanager
async def open_resources(
    writer: StatementWriter,
    *,
    aws_url: str | None = None,
    google_url: str | None = None,
    proxy: OutboundProxy | None = None,
) -> AsyncIterator[CheckResources]:
    """Make checks as `facade check` does."""
    opener = Unsealer(load_sealing_private_keys(writer.sealing_private_pem))
    async with (
        AwsSession.open(aws_url) as aws,
        GoogleTokenEndpoint.open(google_url or "http://127.0.0.1:1/") as google,
    ):
        yield CheckResources(Providers(opener, aws, google), allow_loopback=True, proxy=proxy)


async def check(
    writer: StatementWriter,
    host: object,
    resources: CheckResources | None = None,
    asked: str | None = None,
    **fields: Any,
) -> CheckReport:
    """Approve a connection and check it; see that nothing that was said is a secret."""
    connection = approved_connection(writer.approval(str(host), **fields))
    said: list[StepReport] = []
    digest = TypedDigest.parse(f"{host}/{asked}") if asked else None
    if resources is None:
        async with open_resources(writer) as made:
            report = await check_connection(connection, made, digest, said.append)
    else:
        report = await check_connection(connection, resources, digest, said.append)
    assert said == report.steps
    everything = f"{orjson.dumps(report.view())!r} {report!r} {[str(step) for step in said]}"
    assert "canary" not in everything
    assert "upstream text" not in everything
    return report


def outcomes(report: CheckReport) -> dict[str, str]:
    """Return each step's outcome; every step is told once."""
    told = {step.step.value: step.outcome.value for step in report.steps}
    assert len(told) == len(report.steps)
    return told


def failure(report: CheckReport) -> tuple[CheckStep, str]:
    """Return the one step that failed, which is the last, and its words."""
    failed = [step for step in report.steps if step.outcome is StepOutcome.FAILED]
    assert failed == report.steps[-1:]
    assert not report.has_passed
    return failed[0].step, failed[0].text


CREDENTIAL: dict[str, Any] = {"username": USERNAME, "token": PASSWORD, "plain_http": True}


async def test_every_step_of_a_basic_login_is_told(writer: StatementWriter) -> None:
    """In the order in which a pull takes them."""
    async with RegistrySimulator(login=BasicLogin(USERNAME, PASSWORD)) as registry:
        report = await check(writer, registry.host, **CREDENTIAL)
    assert list(outcomes(report).items()) == [
        ("statement", "ok"),
        ("secret", "ok"),
        ("resolve", "ok"),
        ("connect", "ok"),
        ("tls", "skipped"),
        ("challenge", "ok"),
        ("login", "ok"),
    ]
    assert report.has_passed
    assert report.view()["auth_scheme"] == "basic"


@pytest.mark.parametrize("kind", ["manifest", "blob"])
async def test_a_digest_is_pulled_with_the_token_of_its_repository(
    writer: StatementWriter, kind: str
) -> None:
    """By GET, whether it names a manifest or a blob; one token is minted."""
    async with RegistrySimulator(login=BearerLogin(USERNAME, PASSWORD)) as registry:
        digest = registry.manifest(b"{}") if kind == "manifest" else registry.blob(b"content")
        report = await check(writer, registry.host, asked=f"team/app@{digest}", **CREDENTIAL)
        told = outcomes(report)
        assert (told["realm"], told["exchange"], told["pull"]) == ("ok", "ok", "ok")
        assert f"a {kind} of" in report.steps[-1].text
        assert report.view()["realm"] == f"{registry.origin}/token"
        assert report.token_expires_in_seconds == 300
        token_requests = [each for each in registry.requests if each.path == "/token"]
        assert [("scope", "repository:team/app:pull") in each.query for each in token_requests] == [
            True
        ]
        assert {each.method for each in registry.pulls} == {"GET"}


MANIFEST = b'{"schemaVersion":2,"config":{},"layers":[]}'
BLOB = b"0123456789" * 50_000
REFUSES_HEAD = Answers(405)


@pytest.mark.parametrize("kind", ["manifest", "blob"])
@pytest.mark.parametrize(
    "get, words",
    [
        (Answers(403), "refuses our credential"),
        (Answers(410), "no manifest and no blob"),
        (Answers(412), "policy"),
        (Answers(451), "policy"),
        (Answers(500), "answered 500"),
        (OtherBytes(), "not what the digest names"),
        (WebPage(), ""),
        (RedirectsTo("http://169.254.169.254/"), "may not be spoken to"),
        (RedirectsTo("ftp://x/"), "redirects"),
        (RawBytes(b"SSH-2.0-OpenSSH_9.2\r\n"), "not answer in HTTP"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_pulls_fail_at_fails_the_check(
    writer: StatementWriter, kind: str, get: Behaviour, words: str
) -> None:
    """Its HEAD says that all is well."""
    async with RegistrySimulator(login=BearerLogin(USERNAME, PASSWORD)) as registry:
        put, content = (
            (registry.manifest, MANIFEST) if kind == "manifest" else (registry.blob, BLOB)
        )
        digest = put(content, get=get, head=Honest())
        report = await check(writer, registry.host, asked=f"team/app@{digest}", **CREDENTIAL)
        step, text = failure(report)
        assert step is CheckStep.PULL
        assert words in text


@pytest.mark.parametrize("kind", ["manifest", "blob"])
async def test_what_pulls_do_without_does_not_fail_the_check(
    writer: StatementWriter, kind: str
) -> None:
    """A HEAD, and the registry's root: it is asked for nothing but what a device asks for."""
    login = BearerLogin(USERNAME, PASSWORD)
    for ping in (Answers(404), Answers(503), WebPage(), RedirectsTo("ftp://x/")):
        async with RegistrySimulator(login=login, ping=ping) as registry:
            put, content = (
                (registry.manifest, MANIFEST) if kind == "manifest" else (registry.blob, BLOB)
            )
            digest = put(content, head=REFUSES_HEAD)
            registry.paths["/v2/"] = ping
            registry.paths["/token"] = RedirectsTo("token2")
            login.path, login.realm = "/token2", f"{registry.origin}/token"
            report = await check(writer, registry.host, asked=f"team/app@{digest}", **CREDENTIAL)
            assert report.has_passed, report.steps
            assert f"{len(content)} bytes" in report.steps[-1].text


async def test_a_password_that_the_root_refuses_fails_pulls_and_the_check(
    writer: StatementWriter,
) -> None:
    """Before every device shows it, it is shown there once."""
    async with RegistrySimulator(login=BasicLogin(USERNAME, PASSWORD)) as registry:
        digest = registry.blob(b"content")
        registry.paths["/v2/"] = Answers(401, (("WWW-Authenticate", 'Basic realm="x"'),))
        report = await check(writer, registry.host, asked=f"team/app@{digest}", **CREDENTIAL)
        assert failure(report)[0] is CheckStep.LOGIN


async def test_a_large_blob_is_read_for_as_long_as_somebody_waits(writer: StatementWriter) -> None:
    """That it begins to come is told as that, and nothing is said of its end."""
    content = bytes(MAX_READ_BYTES + 2 * PIECE_BYTES)
    async with RegistrySimulator() as registry:
        digest = registry.blob(content)
        report = await check(writer, registry.host, asked=f"team/app@{digest}", plain_http=True)
        assert report.has_passed
        assert report.steps[-1].text.endswith(f"gives the first {MAX_READ_BYTES} bytes")


async def test_a_digest_that_is_not_there_is_told(writer: StatementWriter) -> None:
    """Everything before it went well."""
    async with RegistrySimulator(login=BearerLogin(USERNAME, PASSWORD)) as registry:
        report = await check(
            writer, registry.host, asked=f"team/app@{UNKNOWN_DIGEST}", **CREDENTIAL
        )
        step, text = failure(report)
        assert step is CheckStep.PULL
        assert "no manifest and no blob" in text


async def test_an_anonymous_connection_needs_neither_secret_nor_login(
    writer: StatementWriter,
) -> None:
    """With a token for anybody, or with none at all."""
    for login in (None, BearerLogin()):
        async with RegistrySimulator(login=login) as registry:
            digest = registry.blob(b"content")
            report = await check(writer, registry.host, asked=f"team/app@{digest}", plain_http=True)
            told = outcomes(report)
            assert (told["secret"], told["login"], told["pull"]) == ("skipped", "skipped", "ok")
            assert report.has_passed
            assert all(
                not (each.header("Authorization") or "").startswith("Basic")
                for each in registry.requests
            )


@pytest.mark.parametrize(
    "login, step",
    [
        (BasicLogin(USERNAME, "another"), CheckStep.LOGIN),
        (BearerLogin(USERNAME, "another"), CheckStep.EXCHANGE),
    ],
)
async def test_a_wrong_password_is_told_where_it_is_refused(
    writer: StatementWriter, login: BasicLogin | BearerLogin, step: CheckStep
) -> None:
    """Shown once: a wrong password that is tried again locks the account."""
    async with RegistrySimulator(login=login) as registry:
        report = await check(writer, registry.host, **CREDENTIAL)
        assert failure(report)[0] is step
        assert sum(each.header("Authorization") is not None for each in registry.requests) == 1


async def test_a_realm_outside_the_rule_is_named_and_sent_nothing(writer: StatementWriter) -> None:
    """The operator may have it approved."""
    async with StoreSimulator() as foreign:
        realm = f"{foreign.origin}/token"
        login = BearerLogin(USERNAME, PASSWORD, realm=realm)
        async with RegistrySimulator(login=login) as registry:
            report = await check(writer, registry.host, **CREDENTIAL)
            step, text = failure(report)
            assert step is CheckStep.REALM
            assert realm in text
            assert "auth_realms" not in text  # the API takes no realm on plain HTTP
            assert report.view()["realm"] == realm
            login.realm = "https://auth.invalid/token?service=x"
            step, text = failure(await check(writer, registry.host, **CREDENTIAL))
            assert step is CheckStep.REALM
            assert "add https://auth.invalid/token to the connection's auth_realms" in text
        assert foreign.connections_made == 0


async def test_a_host_that_cannot_be_reached_is_told_where(writer: StatementWriter) -> None:
    """Not resolved, not connected, and an address that may not be spoken to."""
    async with RegistrySimulator() as gone:
        nowhere = gone.host
    for host, step in (
        ("registry.invalid", CheckStep.RESOLVE),
        ("10.0.0.7:5000", CheckStep.RESOLVE),
        (nowhere, CheckStep.CONNECT),
    ):
        report = await check(writer, host, **CREDENTIAL)
        assert failure(report)[0] is step


async def test_a_certificate_that_is_not_trusted_is_told(
    writer: StatementWriter, tmp_path: Path
) -> None:
    """And so are a CA that cannot be read, and plain HTTP where TLS was approved."""
    estate = Estate.create(tmp_path)
    tls_fields: dict[str, Any] = {"username": USERNAME, "token": PASSWORD}
    async with RegistrySimulator(tls=estate.tls, name="localhost") as registry:
        trusting = await check(
            writer, registry.host, ca_certificate=estate.ca_certificate, **tls_fields
        )
        assert outcomes(trusting)["tls"] == "ok"
        other = CertificateAuthority.create("another").pem.decode()
        for ca_certificate in (None, other, "nonsense"):
            report = await check(writer, registry.host, ca_certificate=ca_certificate, **tls_fields)
            assert failure(report)[0] is CheckStep.TLS
        assert all(each.header("Authorization") is None for each in registry.requests[2:])
    async with RegistrySimulator() as plain:
        assert failure(await check(writer, plain.host, **tls_fields))[0] is CheckStep.TLS


@pytest.mark.parametrize(
    "ping",
    [
        WebPage(),
        Answers(404),
        Answers(503),
        RawBytes(b"SSH-2.0-OpenSSH_9.2\r\n"),
        RedirectsTo("http://169.254.169.254/"),
    ],
)
async def test_what_is_no_registry_is_told_at_the_challenge(
    writer: StatementWriter, ping: Any
) -> None:
    """It was reached, and is shown no password."""
    async with RegistrySimulator(ping=ping) as registry:
        report = await check(writer, registry.host, **CREDENTIAL)
        assert failure(report)[0] is CheckStep.CHALLENGE
        assert outcomes(report)["connect"] == "ok"
        assert all(each.header("Authorization") is None for each in registry.requests)


async def test_what_was_approved_is_looked_at_before_anything_is_asked(
    writer: StatementWriter,
) -> None:
    """An approval that expired, and a secret that another key opens."""
    async with RegistrySimulator(login=BasicLogin(USERNAME, PASSWORD)) as registry:
        expired = await check(writer, registry.host, expires_in=timedelta(seconds=-1), **CREDENTIAL)
        assert failure(expired)[0] is CheckStep.STATEMENT
        async with open_resources(StatementWriter("")) as other_key:
            unopened = await check(writer, registry.host, other_key, **CREDENTIAL)
        assert failure(unopened)[0] is CheckStep.SECRET
        assert registry.connections_made == 0


@pytest.mark.parametrize("title", TITLES)
async def test_every_registry_that_customers_run_is_checked(
    writer: StatementWriter, estate: Estate, title: str
) -> None:
    """Under its own name, through a proxy that resolves."""
    async with ProxySimulator() as proxy, estate.started(title) as simulated:
        simulated.lead(proxy.leads_to)
        outbound = evolve(OutboundProxy.parse(proxy.url), resolves_names=True)
        async with open_resources(writer, proxy=outbound) as resources:
            asked = f"{simulated.upstream_repository}@{simulated.manifest}"
            report = await check(writer, simulated.host, resources, asked, **simulated.fields)
            login = await check(writer, simulated.host, resources, **simulated.fields)
        assert report.has_passed, report.steps
        assert login.has_passed, login.steps
        told = outcomes(report)
        assert (told["resolve"], told["tls"], told["pull"]) == ("skipped", "ok", "ok")


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Estate:
    """One CA for all of them."""
    return Estate.create(tmp_path_factory.mktemp("estate"))


@pytest.fixture(scope="module")
def account() -> ServiceAccount:
    """A Google service account."""
    return ServiceAccount.create()


def google_fields(account: ServiceAccount) -> dict[str, Any]:
    """Return what a connection of the account has."""
    key = GoogleServiceAccountKey.parse(account.key_json())
    return {
        "credential": GoogleServiceAccount(account.client_email, account.project_id),
        "token": key.to_secret().reveal_text(),
        "plain_http": True,
    }


async def test_a_service_account_is_checked_with_google(
    writer: StatementWriter, account: ServiceAccount
) -> None:
    """One token is minted, and the registry takes it."""
    async with GoogleSimulator(account) as google, ArtifactRegistry(google.tokens) as registry:
        digest = registry.manifest(b"{}")
        async with open_resources(writer, google_url=google.token_url) as resources:
            report = await check(
                writer, registry.host, resources, f"team/app@{digest}", **google_fields(account)
            )
        assert report.has_passed, report.steps
        assert outcomes(report)["exchange"] == "ok"
        assert len(google.tokens) == 1


async def test_a_service_accounts_expired_key_is_told(
    writer: StatementWriter, account: ServiceAccount
) -> None:
    """At the exchange; the registry is shown nothing."""
    async with GoogleSimulator(account) as google, ArtifactRegistry(google.tokens) as registry:
        google.always = INVALID_GRANT
        async with open_resources(writer, google_url=google.token_url) as resources:
            report = await check(writer, registry.host, resources, **google_fields(account))
        step, text = failure(report)
        assert step is CheckStep.EXCHANGE
        assert "expired" in text
        assert all(each.header("Authorization") is None for each in registry.requests)


class ChangingAws(AwsSimulator):
    """Answers otherwise once a role was assumed."""

    def __init__(self) -> None:
        super().__init__()
        self.after_assume_role: dict[str, Answers] = {}

    @override
    async def respond(self, request: RecordedRequest, wire: Wire) -> None:
        if self.assumed:
            self.always |= self.after_assume_role
        await super().respond(request, wire)


@pytest.fixture
async def aws(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ChangingAws]:
    """STS and ECR with the role, and the facade's identity in the environment."""
    simulator = ChangingAws()
    simulator.roles[ROLE.role_arn] = EXTERNAL_ID
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", simulator.facade.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", simulator.facade.secret_access_key)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    async with simulator:
        yield simulator


async def check_ecr(
    writer: StatementWriter, aws: AwsSimulator, role: EcrRole = ROLE
) -> CheckReport:
    """Check a connection of the role, and a digest behind it."""
    async with EcrRegistry(aws.tokens) as registry:
        digest = registry.manifest(b"{}")
        async with open_resources(writer, aws_url=aws.origin) as resources:
            return await check(
                writer,
                registry.host,
                resources,
                f"team/app@{digest}",
                credential=role,
                plain_http=True,
            )


async def test_a_role_that_insists_on_its_external_id_passes(
    writer: StatementWriter, aws: AwsSimulator
) -> None:
    """It was tried without one and with a wrong one, and refused both."""
    report = await check_ecr(writer, aws)
    assert report.has_passed, report.steps
    told = outcomes(report)
    assert (told["secret"], told["assume_role"], told["external_id"]) == ("skipped", "ok", "ok")
    tried = [form.get("ExternalId") for form in aws.assumed]
    assert tried[:2] == [EXTERNAL_ID, None]
    assert tried[2] not in (None, EXTERNAL_ID)
    assert len(aws.tokens) == 1


async def test_a_role_that_anybody_here_may_assume_fails_the_check(
    writer: StatementWriter, aws: AwsSimulator
) -> None:
    """The confused deputy; everything else is told all the same."""
    aws.roles[ROLE.role_arn] = None
    report = await check_ecr(writer, aws)
    (failed,) = [step for step in report.steps if step.outcome is StepOutcome.FAILED]
    assert failed.step is CheckStep.EXTERNAL_ID
    assert "without one and with a wrong one" in failed.text
    assert "confused deputy" in failed.text
    assert outcomes(report)["pull"] == "ok"
    assert not report.has_passed


async def test_a_role_without_an_external_id_is_as_it_was_approved(
    writer: StatementWriter, aws: AwsSimulator
) -> None:
    """Nothing is tried: the approver saw that there is none."""
    aws.roles[ROLE.role_arn] = None
    report = await check_ecr(writer, aws, evolve(ROLE, external_id=None))
    assert report.has_passed, report.steps
    assert outcomes(report)["external_id"] == "skipped"
    assert len(aws.assumed) == 1


async def test_an_external_id_that_cannot_be_tried_is_told(
    writer: StatementWriter, aws: ChangingAws
) -> None:
    """What is not known is not called safe."""
    aws.after_assume_role["sts"] = Answers(200, (), b"<html>")
    report = await check_ecr(writer, aws)
    (failed,) = [step for step in report.steps if step.outcome is StepOutcome.FAILED]
    assert failed.step is CheckStep.EXTERNAL_ID
    assert "cannot be tried" in failed.text


async def test_a_role_that_may_not_be_assumed_is_told(
    writer: StatementWriter, aws: AwsSimulator
) -> None:
    """By the wrong external id, or because it does not trust us."""
    aws.roles[ROLE.role_arn] = "another"
    assert failure(await check_ecr(writer, aws))[0] is CheckStep.ASSUME_ROLE
    aws.roles.clear()
    assert failure(await check_ecr(writer, aws))[0] is CheckStep.ASSUME_ROLE


async def test_a_role_that_may_not_ask_for_a_token_is_told(
    writer: StatementWriter, aws: AwsSimulator
) -> None:
    """It was assumed, and lacks ecr:GetAuthorizationToken."""
    aws.always["ecr"] = ecr_error(400, "AccessDeniedException")
    report = await check_ecr(writer, aws)
    assert failure(report)[0] is CheckStep.EXCHANGE
    assert outcomes(report)["assume_role"] == "ok"


async def test_a_proxy_on_the_way_is_told(writer: StatementWriter) -> None:
    """So that its refusal is not taken for the registry's."""
    async with (
        ProxySimulator() as proxy,
        RegistrySimulator(login=BasicLogin(USERNAME, PASSWORD)) as registry,
    ):
        async with open_resources(writer, proxy=OutboundProxy.parse(proxy.url)) as resources:
            report = await check(writer, registry.host, resources, **CREDENTIAL)
            assert report.has_passed
            connect = next(step for step in report.steps if step.step is CheckStep.CONNECT)
            assert "through the outbound proxy" in connect.text
            proxy.statuses[f"127.0.0.1:{registry.port}"] = 403
            refused = await check(writer, registry.host, resources, **CREDENTIAL)
        step, text = failure(refused)
        assert step is CheckStep.CONNECT
        assert "403" in text
