"""Which provider a connection's credential has, and what is refused before anything is minted."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from facade.registries.aws.aws_session import AwsSession
from facade.registries.aws.ecr import EcrProvider
from facade.registries.providers import Providers, StaticProvider
from facade.registries.unsealer import Unsealer
from shared.approved_connection import ApprovedConnection, approved_connection
from shared.connection import EcrRole, GoogleServiceAccount
from shared.keys import load_sealing_private_keys
from shared.sealed_secret import SealedSecretError
from shared.upstream.credentials.google import GoogleServiceAccountProvider, GoogleTokenEndpoint
from tests.support.simulators.google import ServiceAccount
from tests.support.statement_writer import StatementWriter

CANARY = "canary-stored-secret"
ROLE = EcrRole("arn:aws:iam::123456789012:role/puller", "123456789012", "eu-central-1", "external")


@pytest.fixture(scope="module")
def account() -> ServiceAccount:
    """A service account."""
    return ServiceAccount.create()


@pytest.fixture
def writer() -> StatementWriter:
    """Whoever approves; nothing is written."""
    return StatementWriter("")


@pytest.fixture
async def providers(writer: StatementWriter) -> AsyncIterator[Providers]:
    """Providers that nobody is asked by."""
    opener = Unsealer(load_sealing_private_keys(writer.sealing_private_pem))
    async with AwsSession.open() as aws, GoogleTokenEndpoint.open("http://127.0.0.1:1/") as google:
        yield Providers(opener, aws, google)


def approved(writer: StatementWriter, **fields: Any) -> ApprovedConnection:
    """Return an approved connection."""
    return approved_connection(writer.approval("registry.example", **fields))


def google_fields(account: ServiceAccount, key: object = None, **others: str) -> dict[str, Any]:
    """Return what an approval of the account has, with another sealed key or other names."""
    names = {"client_email": account.client_email, "project_id": account.project_id} | others
    return {
        "credential": GoogleServiceAccount(**names),
        "token": orjson.dumps(account.key_json() if key is None else key).decode(),
    }


def test_each_kind_of_credential_has_its_provider(
    providers: Providers, writer: StatementWriter, account: ServiceAccount
) -> None:
    """Anonymous ones have none."""
    anonymous = providers.provider_of(approved(writer))
    static = providers.provider_of(approved(writer, username="robot", token=CANARY))
    google = providers.provider_of(approved(writer, **google_fields(account)))
    ecr = providers.provider_of(approved(writer, credential=ROLE))
    assert anonymous is None
    assert isinstance(static, StaticProvider)
    assert isinstance(google, GoogleServiceAccountProvider)
    assert isinstance(ecr, EcrProvider)


async def test_a_stored_token_is_given_as_it_is(
    providers: Providers, writer: StatementWriter
) -> None:
    """For as long as the connection stands."""
    provider = providers.provider_of(approved(writer, username="robot$team", token=CANARY))
    assert provider is not None
    minted = await provider.mint()
    assert minted.basic.username == "robot$team"
    assert minted.basic.token.reveal_text() == CANARY
    assert minted.lifetime_seconds is None


def test_no_provider_prints_its_secret(
    providers: Providers, writer: StatementWriter, account: ServiceAccount
) -> None:
    """Nor do all of them together."""
    for fields in ({"username": "robot", "token": CANARY}, google_fields(account)):
        provider = providers.provider_of(approved(writer, **fields))
        shown = f"{provider!r} {provider} {providers!r}"
        assert CANARY not in shown
        assert account.private_pem.splitlines()[1] not in shown


def test_a_secret_that_was_sealed_for_another_key_is_not_opened(providers: Providers) -> None:
    """The facade holds other keys."""
    with pytest.raises(SealedSecretError, match="key"):
        providers.provider_of(approved(StatementWriter(""), username="robot", token=CANARY))


def test_a_user_name_that_cannot_be_sent_is_refused(
    providers: Providers, writer: StatementWriter
) -> None:
    """What is behind its colon would be taken for the password's beginning."""
    with pytest.raises(SealedSecretError) as refusal:
        providers.provider_of(approved(writer, username="robot:canary", token=CANARY))
    assert "canary" not in str(refusal.value)


@pytest.mark.parametrize("name", ["client_email", "project_id"])
def test_a_sealed_key_is_of_the_account_that_was_approved(
    providers: Providers, writer: StatementWriter, account: ServiceAccount, name: str
) -> None:
    """The approver sees the account, never the key."""
    fields = google_fields(account, **{name: "another"})
    with pytest.raises(SealedSecretError, match="another account"):
        providers.provider_of(approved(writer, **fields))


@pytest.mark.parametrize(
    "key",
    [
        [],
        "canary",
        {"type": "external_account", "credential_source": {"executable": {"command": "canary"}}},
        {"type": "service_account", "private_key": "canary"},
    ],
)
def test_a_sealed_key_that_is_none_is_refused(
    providers: Providers, writer: StatementWriter, account: ServiceAccount, key: object
) -> None:
    """Whoever sealed it; nothing of it is said."""
    with pytest.raises(SealedSecretError, match="cannot be used") as refusal:
        providers.provider_of(approved(writer, **google_fields(account, key)))
    assert "canary" not in str(refusal.value)
