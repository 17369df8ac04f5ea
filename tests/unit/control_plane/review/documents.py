"""Documents of connections, as tests of reviews want them."""

from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

from control_plane.connections.revision import RevisionLabels
from control_plane.review.document_lines import ReviewedTerms
from control_plane.review.review import DocumentReview, review_of
from shared.connection import (
    ConnectionDocument,
    Credential,
    EcrRole,
    SealedSecretReference,
    UsernameAndToken,
)
from shared.oci import RepositoryName
from shared.registry_host import RegistryHost
from shared.repository_pattern import RepositoryPattern

AT = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
SECRET = SealedSecretReference(version=1, key_id="0123456789abcdef", suite="HPKE", sha256="ab" * 32)
ROLE = EcrRole(
    "arn:aws:iam::123456789012:role/facade",
    "123456789012",
    "eu-central-1",
    external_id="an-external-id",
)


def document(
    host: str = "registry.example",
    credential: Credential | None = None,
    *,
    prefix: str = "team",
    repositories: tuple[str, ...] = ("team/app",),
    networks: tuple[str, ...] = (),
    **fields: Any,
) -> ConnectionDocument:
    """Return a document of which nothing stands out, but for what is given."""
    login = credential or UsernameAndToken("robot")
    given = {
        "fleets": ("line-a",),
        "secret": SECRET if isinstance(login, UsernameAndToken) else None,
        "connected_by": "alice",
        "connected_at": AT,
        **fields,
    }
    return ConnectionDocument(
        RegistryHost.parse(host),
        login,
        repository_prefix=RepositoryName.parse(prefix) if prefix else None,
        repositories=tuple(map(RepositoryPattern.parse, repositories)),
        allowed_networks=tuple(map(ip_network, networks)),
        **given,
    )


def terms(
    made: ConnectionDocument,
    *,
    set_name: str | None = None,
    secret_label: str | None = None,
    ends: datetime | None = None,
) -> ReviewedTerms:
    """Return what one approval approves."""
    return ReviewedTerms(made, RevisionLabels(set_name, secret_label, ends))


def review(made: ConnectionDocument, serving: ConnectionDocument | None = None) -> DocumentReview:
    """Return the review of a document without labels."""
    return review_of(terms(made), terms(serving) if serving else None, AT)
