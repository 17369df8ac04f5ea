"""Approved connections, devices and pulls, few enough of each to meet one another."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import strategies as st

from facade.values.device_identity import DeviceIdentity
from facade.values.pull_path import Pull
from shared.approved_connection import ApprovedConnection
from shared.connection import Anonymous, ConnectionDocument
from shared.oci import Digest, Kind, RepositoryName
from shared.registry_host import RegistryHost
from shared.repository_pattern import RepositoryPattern

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOST = RegistryHost.parse("registry.example")
DIGEST = Digest.of(b"content")

repositories = st.sampled_from(
    ["team", "team/app", "team/app/debug", "team/other", "teammate/app", "app", "a/b/c/d"]
).map(RepositoryName.parse)
prefixes = st.none() | st.sampled_from(["team", "team/app", "teammate", "app", "a/b"]).map(
    RepositoryName.parse
)
patterns = st.sampled_from(
    ["team/app", "team/*", "team/**", "**", "*", "team*/app", "a/*/c/*", "**/app", "app"]
).map(RepositoryPattern.parse)
fleets = st.sampled_from(["line-a", "line-b", "line"])
moments = st.sampled_from([-1, 0, 1]).map(lambda ticks: NOW + timedelta(microseconds=ticks))

documents = st.builds(
    ConnectionDocument,
    host=st.just(HOST),
    credential=st.just(Anonymous()),
    connected_by=st.just("alice"),
    connected_at=st.just(NOW),
    repository_prefix=prefixes,
    repositories=st.lists(patterns, max_size=2).map(tuple),
    fleets=st.lists(fleets, max_size=2).map(tuple),
)


def approved(
    document: ConnectionDocument,
    *,
    number: int = 1,
    generation: int = 1,
    expires_at: datetime | None = None,
) -> ApprovedConnection:
    """Return a document's approval."""
    return ApprovedConnection(
        id=UUID(int=number),
        generation=generation,
        document=document,
        fingerprint="sha256:" + "0" * 64,
        access_key="0" * 64,
        approved_by="bob",
        approved_at=NOW,
        expires_at=expires_at,
        sealed_secret=None,
    )


connections = st.builds(
    approved,
    documents,
    number=st.integers(1, 2**64),
    generation=st.integers(1, 5),
    expires_at=st.none() | moments,
)
devices = st.builds(
    DeviceIdentity,
    id=st.just("spiffe://example.com/device/press-7"),
    fleet=st.none() | fleets,
    serial=st.just("abc"),
    not_after=st.just(NOW + timedelta(1)),
)
pulls = st.builds(
    Pull,
    host=st.just(HOST),
    repository=repositories,
    kind=st.sampled_from(Kind),
    digest=st.just(DIGEST),
)
