"""One request, and the redirects behind it, followed by hand to the answer at their end.

The credential goes to the registry's own origin alone; once it is dropped in a chain of redirects,
it does not come back. Where a redirect may lead is judged in `redirect`.
"""

from collections.abc import Mapping

import aiohttp
from attrs import frozen
from yarl import URL

from shared.secret import Secret
from shared.upstream.body_reading import leave, within
from shared.upstream.errors import UpstreamError
from shared.upstream.redirect import REDIRECT_STATUSES, next_hop, origin
from shared.upstream.status import error_of_status
from shared.upstream.transport import Method, UpstreamTransport


@frozen
class Hop:
    """The answer at the end of a chain of redirects."""

    response: aiohttp.ClientResponse
    is_registry: bool  # of the registry's own origin, so that its refusals are about our credential
    is_store: bool  # of another origin; neither holds if a store sent us back without a credential

    def refusal(self) -> UpstreamError:
        """Return the error of an answer that is no success."""
        error = error_of_status(self.response, is_registry=self.is_registry)
        error.at_store, error.at_registry = self.is_store, self.is_registry
        return error


async def follow(
    transport: UpstreamTransport,
    method: Method,
    url: URL,
    headers: Mapping[str, str],
    authorization: Secret | None,
) -> Hop:
    """Return the answer at the end of the redirects; its status may be any but a redirect's."""
    async with within(transport.timeouts.chain_seconds):
        return await _follow_each(transport, method, url, headers, authorization)


async def _follow_each(
    transport: UpstreamTransport,
    method: Method,
    url: URL,
    headers: Mapping[str, str],
    authorization: Secret | None,
) -> Hop:
    registry = origin(url)
    is_registry = True
    followed = 0
    while True:
        try:
            response = await transport.send(
                method,
                url,
                headers=headers,
                authorization=authorization if is_registry else None,
            )
        except UpstreamError as error:
            error.at_registry = is_registry
            raise
        if response.status not in REDIRECT_STATUSES:
            return Hop(response, is_registry, is_store=origin(url) != registry)
        await leave(response)
        url = next_hop(
            url,
            response.headers.get("Location"),
            rule=transport.target.egress_rule,
            followed=followed,
        )
        followed += 1
        is_registry = is_registry and origin(url) == registry
