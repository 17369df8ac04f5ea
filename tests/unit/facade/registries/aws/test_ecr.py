"""How a role becomes a token for ECR: what is asked of AWS, and what every answer becomes."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import attrs
import orjson
import pytest
import pytest_asyncio

from deploy.dev.processes import free_port
from facade.registries.aws.aws_session import THREAD_NAME, AwsSession
from facade.registries.aws.ecr import EcrProvider, session_policy
from shared.connection import EcrRole
from shared.registry_host import RegistryHost
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
)
from tests.support.eventually import eventually
from tests.support.simulators.aws import (
    KEY_CANARY,
    AwsSimulator,
    Identity,
    ecr_answer,
    ecr_error,
    sts_answer,
    sts_error,
)
from tests.support.simulators.behaviour import Answers
from tests.support.simulators.login import basic_header
from tests.unit.upstream.reading import UPSTREAM_TEXT, everything_said

ACCOUNT = "123456789012"
EXTERNAL_ID = "canary-external-id"
ROLE = EcrRole(f"arn:aws:iam::{ACCOUNT}:role/puller", ACCOUNT, "eu-central-1", EXTERNAL_ID)
HOST = RegistryHost.parse(f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com")
SESSION_NAME = str(uuid4())
SESSION_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "ecr:GetAuthorizationToken",
                "ecr:BatchGetImage",
                "ecr:GetDownloadUrlForLayer",
            ],
            "Resource": "*",
        }
    ],
}
PULL_THROUGH = {
    "Effect": "Allow",
    "Action": ["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"],
    "Resource": f"arn:aws:ecr:eu-central-1:{ACCOUNT}:repository/*",
}
DEEP = b'{"authorizationData": ' + b"[" * 30_000 + b"]" * 30_000 + b"}"
XML = (("Content-Type", "text/xml"),)
MIB = 1024 * 1024


FACADE = Identity.create()
NO_OTHER_IDENTITY = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION")


@pytest.fixture(scope="module")
def aws_port() -> int:
    """Where AWS is."""
    return free_port()


@pytest.fixture(autouse=True)
def _identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give this process the facade's identity."""
    for name in NO_OTHER_IDENTITY:
        monkeypatch.delenv(name, raising=False)
    for name, value in FACADE.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
async def aws(aws_port: int) -> AsyncIterator[AwsSimulator]:
    """STS and ECR with the role."""
    simulator = AwsSimulator(facade=FACADE, port=aws_port)
    simulator.roles[ROLE.role_arn] = EXTERNAL_ID
    async with simulator:
        yield simulator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session(aws_port: int) -> AsyncIterator[AwsSession]:
    """The facade's session: one for all tests, for it reads AWS's models once."""
    async with AwsSession.open(f"http://127.0.0.1:{aws_port}") as session:
        yield session


def provider(session: AwsSession, role: EcrRole = ROLE) -> EcrProvider:
    """Return the role's provider."""
    return EcrProvider(session, role, HOST, SESSION_NAME)


async def refusal(
    session: AwsSession, role: EcrRole = ROLE, *, step: Step = Step.ASSUME_ROLE
) -> UpstreamError:
    """Return the error of a mint at a step; it quotes nothing."""
    with pytest.raises(UpstreamError) as raised:
        await provider(session, role).mint()
    said = everything_said(raised.value)
    assert UPSTREAM_TEXT not in said
    assert "canary" not in said
    assert raised.value.step is step
    return raised.value


async def test_a_role_becomes_a_basic_credential(aws: AwsSimulator, session: AwsSession) -> None:
    """Both signatures are the simulator's to verify."""
    minted = await provider(session).mint()
    (token,) = aws.tokens.values
    assert minted.basic.authorization().reveal_text() == basic_header("AWS", token)
    assert token not in f"{minted} {minted!r}"
    assert [signed.service for signed in aws.signed] == ["sts", "ecr"]


async def test_the_role_is_asked_for_as_the_customer_granted_it(
    aws: AwsSimulator, session: AwsSession
) -> None:
    """For one connection, with the external id, for pulling alone."""
    await provider(session).mint()
    (asked,) = aws.assumed
    assert orjson.loads(asked.pop("Policy")) == SESSION_POLICY
    assert asked == {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": ROLE.role_arn,
        "RoleSessionName": SESSION_NAME,
        "ExternalId": EXTERNAL_ID,
        "DurationSeconds": "3600",
    }


async def test_a_role_fills_pull_through_caches_where_that_was_approved(
    aws: AwsSimulator, session: AwsSession
) -> None:
    """Of its own registry alone; everything else is as without."""
    await provider(session, attrs.evolve(ROLE, pull_through_cache=True)).mint()
    policy = orjson.loads(aws.assumed[0]["Policy"])
    assert policy["Statement"] == [*SESSION_POLICY["Statement"], PULL_THROUGH]


@pytest.mark.parametrize(
    "role_arn, region, arn",
    [
        ("arn:aws-cn:iam::1:role/x", "cn-north-1", "arn:aws-cn:ecr:cn-north-1:1:repository/*"),
        (
            "arn:aws-eusc:iam::1:role/a/b:c",
            "eusc-de-east-1",
            "arn:aws-eusc:ecr:eusc-de-east-1:1:repository/*",
        ),
    ],
)
def test_a_session_policy_names_the_partitions_own_repositories(
    role_arn: str, region: str, arn: str
) -> None:
    """An ARN of another partition names nothing, and STS refuses it."""
    role = EcrRole(role_arn, "1", region, pull_through_cache=True)
    assert orjson.loads(session_policy(role))["Statement"][1]["Resource"] == arn


@pytest.mark.parametrize(
    "host",
    [
        f"{ACCOUNT}.dkr-ecr-fips.us-east-1.on.aws",
        f"{ACCOUNT}.dkr.ecr-fips.us-east-1.amazonaws.com",
    ],
)
async def test_an_endpoint_of_the_operators_is_the_one_that_is_asked(
    aws: AwsSimulator, session: AwsSession, host: str
) -> None:
    """Botocore knows of no FIPS or dual-stack form of it."""
    role = attrs.evolve(ROLE, region="us-east-1")
    await EcrProvider(session, role, RegistryHost.parse(host), SESSION_NAME).mint()
    assert [signed.service for signed in aws.signed] == ["sts", "ecr"]


async def test_no_external_id_is_sent_where_none_is_configured(
    aws: AwsSimulator, session: AwsSession
) -> None:
    """An empty one would be refused by STS."""
    aws.roles[ROLE.role_arn] = None
    await provider(session, attrs.evolve(ROLE, external_id=None)).mint()
    assert "ExternalId" not in aws.assumed[0]


@pytest.mark.parametrize(
    "region", ["eu-central-1", "us-gov-west-1", "cn-north-1", "ap-southeast-2"]
)
async def test_the_registrys_own_region_is_asked(
    aws: AwsSimulator, session: AwsSession, region: str
) -> None:
    """Not the global STS: its tokens do not work in regions that were enabled later."""
    await provider(session, attrs.evolve(ROLE, region=region)).mint()
    assert [signed.region for signed in aws.signed] == [region, region]


async def test_nothing_secret_is_in_an_address(aws: AwsSimulator, session: AwsSession) -> None:
    """Queries end up in logs."""
    await provider(session).mint()
    assert [(request.method, request.target) for request in aws.requests] == [("POST", "/")] * 2


async def test_the_session_policy_and_keys_are_the_roles_own(
    aws: AwsSimulator, session: AwsSession
) -> None:
    """ECR is asked in the role's name, never in the facade's."""
    await provider(session).mint()
    sts, ecr = aws.signed
    assert sts.access_key_id == aws.facade.access_key_id
    assert ecr.access_key_id.startswith("ASIA")


@pytest.mark.parametrize("external_id", [None, "another", EXTERNAL_ID.upper()])
async def test_a_wrong_or_missing_external_id_is_refused(
    aws: AwsSimulator, session: AwsSession, external_id: str | None
) -> None:
    """The customer's trust policy decides; moto lets a missing one pass."""
    error = await refusal(session, attrs.evolve(ROLE, external_id=external_id))
    assert isinstance(error, CredentialRefusedError)
    assert error.status == 403
    assert "external id" in error.message
    assert len(aws.assumed) == 1


async def test_a_role_that_is_not_there_is_refused(session: AwsSession) -> None:
    """AWS does not say that it is not there."""
    error = await refusal(session, attrs.evolve(ROLE, role_arn=f"{ROLE.role_arn}-2"))
    assert isinstance(error, CredentialRefusedError)


async def test_a_role_may_be_tried_with_another_external_id(
    aws: AwsSimulator, session: AwsSession
) -> None:
    """How a check finds out that a role lets anybody assume it (confused deputy)."""
    for external_id in (None, "another"):
        with pytest.raises(CredentialRefusedError):
            await provider(session).assume_role(external_id)
    aws.roles[ROLE.role_arn] = None
    await provider(session).assume_role(None)
    assert "ExternalId" not in aws.assumed[0]
    assert "ExternalId" not in aws.assumed[2]


@pytest.mark.parametrize(
    "role_seconds, token_seconds, lifetime",
    [
        (3600, 12 * 3600, 3600),
        (900, 12 * 3600, 900),
        (3600, 300, 300),
        (7 * 24 * 3600, 12 * 3600, 3600),  # beyond what was asked for, nothing is believed
        (3600, 10**9, 3600),
        (-60, 12 * 3600, 60),  # long over by our clock: a short use, no mint for every pull
        (3600, -3600, 60),
    ],
)
async def test_a_token_lasts_until_the_earlier_expiry(
    aws: AwsSimulator,
    session: AwsSession,
    role_seconds: float,
    token_seconds: float,
    lifetime: float,
) -> None:
    """The role's session ends the token too."""
    aws.role_seconds, aws.token_seconds = role_seconds, token_seconds
    if role_seconds < 0:
        aws.always["ecr"] = ecr_answer("QVdTOnRva2Vu", datetime.now(UTC).timestamp() + 3600)
    minted = await provider(session).mint()
    assert minted.lifetime_seconds == pytest.approx(lifetime, abs=30)


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_that_is_wrong_by_an_hour_gives_a_usable_token(
    session: AwsSession, hours: int
) -> None:
    """Never longer than a role's session, and never so short that each pull mints."""
    wrong = EcrProvider(
        session,
        ROLE,
        HOST,
        SESSION_NAME,
        lambda: datetime.now(UTC) + timedelta(hours=hours),
    )
    minted = await wrong.mint()
    assert minted.lifetime_seconds is not None
    assert 60 <= minted.lifetime_seconds <= 3600


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidClientTokenId", "SignatureDoesNotMatch"])
async def test_the_facades_own_identity_is_told_from_the_role(
    aws: AwsSimulator, session: AwsSession, code: str
) -> None:
    """The facade's operator mends it, not the customer."""
    aws.always["sts"] = sts_error(403, code)
    error = await refusal(session)
    assert isinstance(error, CredentialRefusedError)
    assert "facade's own identity" in error.message


async def test_a_region_without_sts_is_named_so(aws: AwsSimulator, session: AwsSession) -> None:
    """The account's administrator enables it."""
    aws.always["sts"] = sts_error(403, "RegionDisabledException")
    assert "not enabled" in (await refusal(session)).message


async def test_a_role_that_may_not_ask_ecr_is_named_so(
    aws: AwsSimulator, session: AwsSession
) -> None:
    """The permissions policy is missing, not the trust policy."""
    aws.always["ecr"] = ecr_error(400, "AccessDeniedException")
    error = await refusal(session, step=Step.EXCHANGE)
    assert isinstance(error, CredentialRefusedError)
    assert "may not ask ECR" in error.message
    assert len(aws.requests) == 2


async def test_throttling_is_no_refusal(aws: AwsSimulator, session: AwsSession) -> None:
    """After its own tries, the limit is told."""
    aws.always["sts"] = sts_error(400, "Throttling")
    assert isinstance(await refusal(session), RateLimitedError)
    assert len(aws.requests) == 3


async def test_a_moments_trouble_is_tried_again(aws: AwsSimulator, session: AwsSession) -> None:
    """AWS asks its clients to."""
    aws.instead = {"sts": [sts_error(503, "ServiceUnavailable")], "ecr": [Answers(500)]}
    await provider(session).mint()
    assert (len(aws.requests), len(aws.tokens)) == (4, 1)


@pytest.mark.parametrize(
    "service, step, status",
    [
        ("sts", Step.ASSUME_ROLE, 502),
        ("ecr", Step.EXCHANGE, 500),
    ],
)
async def test_lasting_trouble_is_told_after_three_tries(
    aws: AwsSimulator, session: AwsSession, service: str, step: Step, status: int
) -> None:
    """It is no refusal."""
    aws.always[service] = Answers(status)
    error = await refusal(session, step=step)
    assert isinstance(error, ServerError)
    assert error.status == status
    assert len(aws.requests) == (3 if service == "sts" else 4)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>upstream text that nobody may see",
        b"\xff\xfe",
        b"<AssumeRoleResponse/>",
        b"<a>" * 30_000 + b"</a>" * 30_000,
        sts_answer(
            200,
            "<AssumeRoleResponse><AssumeRoleResult><Credentials></Credentials></AssumeRoleResult>",
        ).body,
        b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;'>]><x>&b;</x>",
    ],
    ids=lambda body: str(body[:24]),
)
async def test_an_answer_of_sts_without_keys_is_an_error(
    aws: AwsSimulator, session: AwsSession, body: bytes
) -> None:
    """Whatever botocore's parser makes of it."""
    aws.always["sts"] = Answers(200, XML, body)
    assert isinstance(await refusal(session), TokenExchangeError)


@pytest.mark.parametrize(
    "answer",
    [
        Answers(200, (), b""),
        Answers(200, (), b"<html>"),
        Answers(200, (), b"[]"),
        Answers(200, (), b"null"),
        Answers(200, (), b"{}"),
        Answers(200, (), b'{"authorizationData": []}'),
        Answers(200, (), b'{"authorizationData": [{}]}'),
        Answers(200, (), b'{"authorizationData": {"a": 1}}'),
        Answers(200, (), DEEP),
        ecr_answer(None, 1),
        ecr_answer(7, 1),
        ecr_answer("", 1),
        ecr_answer("no base64!", 1),
        ecr_answer("QVdT", 1),  # AWS
        ecr_answer("QVdTOg==", 1),  # AWS:
        ecr_answer("cm9ib3Q6eA==", 1),  # robot:x
        ecr_answer("QVdTOmEKYg==", 1),  # AWS:a\nb
        ecr_answer("QVdTOsO8", 1),  # AWS:ü
        ecr_answer("QVdTOng=", "soon"),
        ecr_answer("QVdTOng=", None),
        ecr_answer("QVdTOng=", 10**18),
        ecr_answer("QVdTOng=", []),
    ],
    ids=lambda answer: str(answer.body[:60]),
)
async def test_an_answer_of_ecr_without_a_token_is_an_error(
    aws: AwsSimulator, session: AwsSession, answer: Answers
) -> None:
    """Of the exchange, and nothing is shown to the registry."""
    aws.always["ecr"] = answer
    assert isinstance(await refusal(session, step=Step.EXCHANGE), TokenExchangeError)


@pytest.mark.parametrize("service, step", [("sts", Step.ASSUME_ROLE), ("ecr", Step.EXCHANGE)])
async def test_an_answer_of_5_mib_is_not_read(
    aws: AwsSimulator, session: AwsSession, service: str, step: Step
) -> None:
    """Memory is bounded whoever answers."""
    aws.always[service] = Answers(200, (), b" " * 5 * MIB)
    assert isinstance(await refusal(session, step=step), UnexpectedAnswerError)


async def test_an_endpoint_that_is_away_cannot_be_reached(
    aws: AwsSimulator, session: AwsSession
) -> None:
    """No connection is no refusal."""
    await aws.__aexit__()
    assert isinstance(await refusal(session), ConnectError)


async def test_a_facade_without_an_identity_says_so(
    aws: AwsSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And asks nobody, which a customer could not explain."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    async with AwsSession.open(aws.origin) as nobodys:
        error = await refusal(nobodys)
    assert isinstance(error, CredentialRefusedError)
    assert error.message == "the facade has no AWS identity"
    assert aws.requests == []


async def test_half_an_identity_is_none(aws: AwsSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key without its secret."""
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    async with AwsSession.open(aws.origin) as nobodys:
        assert (await refusal(nobodys)).message == "the facade has no AWS identity"


async def test_a_region_that_is_no_host_name_is_sent_nothing(aws: AwsSimulator) -> None:
    """It would become part of AWS's address."""
    role = attrs.evolve(ROLE, region="attacker.example/x")
    async with AwsSession.open() as session:
        with pytest.raises(UpstreamError) as raised:
            await provider(session, role).mint()
    assert raised.value.step is Step.ASSUME_ROLE
    assert "attacker" not in everything_said(raised.value)
    assert aws.requests == []


async def test_the_environments_proxies_are_not_used(
    aws: AwsSimulator, session: AwsSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The facade's operator names its proxy in the facade's own setting."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    await provider(session).mint()
    assert len(aws.tokens) == 1


async def test_nothing_of_botocore_runs_on_the_loop(
    aws: AwsSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    """It reads models, profiles and token files as it goes: 75 to 200 ms for the first client."""
    with caplog.at_level(logging.DEBUG):
        async with AwsSession.open(aws.origin) as new_session:
            await asyncio.gather(
                *(
                    EcrProvider(new_session, ROLE, HOST, f"connection-{number}").mint()
                    for number in range(5)
                )
            )
    assert len(aws.tokens) == 5
    logged = [record for record in caplog.records if "botocore" in record.name]
    assert any("Loading JSON file" in record.msg for record in logged)
    threads = {record.threadName for record in logged}
    assert THREAD_NAME in threads
    assert threading.current_thread().name not in threads  # in threads of its own, all of it


async def test_whoever_gives_up_leaves_nothing_behind(
    aws: AwsSimulator, session: AwsSession
) -> None:
    """A connection that was revoked asks AWS for nothing more, not even for the second try."""
    aws.always["sts"] = Answers(500)
    minting = asyncio.create_task(provider(session).mint())
    await eventually(lambda: bool(aws.requests))
    minting.cancel()
    await asyncio.wait([minting])

    async def tasks_left() -> int:
        return len(asyncio.all_tasks()) - 1  # but this one

    async def is_idle() -> bool:
        return await session.run(tasks_left()) == 0

    await eventually(is_idle)


async def test_a_session_that_is_closed_ends_what_is_under_way(aws: AwsSimulator) -> None:
    """The process may end in the middle of a call."""
    aws.delay_seconds = 60
    async with AwsSession.open(aws.origin) as session:
        minting = asyncio.create_task(provider(session).mint())
        await eventually(lambda: bool(aws.requests))
    await asyncio.wait([minting])
    assert minting.cancelled()


async def test_keys_and_tokens_are_in_no_error_and_no_log_that_is_ours(
    session: AwsSession, caplog: pytest.LogCaptureFixture
) -> None:
    """Botocore logs whole answers when it debugs: our log shows literals of libraries alone."""
    with caplog.at_level(logging.DEBUG):
        minted: ShortLivedCredential = await provider(session).mint()
    ours = [record for record in caplog.records if record.name.startswith(("shared", "facade"))]
    said = f"{minted!r}" + "".join(record.getMessage() for record in ours)
    assert KEY_CANARY not in said
    assert EXTERNAL_ID not in said
