"""`CONTROL_PLANE_OIDC_*`: what is wrong with them is told at the start, all of it at once."""

from pathlib import Path

import pytest

from control_plane.operators.permissions import Role
from control_plane.prefix import PREFIX
from control_plane.single_sign_on.settings import OidcSettings
from deploy.dev.device_ca import CertificateAuthority
from shared.environment import ConfigurationError, load

CANARY = "canary-client-secret"
GOOD = {
    "OIDC_ISSUER": "https://login.example/firm/",
    "OIDC_AUDIENCE": "api",
    "OIDC_ROLES": '{"a":"admin"}',
}


def loaded(**given: str) -> OidcSettings:
    """Return the settings."""
    return load(OidcSettings, PREFIX, {f"{PREFIX}_{name}": text for name, text in given.items()})


def test_what_is_given_is_read(tmp_path: Path) -> None:
    """Secrets come from files too; the CA is read."""
    secret, ca = tmp_path / "secret", tmp_path / "ca.pem"
    secret.write_text(f"{CANARY}\n")
    ca.write_bytes(CertificateAuthority.create().pem)
    settings = loaded(
        **GOOD,
        OIDC_CLIENT_ID="console",
        OIDC_CLIENT_SECRET_FILE=str(secret),
        OIDC_CLI_CLIENT_ID="cli",
        OIDC_SCOPES="openid  email offline_access",
        OIDC_CA_FILE=str(ca),
        OIDC_NETWORKS="10.0.0.0/8",
    )
    found = settings.single_sign_on(None)
    assert found is not None
    assert found.issuer == "https://login.example/firm/"
    assert found.roles.roles == {"a": Role.ADMIN}
    assert found.scopes == ("openid", "email", "offline_access")
    assert (found.roles_claim, found.name_claim) == ("roles", "email")
    assert found.client_secret is not None
    assert found.client_secret.reveal_text() == CANARY
    assert found.ca_certificate == ca.read_text()
    assert CANARY not in repr(settings) + repr(found)
    assert loaded().single_sign_on(None) is None


@pytest.mark.parametrize(
    "given, named",
    [
        ({"OIDC_CLIENT_ID": "api"}, ["OIDC_AUDIENCE"]),
        ({"OIDC_CLI_CLIENT_ID": "api"}, ["OIDC_AUDIENCE"]),
        ({"OIDC_ROLES": f'{{"{CANARY}":"king"}}'}, ["OIDC_ROLES"]),
        ({"OIDC_ISSUER": "http://login.example"}, ["OIDC_ISSUER"]),
        ({"OIDC_SCOPES": "email"}, ["OIDC_SCOPES"]),
        ({"OIDC_CLIENT_SECRET": CANARY}, ["OIDC_CLIENT_ID"]),
        ({"OIDC_AUDIENCE_PARAMETER": CANARY}, ["OIDC_AUDIENCE_PARAMETER"]),
        ({"OIDC_CA_FILE": __file__}, ["OIDC_CA_FILE"]),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, str], named: list[str]) -> None:
    """By its variable, without its value."""
    with pytest.raises(ConfigurationError) as refused:
        loaded(**GOOD | given)
    names = [problem.partition(":")[0] for problem in refused.value.problems]
    assert names == [f"{PREFIX}_{name}" for name in named]
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize(
    "given, named",
    [
        ({"OIDC_AUDIENCE": "api"}, "OIDC_ISSUER"),
        ({"OIDC_NETWORKS": "10.0.0.0/8"}, "OIDC_ISSUER"),
        ({"OIDC_ISSUER": "https://login.example"}, "OIDC_ROLES"),
        ({**GOOD, "OIDC_AUDIENCE": "", "OIDC_CLIENT_ID": "x"}, "OIDC_AUDIENCE"),
        ({"OIDC_ISSUER": "http://login.example"}, "OIDC_ROLES"),
        ({"OIDC_CLIENT_SECRET_FILE": "/nowhere"}, "OIDC_ISSUER"),
        ({**GOOD, "OIDC_CLIENT_SECRET_FILE": "/nowhere"}, "OIDC_CLIENT_ID"),
    ],
)
def test_what_is_missing_is_named(given: dict[str, str], named: str) -> None:
    """Half of it would let nobody in, and nobody would know why."""
    with pytest.raises(ConfigurationError) as refused:
        loaded(**given)
    assert f"{PREFIX}_{named}: " in str(refused.value)


def test_without_an_audience_and_a_client_nobody_could_log_in() -> None:
    """Neither the API nor the console would take anybody."""
    only = {name: text for name, text in GOOD.items() if name != "OIDC_AUDIENCE"}
    with pytest.raises(ConfigurationError, match="OIDC_AUDIENCE: required"):
        loaded(**only)
    assert loaded(**only, OIDC_CLIENT_ID="console").single_sign_on(None) is not None
