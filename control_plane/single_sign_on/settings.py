"""What `CONTROL_PLANE_OIDC_*` are, and what is wrong with them together."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from attrs import frozen

from control_plane.single_sign_on.configuration import SingleSignOn
from control_plane.single_sign_on.provider_metadata import parse_issuer
from control_plane.single_sign_on.role_mapping import RoleMapping
from shared.bounded_file import TooLongFileError, read_bounded
from shared.cross_field_check import CrossFieldCheck, FieldProblem, is_given
from shared.pem import InvalidPemError, load_certificates
from shared.secret import Secret
from shared.setting_types import Form, Networks, ReadableFile
from shared.upstream.proxy import OutboundProxy

MAX_CA_FILE_BYTES: Final = 4 * 1024 * 1024  # a bundle of some hundred CAs
OPENID: Final = "openid"  # without it a provider gives no ID token (OpenID Connect Core section 3)


def parse_scopes(text: str) -> tuple[str, ...]:
    """Return scopes that blanks divide (RFC 6749 section 3.3); raise `ValueError`."""
    scopes = tuple(text.split())
    printable = all(scope.isascii() and scope.isprintable() for scope in scopes)
    if OPENID not in scopes or not printable or '"' in text or "\\" in text:
        raise ValueError("no scopes")
    return scopes


Issuer = Annotated[
    str, Form(parse_issuer, "an https URL such as https://login.example/realms/firm, as it is")
]
Scopes = Annotated[
    tuple[str, ...],
    Form(parse_scopes, "scopes such as 'openid email', openid among them", written=" ".join),
]
Roles = Annotated[
    RoleMapping,
    Form(RoleMapping.parse, 'JSON such as {"registry-approvers": "approver"}'),
]


_OF_AN_ISSUER: Final = (
    "oidc_client_id",
    "oidc_client_secret",
    "oidc_cli_client_id",
    "oidc_audience",
    "oidc_audience_parameter",
    "oidc_roles",
    "oidc_ca_file",
)


@frozen(kw_only=True)
class OidcSettings:
    """One OpenID provider, and what this control plane is there."""

    oidc_issuer: Issuer | None = None
    oidc_client_id: str | None = None
    oidc_client_secret: Secret | None = None
    oidc_cli_client_id: str | None = None
    oidc_audience: str | None = None
    oidc_audience_parameter: Literal["resource", "audience"] | None = None
    oidc_scopes: Scopes = (OPENID, "email")
    oidc_roles_claim: str = "roles"
    oidc_roles: Roles | None = None
    oidc_name_claim: str = "email"
    oidc_ca_file: ReadableFile | None = None
    oidc_networks: Networks = ()

    def single_sign_on(self, proxy: OutboundProxy | None) -> SingleSignOn | None:
        """Return what is configured, or none."""
        if self.oidc_issuer is None or self.oidc_roles is None:
            return None
        return SingleSignOn(
            issuer=self.oidc_issuer,
            roles=self.oidc_roles,
            roles_claim=self.oidc_roles_claim,
            name_claim=self.oidc_name_claim,
            scopes=self.oidc_scopes,
            client_id=self.oidc_client_id,
            client_secret=self.oidc_client_secret,
            cli_client_id=self.oidc_cli_client_id,
            audience=self.oidc_audience,
            audience_parameter=self.oidc_audience_parameter,
            ca_certificate=read_ca_file(self.oidc_ca_file) if self.oidc_ca_file else None,
            networks=self.oidc_networks,
            proxy=proxy,
        )

    @CrossFieldCheck
    def _issuer(self) -> Iterator[FieldProblem]:
        if not is_given(self, "oidc_issuer") and self._names_anything:
            yield "oidc_issuer", "the issuer's URL, because other CONTROL_PLANE_OIDC_* are given"

    @property
    def _names_anything(self) -> bool:
        """Whether something is given that has no meaning without an issuer."""
        has_networks = getattr(self, "oidc_networks", True)  # also those that cannot be read
        return bool(has_networks) or any(is_given(self, field) for field in _OF_AN_ISSUER)

    @CrossFieldCheck
    def _roles(self) -> Iterator[FieldProblem]:
        if is_given(self, "oidc_issuer") and self.oidc_roles is None:
            yield "oidc_roles", "which claim value stands for which role; nobody has one otherwise"

    @CrossFieldCheck
    def _any_way_in(self) -> Iterator[FieldProblem]:
        if not is_given(self, "oidc_issuer") or self.oidc_audience is not None:
            return
        if self.oidc_client_id is None:
            yield (
                "oidc_audience",
                (
                    "the audience of access tokens, for the API, or CONTROL_PLANE_OIDC_CLIENT_ID,"
                    " for the console"
                ),
            )

    @CrossFieldCheck
    def _audience_of_the_api_alone(self) -> Iterator[FieldProblem]:
        if not is_given(self, "oidc_issuer") or self.oidc_audience is None:
            return
        if self.oidc_audience in (self.oidc_client_id, self.oidc_cli_client_id):
            yield (
                "oidc_audience",
                (
                    "another text than a client's id: an ID token, which every application of the"
                    " provider gets, would open the API"
                ),
            )

    @CrossFieldCheck
    def _audience_of_logins(self) -> Iterator[FieldProblem]:
        if not is_given(self, "oidc_issuer") or not is_given(self, "oidc_cli_client_id"):
            return
        if self.oidc_audience is None:
            yield "oidc_audience", "the audience of the access tokens that `login` gets"

    @CrossFieldCheck
    def _client_of_the_secret(self) -> Iterator[FieldProblem]:
        if not is_given(self, "oidc_issuer") or not is_given(self, "oidc_client_secret"):
            return
        if self.oidc_client_id is None:
            yield "oidc_client_id", "the id of the client whose secret is given"

    @CrossFieldCheck
    def _certificates(self) -> Iterator[FieldProblem]:
        if not is_given(self, "oidc_issuer") or self.oidc_ca_file is None:
            return
        if problem := _ca_problem(self.oidc_ca_file):
            yield "oidc_ca_file", problem


def read_ca_file(path: ReadableFile) -> str:
    """Return the certificates of a file; raise `OSError`, `ValueError` (`InvalidPemError`)."""
    pem = read_bounded(path, MAX_CA_FILE_BYTES)
    load_certificates(pem)
    return pem.decode()


def _ca_problem(path: ReadableFile) -> str | None:
    try:
        read_ca_file(path)
    except (InvalidPemError, TooLongFileError) as error:
        return f"certificates in PEM: {error}"
    except (OSError, ValueError):
        return "certificates in PEM"
    return None
