"""What hypothesis makes up: values of the vocabulary, and texts that are nearly one."""

from datetime import UTC, datetime
from ipaddress import ip_network
from string import ascii_lowercase, digits
from uuid import UUID

from hypothesis import strategies as st

from shared.connection import (
    Anonymous,
    ConnectionDocument,
    Credential,
    EcrRole,
    GoogleServiceAccount,
    SealedSecretReference,
    UsernameAndToken,
)
from shared.oci import Digest, RepositoryName
from shared.registry_host import InvalidRegistryHostError, RegistryHost
from shared.repository_pattern import RepositoryPattern
from shared.statement import (
    MAX_GENERATION,
    AuditCheckpoint,
    AuditEntry,
    ConnectionApproval,
    ConnectionRevocation,
    DeviceLifting,
    DeviceRevocation,
    Operator,
    OperatorRemoval,
)

ALPHANUMERIC = ascii_lowercase + digits

digests = st.binary().map(Digest.of)
words = st.text(ALPHANUMERIC, min_size=1, max_size=6)
name_components = st.builds(
    lambda first, rest: first + "".join(separator + word for separator, word in rest),
    words,
    st.lists(st.tuples(st.sampled_from([".", "_", "__", "-", "---"]), words), max_size=3),
)
repository_names = (
    st.lists(name_components, min_size=1, max_size=5)
    .map("/".join)
    .filter(lambda text: len(text) <= 255)
    .map(RepositoryName.parse)
)
repository_patterns = (
    st.lists(st.one_of(st.just("**"), st.just("*"), name_components), min_size=1, max_size=4)
    .map("/".join)
    .map(RepositoryPattern.parse)
)

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
ports = st.integers(1, 65535).filter(lambda port: port != 443)


def _is_host(text: str) -> bool:
    try:
        RegistryHost.parse(text)
    except InvalidRegistryHostError:
        return False
    return True


host_names = st.lists(labels, min_size=1, max_size=4).map(".".join).filter(_is_host)
dotted_addresses = st.ip_addresses(v=4).map(str)
registry_hosts = st.builds(
    RegistryHost, st.one_of(host_names, dotted_addresses), st.one_of(st.none(), ports)
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
moments = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2200, 1, 1)).map(  # noqa: DTZ001  # hypothesis wants naive bounds
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
)
networks = st.sampled_from(["10.0.0.0/8", "192.168.1.0/24", "fd00::/8", "203.0.113.7/32"]).map(
    ip_network
)
secret_references = st.builds(
    SealedSecretReference,
    version=st.integers(1, 2**53),
    key_id=st.text(digits, min_size=16, max_size=16),
    suite=texts,
    sha256=st.binary().map(lambda content: Digest.of(content).hex),
)
credentials: st.SearchStrategy[Credential] = st.one_of(
    st.just(Anonymous()),
    st.builds(UsernameAndToken, texts),
    st.builds(GoogleServiceAccount, texts, texts),
    st.builds(EcrRole, texts, texts, texts, st.one_of(st.none(), texts), st.booleans()),
)
connection_documents = st.builds(
    ConnectionDocument,
    host=registry_hosts,
    credential=credentials,
    connected_by=texts,
    connected_at=moments,
    repository_prefix=st.one_of(st.none(), repository_names),
    auth_realms=st.lists(texts, max_size=2).map(tuple),
    repositories=st.lists(repository_patterns, max_size=2).map(tuple),
    fleets=st.lists(texts, max_size=2).map(tuple),
    plain_http=st.booleans(),
    referrers=st.booleans(),
    allowed_networks=st.lists(networks, max_size=2).map(tuple),
    ca_certificate=st.one_of(st.none(), texts),
    secret=st.one_of(st.none(), secret_references),
)

uuids = st.uuids().map(lambda made: UUID(int=made.int))
generations = st.integers(1, MAX_GENERATION)
_device_subjects = st.one_of(
    st.fixed_dictionaries({"device": texts}),
    st.fixed_dictionaries({"serial": texts}, optional={"issuer": texts}),
)
statements = st.one_of(
    st.builds(
        ConnectionApproval,
        connection_id=uuids,
        document=texts,
        fingerprint=texts,
        approved_by=texts,
        approved_at=moments,
        generation=generations,
        expires_at=st.one_of(st.none(), moments),
        sealed_secret=st.one_of(st.none(), st.binary()),
    ),
    st.builds(
        ConnectionRevocation,
        connection_id=uuids,
        revoked_by=texts,
        revoked_at=moments,
        generation=generations,
        reason=texts,
    ),
    st.builds(
        lambda subject, **fields: DeviceRevocation(**subject, **fields),
        _device_subjects,
        revocation_id=uuids,
        revoked_by=texts,
        revoked_at=moments,
        generation=generations,
        reason=texts,
    ),
    st.builds(
        lambda subject, **fields: DeviceLifting(**subject, **fields),
        _device_subjects,
        revocation_id=uuids,
        lifted_by=texts,
        lifted_at=moments,
        generation=generations,
    ),
    st.builds(
        Operator,
        name=texts,
        role=texts,
        token_sha256=texts,
        issued_by=texts,
        issued_at=moments,
        generation=generations,
        expires_at=st.one_of(st.none(), moments),
    ),
    st.builds(
        OperatorRemoval, name=texts, removed_by=texts, removed_at=moments, generation=generations
    ),
    st.builds(
        AuditEntry,
        generation=generations,
        previous=texts,
        at=moments,
        actor=texts,
        action=texts,
        about=texts,
        about_generation=st.one_of(st.none(), generations),
        details=st.dictionaries(texts, texts, max_size=3),
    ),
    st.builds(
        AuditCheckpoint,
        generation=generations,
        entry=texts,
        heads_sha256=texts,
        heads_bytes=st.integers(0, 2**53 - 1),
        made_at=moments,
    ),
)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)
