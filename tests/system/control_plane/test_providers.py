"""Google's keys and Amazon's roles through the API: connected, checked, shown, granted."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from deploy.dev.processes import free_port
from shared.approved_connection import approved_connection as approved
from shared.connection import EcrRole
from shared.keys import load_sealing_private_keys
from shared.sealed_secret import open_sealed
from shared.upstream.credentials.google_key import GoogleServiceAccountKey
from tests.support.control_plane import ControlPlane, Json, served
from tests.support.simulators.google import GoogleSimulator, ServiceAccount
from tests.system.control_plane.conftest import StartPlane

FACADE = "arn:aws:iam::210987654321:role/facade"
ROLE = "arn:aws:iam::123456789012:role/pull"
ECR_HOST = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
# There is no such location: the name resolves nowhere.
GOOGLE_HOST = "no-such-place-docker.pkg.dev"


@pytest.fixture(scope="module")
def account() -> ServiceAccount:
    """Whose key is connected."""
    return ServiceAccount.create()


@pytest.fixture
async def google(account: ServiceAccount) -> AsyncIterator[GoogleSimulator]:
    """Google's token endpoint."""
    async with GoogleSimulator(account) as simulator:
        yield simulator


@pytest.fixture
async def google_plane(start_plane: StartPlane, google: GoogleSimulator) -> ControlPlane:
    """A control plane that exchanges keys at the simulator."""
    return await start_plane(
        {
            "CONTROL_PLANE_GOOGLE_TOKEN_URL": google.token_url,
            "CONTROL_PLANE_AWS_PRINCIPAL_ARN": FACADE,
        }
    )


def key_of(account: ServiceAccount, host: str = GOOGLE_HOST, **others: Any) -> dict[str, Any]:
    """Return the fields of a connection with the account's key."""
    return {
        "host": host,
        "provider": "google_service_account",
        "service_account_key": account.key_json(**others),
    }


def role(host: str = ECR_HOST, **fields: Any) -> dict[str, Any]:
    """Return the fields of a connection with a role."""
    return {"host": host, "provider": "aws_ecr", "role_arn": ROLE} | fields


async def test_a_key_is_sealed_and_its_account_shown(
    own_plane: ControlPlane, account: ServiceAccount
) -> None:
    """Who it is, never the key; what is sealed is what the facade mints with."""
    view = await own_plane.client("alice").connect(**key_of(account))
    assert view["provider"] == "google_service_account"
    assert view["google"] == {
        "client_email": account.client_email,
        "project_id": account.project_id,
    }
    assert (view["username"], view["anonymous"], view["ecr"]) == (None, False, None)
    await own_plane.client("bob").approve(view)
    connection = approved(await served(own_plane, view["id"]))
    (opening,) = load_sealing_private_keys(own_plane.keys.sealing_private.read_bytes()).values()
    assert connection.sealed_secret is not None
    opened = open_sealed(connection.sealed_secret, opening, connection.seal_context)
    key = GoogleServiceAccountKey.from_secret(opened)
    assert key.private_key.reveal_text() == account.private_pem


async def test_a_check_exchanges_the_key(
    google_plane: ControlPlane, google: GoogleSimulator, account: ServiceAccount
) -> None:
    """Google takes it; the registry is not reachable from here, which is no fault of the key."""
    alice = google_plane.client("alice")
    checked = (await alice.call("POST", "/v1/connection-checks", key_of(account))).json
    assert (checked["outcome"], checked["problem"]) == ("skipped", "not_resolved")
    assert (len(google.tokens), google.refused) == (1, [])
    view = await alice.connect(check=True, **key_of(account))
    assert view["check"] == {"outcome": "skipped", "problem": "not_resolved"}


async def test_a_key_that_google_refuses_is_a_wrong_field(
    google_plane: ControlPlane, google: GoogleSimulator
) -> None:
    """Of an account that is no more, or another key's."""
    other = ServiceAccount.create()
    problem = await google_plane.client("alice").connect(check=True, expect=422, **key_of(other))
    assert [error["pointer"] for error in problem["errors"]] == ["/service_account_key"]
    assert problem["check"]["problem"] == "credential_refused"
    assert "upstream text" not in str(problem)
    assert len(google.refused) == 1
    assert await google_plane.client("alice").list() == []


async def test_a_token_endpoint_that_is_away_skips_the_check(
    start_plane: StartPlane, account: ServiceAccount
) -> None:
    """The facade may reach it."""
    plane = await start_plane(
        {"CONTROL_PLANE_GOOGLE_TOKEN_URL": f"http://127.0.0.1:{free_port()}/"}
    )
    view = await plane.client("alice").connect(check=True, **key_of(account))
    assert view["check"] == {"outcome": "skipped", "problem": "not_reachable"}


async def test_what_the_key_says_of_google_is_not_followed(
    google_plane: ControlPlane, google: GoogleSimulator, account: ServiceAccount
) -> None:
    """The key's own token endpoint would be shown an assertion that anybody could use."""
    async with GoogleSimulator(account) as elsewhere:
        fields = key_of(account, token_uri=elsewhere.token_url)
        await google_plane.client("alice").connect(check=True, **fields)
        assert elsewhere.requests == []
    assert len(google.tokens) == 1


async def test_a_role_needs_no_secret_and_no_call_to_aws(own_plane: ControlPlane) -> None:
    """The external id is generated and shown; the facade alone can try the role."""
    view = await own_plane.client("alice").connect(check=True, **role())
    assert view["check"] == {"outcome": "skipped", "problem": "aws_not_asked"}
    external_id = view["ecr"].pop("external_id")
    assert len(external_id) >= 32
    assert view["ecr"] == {"role_arn": ROLE, "region": "eu-central-1"}
    assert (view["secret_version"], view["anonymous"]) == (None, False)
    await own_plane.client("bob").approve(view)
    connection = approved(await served(own_plane, view["id"]))
    assert connection.sealed_secret is None
    assert connection.document.credential == EcrRole(
        ROLE, "123456789012", "eu-central-1", external_id
    )


async def test_filling_pull_through_caches_is_seen_approved_and_signed(
    google_plane: ControlPlane,
) -> None:
    """Off by default; the approver sees it in the view, and the customer in the policy."""
    alice, bob = google_plane.client("alice"), google_plane.client("bob")
    host = "123456789012.dkr-ecr.eu-west-1.on.aws"
    view = await alice.connect(**role(host, external_id="id-1", pull_through_cache=True))
    assert view["ecr"] == {
        "role_arn": ROLE,
        "region": "eu-west-1",
        "external_id": "id-1",
        "pull_through_cache": True,
    }
    grant = await alice.grant(view["id"])
    actions = [statement["Action"] for statement in grant["permissions_policy"]["Statement"]]
    assert actions[2:] == [["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"]]
    await bob.approve(view)
    signed = approved(await served(google_plane, view["id"])).document.credential
    assert isinstance(signed, EcrRole)
    assert signed.pull_through_cache
    edited = await alice.edit(view["id"], pull_through_cache=False)
    assert edited["ecr"] == view["ecr"]
    assert "pull_through_cache" not in edited["draft"]["ecr"]
    assert edited["draft"]["fingerprint"] != view["fingerprint"]


async def test_a_check_of_a_role_says_who_can_try_it(own_plane: ControlPlane) -> None:
    """In words."""
    answer = await own_plane.client("alice").call("POST", "/v1/connection-checks", role())
    assert (answer.json["outcome"], answer.json["problem"]) == ("skipped", "aws_not_asked")
    assert "facade check" in answer.json["detail"]


@pytest.mark.parametrize("given", ["ours-123", None])
async def test_an_external_id_is_as_it_was_given(plane: ControlPlane, given: str | None) -> None:
    """Or none, for a role that asks for none."""
    host = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
    prefix = f"given/{'none' if given is None else 'one'}"
    fields = role(host, external_id=given, repository_prefix=prefix)
    view = await plane.client("alice").connect(**fields)
    assert view["ecr"]["external_id"] == given


async def test_a_role_of_another_account_is_refused(plane: ControlPlane) -> None:
    """What the facade's identity is shown to is the registry's own account."""
    problem = await plane.client("alice").connect(
        expect=422, **role(role_arn="arn:aws:iam::210987654321:role/pull")
    )
    assert [error["pointer"] for error in problem["errors"]] == ["/role_arn"]


async def test_a_grant_is_of_the_draft_and_then_of_what_serves(
    google_plane: ControlPlane,
) -> None:
    """What is to be pasted before the approval, and what was."""
    alice, bob = google_plane.client("alice"), google_plane.client("bob")
    view = await alice.connect(**role(external_id="id-1", repository_prefix="team"))
    grant = await alice.grant(view["id"])
    assert grant["fingerprint"] == view["fingerprint"]
    statement = grant["trust_policy"]["Statement"][0]
    assert statement["Principal"] == {"AWS": FACADE}
    assert statement["Condition"] == {"StringEquals": {"sts:ExternalId": "id-1"}}
    arn = "arn:aws:ecr:eu-central-1:123456789012:repository"
    reading = grant["permissions_policy"]["Statement"][1]
    assert reading["Resource"] == [f"{arn}/team", f"{arn}/team/*"]
    await bob.approve(view)
    assert await alice.grant(view["id"]) == grant
    edited = await alice.edit(view["id"], external_id="id-2")
    assert edited["ecr"]["external_id"] == "id-1"
    beside = await alice.grant(view["id"])
    assert beside["external_id"] == "id-2"
    assert beside["fingerprint"] == edited["draft"]["fingerprint"]
    await bob.revoke(view["id"])
    await alice.grant(view["id"], expect=409)


async def test_google_is_granted_a_role_to_bind(
    own_plane: ControlPlane, account: ServiceAccount
) -> None:
    """On the member that the key is of."""
    view = await own_plane.client("alice").connect(**key_of(account))
    grant = await own_plane.client("alice").grant(view["id"])
    assert grant["member"] == f"serviceAccount:{account.client_email}"
    assert grant["roles"] == ["roles/artifactregistry.reader"]


async def test_static_connections_have_nothing_to_grant(plane: ControlPlane, host: str) -> None:
    """404, in words."""
    view = await plane.client("alice").connect(host)
    problem = await plane.client("alice").grant(view["id"], expect=404)
    assert "nothing to grant" in problem["detail"]


async def test_a_key_is_rotated(google_plane: ControlPlane, account: ServiceAccount) -> None:
    """The same account's next key may follow at once; another account's wants an approver."""
    alice, bob = google_plane.client("alice"), google_plane.client("bob")
    view = await bob.approve(await alice.connect(**key_of(account)))
    other = ServiceAccount.create(name="other").key_json()
    problem = await bob.put_credential(
        view["id"], expect=409, approve=True, service_account_key=other
    )
    assert "more than the secret" in problem["detail"]
    next_key = account.key_json(private_key=ServiceAccount.create().private_pem)
    after: Json = await bob.put_credential(view["id"], approve=True, service_account_key=next_key)
    assert (after["secret_version"], after["google"]) == (2, view["google"])
    drafted = await alice.put_credential(view["id"], service_account_key=other)
    assert drafted["draft"]["google"]["client_email"].startswith("other@")
    wrong = await alice.put_credential(view["id"], expect=422, token="x")
    assert wrong["errors"][0]["pointer"] == "/token"


async def test_a_role_has_no_credential_to_put(own_plane: ControlPlane) -> None:
    """Its credentials are made for each use."""
    alice = own_plane.client("alice")
    view = await alice.connect(**role())
    problem = await alice.put_credential(view["id"], expect=409, token="x")
    assert "no stored secret" in problem["detail"]
