"""What `GET /v2/` says: whether a registry is open to what was sent, or how it wants a login."""

from http import HTTPStatus
from typing import Self

from attrs import frozen

from shared.upstream.answer import media_types
from shared.upstream.challenge import Challenge
from shared.upstream.errors import UnexpectedAnswerError
from shared.upstream.login import challenges_of
from shared.upstream.redirect_chain import Hop
from shared.upstream.status import SUCCESSES


@frozen
class PingAnswer:
    """Open to what was sent, or a login is asked for."""

    is_open: bool
    challenges: tuple[Challenge, ...] = ()

    @classmethod
    def of(cls, hop: Hop) -> Self:
        """Return what an answer says; raise `UpstreamError` if it is no registry's."""
        response = hop.response
        if not hop.is_registry:
            # If the registry redirects everybody (registry.k8s.io), it asks nobody to log in.
            return cls(is_open=True)
        if response.status == HTTPStatus.UNAUTHORIZED:
            return cls(is_open=False, challenges=challenges_of(response))
        if response.status not in SUCCESSES:
            raise hop.refusal()
        # Quay's own answer is `true` as text/html, so the header alone tells it from a web page.
        if (
            "text/html" in media_types(response.headers)
            and "Docker-Distribution-API-Version" not in response.headers
        ):
            raise UnexpectedAnswerError("the host answers with a web page, not as a registry")
        return cls(is_open=True)
