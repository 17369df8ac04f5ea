"""How a registry is asked what refers to a digest, and what says that it cannot tell. Pure.

<https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#listing-referrers>
"""

from typing import Final

from attrs import frozen
from yarl import URL

from shared.oci import Digest
from shared.upstream.answer import UpstreamAnswer
from shared.upstream.errors import (
    GoneError,
    NotInRegistryError,
    ServerError,
    UnexpectedStatusError,
    UpstreamError,
)

# Registries without this route answer 404. Artifactory answers 406 and Quay 400, and proxies 405 or
# 501, if it is unknown to them (google/go-containerregistry#1962, quay/quay#3071).
UNKNOWN_ROUTE_STATUSES: Final = frozenset({400, 405, 406, 501})
_ALGORITHM_CHARACTERS: Final = 32  # section "Referrers Tag Schema": a tag has 128 characters
_HEX_CHARACTERS: Final = 64


class UnknownRouteError(NotInRegistryError):
    """The registry has no route for referrers. It may list them under a tag."""


@frozen
class ListAnswer:
    """An answer of the route, with what says where the next page is.

    `asked` is the registry's own URL, which was shown the credential. `url` is where the page came
    from: it is another one if the registry redirected. `links` are its `Link` headers.
    """

    answer: UpstreamAnswer
    asked: URL
    url: URL
    links: tuple[str, ...]


def referrers_tag(subject: Digest) -> str:
    """Return the tag under which clients list referrers where the registry has no route for it.

    It may stand for several long digests.
    """
    return f"{subject.algorithm[:_ALGORITHM_CHARACTERS]}-{subject.hex[:_HEX_CHARACTERS]}"


def is_unknown_route(error: UpstreamError) -> bool:
    """Tell whether an answer says that there is no such route, rather than that something fails."""
    match error:
        case NotInRegistryError() | GoneError():
            return True
        case UnexpectedStatusError(status=status) | ServerError(status=status):
            return status in UNKNOWN_ROUTE_STATUSES
        case _:
            return False
