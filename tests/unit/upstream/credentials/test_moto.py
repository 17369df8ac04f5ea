"""STS and ECR as somebody else understood them: our requests and answers are AWS's."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from facade.registries.aws.aws_session import AwsSession
from facade.registries.aws.ecr import EcrProvider
from shared.connection import EcrRole
from shared.registry_host import RegistryHost
from tests.support.moto import Moto

ACCOUNT = "123456789012"
ROLE = EcrRole(f"arn:aws:iam::{ACCOUNT}:role/puller", ACCOUNT, "eu-central-1", "external-id")
HOST = RegistryHost.parse(f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com")


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """Moto's server."""
    server = Moto.start(tmp_path_factory.mktemp("moto"))
    yield server
    server.child.kill()


@pytest.fixture(autouse=True)
def _identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


async def test_a_role_becomes_a_token_of_its_account(moto: Moto) -> None:
    """The token that moto makes names the account that it believes to be asked by."""
    async with AwsSession.open(moto.url) as session:
        minted = await EcrProvider(session, ROLE, HOST, "connection-7").mint()
    assert minted.basic.username == "AWS"
    assert minted.basic.token.reveal_text() == f"{ACCOUNT}-auth-token"
    # moto's tokens all expired in 2015: a short use, and no mint for every pull.
    assert minted.lifetime_seconds == 60


async def test_a_roles_keys_last_as_long_as_was_asked(moto: Moto) -> None:
    """An hour, with its time zone."""
    asked_at = datetime.now(UTC)
    async with AwsSession.open(moto.url) as session:
        assumed = await EcrProvider(session, ROLE, HOST, "connection-7").assume_role(None)
    assert 3500 < (assumed.expires_at - asked_at).total_seconds() < 3700
    assert assumed.keys.access_key_id.startswith("ASIA")
    assert assumed.keys.secret_access_key not in repr(assumed)
    assert assumed.keys.session_token not in repr(assumed)
