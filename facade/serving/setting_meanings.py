"""What each setting of the facade is for: the words that `facade settings` prints."""

from collections.abc import Mapping
from typing import Final

from shared.settings_table import Meaning

MEANINGS: Final[Mapping[str, Meaning]] = {
    "database_url": Meaning("Postgres, as a login that may only SELECT"),
    "sealing_private_key_file": Meaning(
        "the private sealing key, which opens connections' secrets; several while rotating"
    ),
    "statement_public_key_file": Meaning(
        "the public statement key, whose signatures are believed; several while rotating"
    ),
    "tls_cert_file": Meaning(
        "the certificate that devices are shown, with its chain; reloaded when it changes"
    ),
    "tls_key_file": Meaning("the private key of that certificate; reloaded with it"),
    "device_ca_file": Meaning(
        "the CAs whose device certificates are accepted; reloaded when it changes"
    ),
    "device_crl_file": Meaning(
        "revoked device certificates, a CRL of each issuer in use; reloaded when it changes",
        default="none",
    ),
    "device_identity": Meaning("which name in a certificate says who the device is"),
    "device_uri_pattern": Meaning("the form of the URI SAN if the identity is spiffe"),
    "device_profiles_file": Meaning(
        "a YAML or JSON file that says, for the certificates of each CA, where device and fleet"
        " come from; reloaded when it changes (docs/devices.md)",
        default="none: FACADE_DEVICE_IDENTITY says it for all",
    ),
    "state_dir": Meaning(
        "a folder that keeps over restarts what is believed; each process has its own, made 0700"
        " unless it holds anything for others"
    ),
    "cache_dir": Meaning(
        "the blob store; one folder for all processes of a machine, made 0700 unless it holds"
        " anything for others",
        default="none; required unless FACADE_CACHE_MAX_BYTES is 0",
    ),
    "cache_max_bytes": Meaning(
        "how much of the disk the store may use; 0 keeps nothing; less than 256 MiB, which hardly"
        " hold an image, are warned about"
    ),
    "listen": Meaning("where devices connect"),
    "reuse_port": Meaning("whether several processes may listen on the device address"),
    "operations_listen": Meaning("where /healthz, /readyz and /metrics are, over plain HTTP"),
    "tls_minimum": Meaning("the oldest version of TLS that devices may speak"),
    "max_connections": Meaning(
        "connections of all devices together; 0: as many as descriptors allow, 10,000 at most"
    ),
    "max_connections_per_device": Meaning("connections of one device"),
    "max_connection_age": Meaning("an older connection is closed after its answer"),
    "snapshot_max_age": Meaning("for how long approvals are served while Postgres cannot be read"),
    "poll_interval": Meaning("how often Postgres is read when no notification comes"),
    "unverified_ranges": Meaning(
        "whether a range of a blob that still arrives is answered, marked, before the proof"
    ),
    "device_requests_per_second": Meaning(
        "requests that one device is answered in a second; after a rest, a minute's worth at once;"
        " 0: no limit"
    ),
    "device_misses_per_minute": Meaning(
        "questions to registries that one device may cause in a minute; 0: no limit"
    ),
    "device_downloads": Meaning(
        "downloads from registries that one device may have under way; 0: no limit"
    ),
    "device_upstream_requests_per_minute": Meaning(
        "requests to one registry, and to where it points, that one device may cause in a minute;"
        " 0: no limit",
        default="4 for each of FACADE_DEVICE_MISSES_PER_MINUTE",
    ),
    "device_tokens_per_minute": Meaning(
        "tokens of one registry that one device may cause in a minute; 0: no limit",
        default="1 for every 2 of FACADE_DEVICE_MISSES_PER_MINUTE",
    ),
    "device_upstream_bytes_per_hour": Meaning(
        "bytes that one device may have downloaded from one registry in an hour; 0: no limit"
    ),
    "remember_missing": Meaning(
        "for how long a registry's 404 is repeated without asking it again"
    ),
    "upstream_bandwidth": Meaning(
        "bytes a second that this process reads from registries; 0: no limit"
    ),
    "upstream_streams_per_blob": Meaning(
        "in how many streams a large blob may be read from its registry at once, as far as that"
        " pays; 1: in one; 16 at most"
    ),
    "upstream_streams": Meaning(
        "streams of one registry beyond the first of each blob, for all devices together; 0: none"
    ),
    "upstream_timeout": Meaning(
        "for how long a registry may be silent, before its answer and within it"
    ),
    "https_proxy": Meaning(
        "the outbound proxy for registries, redirects and token endpoints", default="none"
    ),
    "proxy_resolves": Meaning(
        "whether the outbound proxy resolves names; then this process judges no address"
    ),
    "no_proxy": Meaning(
        "hosts, suffixes and networks that are reached directly, and not through the proxy",
        default="none",
    ),
    "allow_loopback": Meaning(
        "whether registries on this machine's loopback may be asked; for development and tests"
    ),
    "aws_endpoint_url": Meaning(
        "a private endpoint of STS and ECR's API, for all connections", default="AWS's own"
    ),
    "google_token_url": Meaning("Google's token endpoint"),
    "log_level": Meaning("the lowest level that is logged"),
    "log_sample_hits": Meaning(
        "of so many pulls that were answered from memory or from the store, one has a line in the"
        " log; 1: each has"
    ),
    "allow_core_dumps": Meaning(
        "whether a crash may write a core, with passwords and keys in it, and a debugger attach"
    ),
    "drain_delay": Meaning(
        "for how long after SIGTERM devices are let in as before, while `/readyz` is 503: as long"
        " as your balancer takes to leave this facade out"
    ),
    "drain_timeout": Meaning(
        "how long running answers may take after SIGTERM, with `FACADE_DRAIN_DELAY`"
    ),
}
