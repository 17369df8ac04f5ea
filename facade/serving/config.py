"""What the facade's commands read from their environment."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from attrs import evolve, frozen

from facade.arrivals.gaps import MAX_STREAMS
from facade.arrivals.stream_growth import MOST_STREAMS
from facade.devices.connection_limits import DEFAULT_CONNECTIONS_PER_DEVICE, MAX_AGE_SECONDS
from facade.registries.absences import ABSENCE_SECONDS
from facade.registries.device_allowance import CostLimits
from facade.registries.spare_streams import MAX_SPARE_STREAMS
from facade.registries.upstream_spending import SpendingLimits
from facade.serving.setting_files import (
    CertificateFile,
    PrivateKeyFile,
    ProfilesFile,
    RevocationListFile,
    SealingPrivateKeyFile,
    StatementPublicKeyFile,
    belong_together,
)
from shared.cross_field_check import CrossFieldCheck, FieldProblem, is_given
from shared.identity_form import (
    DEFAULT_URI_PATTERN,
    IdentityKind,
    InvalidUriPatternError,
    compile_uri_pattern,
)
from shared.postgres.setting import DatabaseUrl
from shared.setting_types import (
    ByteSize,
    Count,
    Duration,
    HttpUrl,
    ListenAddress,
    LogLevel,
    PositiveCount,
    PositiveDuration,
)
from shared.upstream.credentials.google import GOOGLE_TOKEN_URL
from shared.upstream.no_proxy import NO_EXCEPTIONS, NoProxyList
from shared.upstream.proxy import OutboundProxy, ProxyUrl
from shared.upstream.transport import Timeouts

PREFIX: Final = "FACADE"
# A pull without a token takes four: bare, for the token, with the token, to where the registry
# points.
REQUESTS_OF_A_MISS: Final = 4
# A token is good for a whole repository, of which a device pulls several blobs.
TOKENS_OF_A_MISS: Final = 0.5
# 500 Mbit/s all the time, because the first device to ask pays for what others read along.
DEVICE_BYTES_PER_HOUR: Final = 256 * 2**30


@frozen(kw_only=True)
class UpstreamSettings:
    """The settings for reading approvals, opening secrets and asking registries.

    They are all that `facade check`, `tags` and `resolve` need, beside a facade that serves.
    """

    database_url: DatabaseUrl
    sealing_private_key_file: SealingPrivateKeyFile
    statement_public_key_file: StatementPublicKeyFile
    allow_loopback: bool = False
    aws_endpoint_url: HttpUrl | None = None
    google_token_url: HttpUrl = GOOGLE_TOKEN_URL
    https_proxy: ProxyUrl | None = None
    proxy_resolves: bool = False
    no_proxy: NoProxyList = NO_EXCEPTIONS

    @property
    def outbound_proxy(self) -> OutboundProxy | None:
        """The proxy through which upstreams are reached, with its exceptions."""
        proxy = self.https_proxy
        return proxy and evolve(proxy, resolves_names=self.proxy_resolves, no_proxy=self.no_proxy)

    @CrossFieldCheck
    def _what_the_proxy_resolves(self) -> Iterator[FieldProblem]:
        if self.proxy_resolves and self.https_proxy is None:
            yield "proxy_resolves", "to stand beside FACADE_HTTPS_PROXY"


@frozen(kw_only=True, slots=False)  # one class with slots can stand beside it as a base
class DeviceSettings:
    """Which devices are let in, and how their certificates say who they are."""

    device_ca_file: CertificateFile
    device_crl_file: RevocationListFile | None = None
    device_identity: IdentityKind = IdentityKind.SPIFFE
    device_uri_pattern: str = DEFAULT_URI_PATTERN
    device_profiles_file: ProfilesFile | None = None

    @property
    def takes_any_trust_domain(self) -> bool:
        """Whether the identity of a device may be of any SPIFFE trust domain."""
        is_spiffe = self.device_identity is IdentityKind.SPIFFE and not self.device_profiles_file
        return is_spiffe and "{trust_domain}" in self.device_uri_pattern

    @property
    def _has_pattern(self) -> bool:
        return self.device_uri_pattern != DEFAULT_URI_PATTERN

    @CrossFieldCheck
    def _pattern(self) -> Iterator[FieldProblem]:
        try:
            compile_uri_pattern(self.device_uri_pattern)
        except InvalidUriPatternError as error:
            yield "device_uri_pattern", str(error)

    @CrossFieldCheck
    def _pattern_beside_identity(self) -> Iterator[FieldProblem]:
        if self._has_pattern and self.device_identity is not IdentityKind.SPIFFE:
            yield "device_uri_pattern", "no pattern, unless FACADE_DEVICE_IDENTITY is spiffe"

    @CrossFieldCheck
    def _profiles_beside_both(self) -> Iterator[FieldProblem]:
        if not is_given(self, "device_profiles_file"):
            return
        if self._has_pattern or self.device_identity is not IdentityKind.SPIFFE:
            expected = "neither FACADE_DEVICE_IDENTITY nor FACADE_DEVICE_URI_PATTERN beside it"
            yield "device_profiles_file", expected


@frozen(kw_only=True)
class IdentifySettings(DeviceSettings):
    """`facade identify`: who a device would be, and what it might pull."""

    database_url: DatabaseUrl
    statement_public_key_file: StatementPublicKeyFile


@frozen(kw_only=True)
class FacadeSettings(UpstreamSettings, DeviceSettings):
    """`facade serve`; `docs/settings.md` says what each is for."""

    tls_cert_file: CertificateFile
    tls_key_file: PrivateKeyFile
    state_dir: Path
    cache_dir: Path | None = None
    cache_max_bytes: ByteSize
    listen: ListenAddress = ListenAddress("0.0.0.0", 8443)  # noqa: S104 - devices come from outside
    reuse_port: bool = False
    operations_listen: ListenAddress = ListenAddress("127.0.0.1", 8081)
    tls_minimum: Literal["1.2", "1.3"] = "1.3"
    max_connections: Count = 0  # 0: as many as the descriptors allow, and 10,000 at most
    max_connections_per_device: PositiveCount = DEFAULT_CONNECTIONS_PER_DEVICE
    max_connection_age: PositiveDuration = MAX_AGE_SECONDS
    snapshot_max_age: PositiveDuration = 24 * 3600.0
    poll_interval: PositiveDuration = 15.0
    unverified_ranges: bool = True
    # With a burst of a minute's worth (`device_requests`). A warm site needs about a hundred.
    device_requests_per_second: Count = 500
    # An image of 100 layers is 200 misses (HEAD and GET of each); two at once are still not slowed.
    device_misses_per_minute: Count = 600
    device_downloads: Count = 64  # containerd begins 3 at once, podman 6; some are told to do more
    # None: in proportion to the misses; without a limit of those, no limit.
    device_upstream_requests_per_minute: Count | None = None
    device_tokens_per_minute: Count | None = None
    device_upstream_bytes_per_hour: ByteSize = DEVICE_BYTES_PER_HOUR
    remember_missing: Duration = ABSENCE_SECONDS
    upstream_bandwidth: ByteSize = 0  # bytes a second of this process; 0: as much as there is
    upstream_streams_per_blob: PositiveCount = MOST_STREAMS
    upstream_streams: Count = MAX_SPARE_STREAMS  # of each registry, beyond the first of each blob
    upstream_timeout: PositiveDuration = Timeouts().stall_seconds
    log_level: LogLevel = "info"
    log_sample_hits: PositiveCount = 1
    allow_core_dumps: bool = False
    drain_delay: Duration = 0.0
    drain_timeout: Duration = 30.0

    @property
    def store_folder(self) -> Path | None:
        """Where contents are kept; None if none are."""
        return self.cache_dir if self.cache_max_bytes else None

    @property
    def cost_limits(self) -> CostLimits:
        """What one device may cost."""
        return CostLimits(self.device_misses_per_minute, self.device_downloads)

    @property
    def spending_limits(self) -> SpendingLimits:
        """What one device's pulls may take of one registry."""
        misses = self.device_misses_per_minute
        requests, tokens = self.device_upstream_requests_per_minute, self.device_tokens_per_minute
        return SpendingLimits(
            misses * REQUESTS_OF_A_MISS if requests is None else requests,
            math.ceil(misses * TOKENS_OF_A_MISS) if tokens is None else tokens,
            self.device_upstream_bytes_per_hour,
        )

    @property
    def upstream_timeouts(self) -> Timeouts:
        """How long a registry may be silent, before its headers and after."""
        seconds = self.upstream_timeout
        return Timeouts(first_byte_seconds=seconds, stall_seconds=seconds)

    @CrossFieldCheck
    def _key_of_the_certificate(self) -> Iterator[FieldProblem]:
        if not belong_together(self.tls_cert_file, self.tls_key_file):
            yield "tls_key_file", "the private key of the certificate in FACADE_TLS_CERT_FILE"

    @CrossFieldCheck
    def _folder_of_the_cache(self) -> Iterator[FieldProblem]:
        if self.cache_max_bytes != 0 and self.cache_dir is None:
            yield "cache_dir", "a folder, unless FACADE_CACHE_MAX_BYTES is 0"

    @CrossFieldCheck
    def _streams_of_a_blob(self) -> Iterator[FieldProblem]:
        if self.upstream_streams_per_blob > MAX_STREAMS:
            yield "upstream_streams_per_blob", f"{MAX_STREAMS} at most"

    @CrossFieldCheck
    def _delay_of_the_drain(self) -> Iterator[FieldProblem]:
        if self.drain_delay > self.drain_timeout:
            yield "drain_delay", "no longer than FACADE_DRAIN_TIMEOUT, of which it is a part"
