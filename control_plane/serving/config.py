"""What the commands read from the environment: one class for each set of needs."""

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Annotated, Final

from attrs import evolve, frozen

from control_plane.connections.grant import parse_principal_arn
from control_plane.serving.api_token import ApiToken
from control_plane.single_sign_on.configuration import SingleSignOn
from control_plane.single_sign_on.settings import OidcSettings
from shared.bounded_file import read_bounded
from shared.cross_field_check import CrossFieldCheck, FieldProblem, is_given
from shared.identity_form import (
    IdentityForm,
    IdentityKind,
    InvalidUriPatternError,
    KindForm,
    ProfilesForm,
    compile_uri_pattern,
)
from shared.identity_profile import IdentityProfile
from shared.identity_profiles_file import MAX_PROFILES_FILE_BYTES, parse_profiles
from shared.postgres.connection_parameters import ConnectionParameters
from shared.postgres.setting import DatabaseUrl
from shared.setting_types import (
    Duration,
    Form,
    HttpUrl,
    ListenAddress,
    LogLevel,
    Networks,
    ReadableFile,
    parse_readable_file,
)
from shared.statement_level import NEWEST_LEVEL, OLDEST_LEVEL, parse_level
from shared.upstream.no_proxy import NO_EXCEPTIONS, NoProxyList
from shared.upstream.proxy import OutboundProxy, ProxyUrl

DEFAULT_URL: Final = "http://127.0.0.1:8080"

_PUBLIC_KEYS: Final = "the path of a PEM file of statement keys' public halves"

AwsPrincipalArn = Annotated[
    str,
    Form(parse_principal_arn, "an ARN such as arn:aws:iam::123456789012:role/facade"),
]


def _read_profiles(path: str) -> tuple[IdentityProfile, ...]:
    return parse_profiles(read_bounded(parse_readable_file(path), MAX_PROFILES_FILE_BYTES))


DeviceProfiles = Annotated[
    tuple[IdentityProfile, ...],
    Form(_read_profiles, "the path of a readable YAML or JSON file of identity profiles"),
]
StatementLevel = Annotated[int, Form(parse_level, f"a level from {OLDEST_LEVEL} to {NEWEST_LEVEL}")]


@frozen(kw_only=True)
class ServeSettings(OidcSettings):
    """`control-plane serve`."""

    database_url: DatabaseUrl
    sealing_public_key_file: ReadableFile
    statement_private_key_file: ReadableFile
    statement_public_key_file: ReadableFile | None = None  # of keys before the private one
    listen: ListenAddress = ListenAddress("127.0.0.1", 8080)
    tls_cert_file: ReadableFile | None = None
    tls_key_file: ReadableFile | None = None
    behind_tls_proxy: bool = False
    console: bool = True
    public_url: HttpUrl | None = None
    session_key_file: ReadableFile | None = None
    statement_level: StatementLevel = OLDEST_LEVEL
    require_second_approver: bool = False
    check_networks: Networks = ()
    webhooks_file: ReadableFile | None = None  # targets, with their secrets
    aws_principal_arn: AwsPrincipalArn | None = None
    device_identity: IdentityKind | None = None
    device_uri_pattern: str | None = None
    device_profiles_file: DeviceProfiles | None = None
    google_token_url: HttpUrl | None = None  # Google's own
    https_proxy: ProxyUrl | None = None
    no_proxy: NoProxyList = NO_EXCEPTIONS
    state_dir: Path | None = None  # what was seen, over restarts: a restored database shows
    log_level: LogLevel = "info"
    allow_core_dumps: bool = False
    drain_timeout: Duration = 30.0

    @property
    def outbound_proxy(self) -> OutboundProxy | None:
        """The proxy that registries and Google are reached through, but for its exceptions."""
        return self.https_proxy and evolve(self.https_proxy, no_proxy=self.no_proxy)

    @property
    def sign_on(self) -> SingleSignOn | None:
        """The provider of single sign-on, which is reached as registries are."""
        return self.single_sign_on(self.outbound_proxy)

    @property
    def identity_form(self) -> IdentityForm | None:
        """How certificates say who a device is, as facades are told; None where nobody said."""
        if self.device_profiles_file is not None:
            return ProfilesForm(self.device_profiles_file)
        if self.device_uri_pattern is not None:
            return KindForm(IdentityKind.SPIFFE, self.device_uri_pattern)
        return KindForm(self.device_identity) if self.device_identity else None

    @property
    def _is_spiffe(self) -> bool:
        return self.device_identity in {None, IdentityKind.SPIFFE}  # which charts say anyway

    @CrossFieldCheck
    def _pattern(self) -> Iterator[FieldProblem]:
        if self.device_uri_pattern is None:
            return
        try:
            compile_uri_pattern(self.device_uri_pattern)
        except InvalidUriPatternError as error:
            yield "device_uri_pattern", str(error)

    @CrossFieldCheck
    def _pattern_beside_identity(self) -> Iterator[FieldProblem]:
        if self.device_uri_pattern is not None and not self._is_spiffe:
            expected = "no pattern, unless CONTROL_PLANE_DEVICE_IDENTITY is spiffe"
            yield "device_uri_pattern", expected

    @CrossFieldCheck
    def _profiles_beside_both(self) -> Iterator[FieldProblem]:
        if not is_given(self, "device_profiles_file"):
            return
        if is_given(self, "device_uri_pattern") or not self._is_spiffe:
            variables = (f"CONTROL_PLANE_DEVICE_{name}" for name in ("IDENTITY", "URI_PATTERN"))
            yield "device_profiles_file", f"neither {' nor '.join(variables)} beside it"

    @CrossFieldCheck
    def _certificate_and_key(self) -> Iterator[FieldProblem]:
        for missing, other in permutations(("tls_cert_file", "tls_key_file")):
            if is_given(self, other) and not is_given(self, missing):
                yield missing, "a file too, for certificate and key belong together"

    @CrossFieldCheck
    def _reached_from_outside(self) -> Iterator[FieldProblem]:
        if not (self.tls_cert_file or self.behind_tls_proxy or self.listen.is_loopback):
            expected = (
                "a loopback address without TLS; set CONTROL_PLANE_TLS_CERT_FILE and _KEY_FILE,"
                " or CONTROL_PLANE_BEHIND_TLS_PROXY=true"
            )
            yield "listen", expected


@frozen(kw_only=True)
class MigrateSettings:
    """`control-plane migrate`."""

    migration_database_url: DatabaseUrl | None = None
    database_url: DatabaseUrl | None = None

    @CrossFieldCheck
    def _any_url(self) -> Iterator[FieldProblem]:
        if self.migration_database_url is None and self.database_url is None:
            yield "migration_database_url", "the PostgreSQL URL of the schema's owner"

    @property
    def owner_field(self) -> str:
        """Which of the two says what to migrate with."""
        return "database_url" if self.migration_database_url is None else "migration_database_url"

    @property
    def owner_url(self) -> ConnectionParameters:
        """What to migrate with."""
        url = self.migration_database_url or self.database_url
        if url is None:
            raise AssertionError("a check refuses this")
        return url


@frozen(kw_only=True)
class OperatorsSettings:
    """`control-plane operators`: the database and the statement key, nothing else."""

    database_url: DatabaseUrl
    statement_private_key_file: ReadableFile
    statement_public_key_file: ReadableFile | None = None  # of keys before the private one
    statement_level: StatementLevel = OLDEST_LEVEL


@frozen(kw_only=True)
class AuditSettings:
    """`control-plane audit`: the database, and either half of the statement key."""

    database_url: DatabaseUrl
    statement_public_key_file: ReadableFile | None = None
    statement_private_key_file: ReadableFile | None = None

    @CrossFieldCheck
    def _any_key(self) -> Iterator[FieldProblem]:
        if self.statement_public_key_file is None and self.statement_private_key_file is None:
            yield "statement_public_key_file", _PUBLIC_KEYS


@frozen(kw_only=True)
class AuditFileSettings:
    """`control-plane audit verify FILE`: the statement key, and the database if it is named."""

    database_url: DatabaseUrl | None = None
    statement_public_key_file: ReadableFile | None = None
    statement_private_key_file: ReadableFile | None = None

    @CrossFieldCheck
    def _any_key(self) -> Iterator[FieldProblem]:
        if self.statement_public_key_file is None and self.statement_private_key_file is None:
            yield "statement_public_key_file", _PUBLIC_KEYS


@frozen(kw_only=True)
class AuditListSettings:
    """`control-plane audit list`: the database if it is named, else the API."""

    database_url: DatabaseUrl | None = None
    token: ApiToken | None = None


@frozen(kw_only=True)
class WebhookSettings:
    """`control-plane webhooks`: the file of targets, and the way to them."""

    webhooks_file: ReadableFile | None = None
    https_proxy: ProxyUrl | None = None
    no_proxy: NoProxyList = NO_EXCEPTIONS

    @property
    def outbound_proxy(self) -> OutboundProxy | None:
        """The proxy that targets are reached through, but for its exceptions."""
        return self.https_proxy and evolve(self.https_proxy, no_proxy=self.no_proxy)


@frozen(kw_only=True)
class ClientSettings:
    """`control-plane connections` and others: the API from a shell."""

    url: HttpUrl = DEFAULT_URL
    token: ApiToken | None = None  # without one, what `login` got
    ca_file: ReadableFile | None = None
    login_file: Path | None = None
    oidc_ca_file: ReadableFile | None = None
    https_proxy: ProxyUrl | None = None
    no_proxy: NoProxyList = NO_EXCEPTIONS

    @property
    def outbound_proxy(self) -> OutboundProxy | None:
        """The proxy that the provider of single sign-on is reached through."""
        return self.https_proxy and evolve(self.https_proxy, no_proxy=self.no_proxy)


ALL_SETTINGS: Final = (
    ServeSettings,
    MigrateSettings,
    OperatorsSettings,
    AuditSettings,
    AuditFileSettings,
    AuditListSettings,
    WebhookSettings,
    ClientSettings,
)
