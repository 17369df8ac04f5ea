"""Single sign-on as it is configured: one provider, our clients there, and who gets which role."""

import hashlib

import orjson
from attrs import field, frozen

from control_plane.single_sign_on.role_mapping import RoleMapping
from shared.canonical_json import Network
from shared.secret import Secret
from shared.upstream.proxy import OutboundProxy


@frozen(kw_only=True)
class SingleSignOn:
    """What `CONTROL_PLANE_OIDC_*` say."""

    issuer: str
    roles: RoleMapping
    roles_claim: str
    name_claim: str
    scopes: tuple[str, ...]
    client_id: str | None = None
    client_secret: Secret | None = field(default=None, repr=False)
    cli_client_id: str | None = None
    audience: str | None = None
    audience_parameter: str | None = None
    ca_certificate: str | None = None  # PEM, beside the system's
    networks: tuple[Network, ...] = ()
    proxy: OutboundProxy | None = None

    @property
    def sha256(self) -> str:
        """The hexadecimal hash of what says who a person is, and which role they have."""
        roles = {value: role.value for value, role in sorted(self.roles.roles.items())}
        told = [self.issuer, self.client_id, self.roles_claim, roles]
        return hashlib.sha256(orjson.dumps(told)).hexdigest()
