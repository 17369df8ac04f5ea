"""What of a body becomes a credential, provider by provider."""

import base64
from functools import cache
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.connections.request import ConnectionRequest, parse_connection_request
from control_plane.errors import InvalidRequestError
from shared.connection import EcrRole, GoogleServiceAccount
from shared.upstream.credentials.google_key import GoogleServiceAccountKey
from tests.support.simulators.google import ServiceAccount
from tests.unit.control_plane.connections.test_request import outcome_of

CANARY = "canary-in-a-key"
ECR_HOST = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
ROLE = "arn:aws:iam::123456789012:role/pull"


@cache
def account() -> ServiceAccount:
    """Return one account for all: making a key takes its time."""
    return ServiceAccount.create()


def google(host: str = "us-docker.pkg.dev", **fields: Any) -> dict[str, Any]:
    """Return a body for Google."""
    key = account().key_json()
    return {
        "host": host,
        "provider": "google_service_account",
        "service_account_key": key,
    } | fields


def ecr(host: str = ECR_HOST, **fields: Any) -> dict[str, Any]:
    """Return a body for Amazon."""
    return {"host": host, "provider": "aws_ecr", "role_arn": ROLE} | fields


def pointers(body: dict[str, Any]) -> list[str]:
    """Return the fields that are wrong."""
    with pytest.raises(InvalidRequestError) as refused:
        parse_connection_request(body)
    assert CANARY not in str([error.detail for error in refused.value.errors])
    return [error.pointer for error in refused.value.errors]


def role_of(request: ConnectionRequest) -> EcrRole:
    """Return the role of a request."""
    assert isinstance(request.credential, EcrRole)
    assert request.secret is None
    return request.credential


def test_of_a_key_the_kept_fields_alone_are_the_secret() -> None:
    """The document says who it is; where the key says to go is not even stored."""
    body = google()
    body["service_account_key"]["token_uri"] = f"https://{CANARY}.example/"
    request = parse_connection_request(body)
    assert request.credential == GoogleServiceAccount(account().client_email, account().project_id)
    assert request.secret is not None
    assert CANARY.encode() not in request.secret.reveal()
    assert GoogleServiceAccountKey.from_secret(request.secret).private_key.reveal_text() == (
        account().private_pem
    )
    assert "PRIVATE KEY" not in repr(request)


@pytest.mark.parametrize(
    "body, expected",
    [
        (google(host="registry.example"), ["/host"]),
        (google(host="us-docker.pkg.dev.example"), ["/host"]),
        (google(service_account_key=None), ["/service_account_key"]),
        (google(service_account_key=f'{{"private_key": "{CANARY}"}}'), ["/service_account_key"]),
        (google(service_account_key={"type": "external_account", "x": CANARY}),
         ["/service_account_key"]),
        (google(service_account_key=account().key_json(private_key=CANARY)),
         ["/service_account_key"]),
        (google(plain_http=True), ["/plain_http"]),
        (google(token=CANARY, external_id="x1"), ["/token", "/external_id"]),
    ],
)  # fmt: skip
def test_what_is_no_key_of_google_is_refused(body: dict[str, Any], expected: list[str]) -> None:
    """Each with its field, and nothing of the key."""
    assert pointers(body) == expected


def test_an_external_id_is_generated_given_or_none() -> None:
    """By default nobody can guess it."""
    one = role_of(parse_connection_request(ecr()))
    other = role_of(parse_connection_request(ecr()))
    assert one.external_id is not None
    assert len(one.external_id) >= 32
    assert one.external_id != other.external_id
    assert role_of(parse_connection_request(ecr(external_id=None))).external_id is None
    assert role_of(parse_connection_request(ecr(external_id="a:b/c"))).external_id == "a:b/c"


def test_pull_through_caches_are_filled_only_on_request() -> None:
    """It lets the role write."""
    assert not role_of(parse_connection_request(ecr())).pull_through_cache
    for off in (False, None):
        assert not role_of(parse_connection_request(ecr(pull_through_cache=off))).pull_through_cache
    assert role_of(parse_connection_request(ecr(pull_through_cache=True))).pull_through_cache
    assert pointers(ecr(pull_through_cache="true")) == ["/pull_through_cache"]
    static = {"host": "ghcr.io", "provider": "static", "pull_through_cache": True}
    assert pointers(static) == ["/pull_through_cache"]
    assert pointers(google(pull_through_cache=True)) == ["/pull_through_cache"]


@pytest.mark.parametrize(
    "host, role_arn",
    [
        ("123456789012.dkr-ecr.eu-central-1.on.aws", ROLE),
        ("123456789012.dkr-ecr-fips.us-east-1.on.aws", ROLE),
        (
            "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu",
            "arn:aws-eusc:iam::123456789012:role/pull",
        ),
        (
            "123456789012.dkr.ecr.us-isof-south-1.csp.hci.ic.gov",
            "arn:aws-iso-f:iam::123456789012:role/pull",
        ),
    ],
)
def test_every_form_of_host_is_connected(host: str, role_arn: str) -> None:
    """With a role of the same partition, and with no other."""
    role = role_of(parse_connection_request(ecr(host, role_arn=role_arn)))
    assert (role.account, role.role_arn) == ("123456789012", role_arn)
    assert role.region in host
    foreign = "arn:aws-cn:iam::123456789012:role/pull"
    assert pointers(ecr(host, role_arn=foreign)) == ["/role_arn"]


def test_region_and_account_come_from_the_host() -> None:
    """Never from input: they choose where the facade's identity is shown."""
    role = role_of(parse_connection_request(ecr()))
    assert (role.account, role.region) == ("123456789012", "eu-central-1")


@pytest.mark.parametrize(
    "body, expected",
    [
        (ecr(host="public.ecr.aws"), ["/host"]),
        (ecr(host="registry.example"), ["/host"]),
        (ecr(role_arn=None), ["/role_arn"]),
        (ecr(role_arn="arn:aws:iam::210987654321:role/pull"), ["/role_arn"]),
        (ecr(role_arn="arn:aws-cn:iam::123456789012:role/pull"), ["/role_arn"]),
        (ecr(role_arn=CANARY), ["/role_arn"]),
        (ecr(external_id=f"{CANARY} "), ["/external_id"]),
        (ecr(external_id="x"), ["/external_id"]),
        (ecr(external_id=1), ["/external_id"]),
        (ecr(username="robot", token=CANARY), ["/username", "/token"]),
        (ecr(plain_http=True), ["/plain_http"]),
    ],
)
def test_what_is_no_role_of_the_registry_is_refused(
    body: dict[str, Any], expected: list[str]
) -> None:
    """Account and partition are the registry's."""
    assert pointers(body) == expected


def test_fields_of_another_provider_are_refused_for_static_too() -> None:
    """A key that nobody would use is a misunderstanding."""
    body = {"host": "ghcr.io", "provider": "static", "service_account_key": {"x": CANARY}}
    assert pointers(body) == ["/service_account_key"]


@given(
    st.sampled_from(["google_service_account", "aws_ecr"]),
    st.dictionaries(
        st.sampled_from(
            ["service_account_key", "role_arn", "external_id", "pull_through_cache", "username",
             "token", "plain_http"]
        ),
        st.none()
        | st.booleans()
        | st.text(max_size=20)
        | st.just(CANARY)
        | st.sampled_from([ROLE, "id-1"])
        | st.dictionaries(st.text(max_size=5) | st.sampled_from(["type", "private_key"]),
                          st.just(CANARY) | st.just("service_account"), max_size=4),
    ),
    st.sampled_from([ECR_HOST, "gcr.io", "ghcr.io"]),
)  # fmt: skip
def test_any_fields_are_a_credential_or_are_named(
    provider: str, fields: dict[str, Any], host: str
) -> None:
    """Nothing else is raised, and no value is quoted."""
    body = {"host": host, "provider": provider} | fields
    outcome = outcome_of(parse_connection_request, body)
    if isinstance(outcome, InvalidRequestError):
        assert outcome.errors
        assert CANARY not in str([error.detail for error in outcome.errors])
    else:
        assert isinstance(outcome, ConnectionRequest)
        assert (host, provider) == (ECR_HOST, "aws_ecr")


def token_problem(host: str, username: str, token: str) -> str:
    """Return what is said of a token that is refused."""
    body = {"host": host, "provider": "static", "username": username, "token": token}
    with pytest.raises(InvalidRequestError) as refused:
        parse_connection_request(body)
    [error] = refused.value.errors
    assert error.pointer == "/token"
    assert not any(part in error.detail for part in (CANARY, "PRIVATE KEY", "MII"))
    return error.detail


def key_file(**fields: Any) -> str:
    """Return a key as Google's page gives it: of several lines."""
    return orjson.dumps(account().key_json() | fields, option=orjson.OPT_INDENT_2).decode()


@pytest.mark.parametrize(
    "username, token",
    [
        ("_json_key", key_file()),
        ("_json_key", key_file() + "\n"),
        ("_json_key", key_file().replace("\n", "\r\n")),
        ("_json_key", key_file()[:200] + CANARY),
        ("_json_key", orjson.dumps(account().key_json()).decode() + "\n"),
        ("_json_key_base64", base64.encodebytes(key_file().encode()).decode()),
        ("_json_key_base64", base64.b64encode(key_file().encode()).decode() + "\n"),
        ("_json_key_base64", key_file()),
        ("oauth2accesstoken", key_file()),
        ("robot", base64.encodebytes(key_file().encode()).decode()),
    ],
)
def test_a_google_key_pasted_as_a_token_is_told_where_it_belongs(username: str, token: str) -> None:
    """Whatever its form; and the advice is one that is followed with success."""
    for host in ("europe-west3-docker.pkg.dev", "gcr.io", "eu.gcr.io"):
        problem = token_problem(host, username, token)
        assert "google_service_account" in problem
        assert "service_account_key" in problem
        assert parse_connection_request(google(host=host)).secret is not None
    # elsewhere the provider would be refused
    problem = token_problem("registry.example", username, token)
    assert "google_service_account" not in problem
    assert ("base64 -w0" if username == "_json_key_base64" else "jq -c .") in problem


@pytest.mark.parametrize(
    "username, token",
    [
        ("robot", "password\n"),
        ("robot", "{\n}"),
        ("robot", f'{{"type": "user",\n"x": "{CANARY}"}}'),
        ("_json_key", key_file(type="external_account")),
        ("_json_key", key_file(type="authorized_user")),
    ],
)
def test_what_is_no_service_account_s_key_is_no_reason_to_name_the_provider(
    username: str, token: str
) -> None:
    """Which takes nothing else."""
    problem = token_problem("gcr.io", username, token)
    assert "google_service_account" not in problem
    assert "control characters" in problem


def test_a_key_in_one_line_is_a_token_like_any_other() -> None:
    """It can be sent, so it stays accepted."""
    token = orjson.dumps(account().key_json()).decode()
    body = {"host": "gcr.io", "provider": "static", "username": "_json_key", "token": token}
    assert parse_connection_request(body).secret is not None
