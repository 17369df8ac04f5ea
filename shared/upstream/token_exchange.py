"""The distribution token endpoint: a GET with Basic for a Bearer token, its redirects followed.

<https://distribution.github.io/distribution/spec/auth/token/>
"""

import math
import re
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import ClientResponse
from attrs import frozen
from yarl import URL

from shared.outside_bytes import Party, reads_bytes_of
from shared.secret import Secret
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.body_reading import close_response, leave, read_bounded, within
from shared.upstream.challenge import BearerChallenge
from shared.upstream.errors import (
    CredentialRefusedError,
    NotNowError,
    PolicyDeniedError,
    RateLimitedError,
    RealmNotAllowedError,
    RedirectRefusedError,
    ServerError,
    Step,
    TokenExchangeError,
    UnexpectedAnswerError,
    UpstreamTimeoutError,
)
from shared.upstream.patience import Deadline
from shared.upstream.redirect import REDIRECT_STATUSES, next_hop, origin
from shared.upstream.retry_after import retry_after_seconds
from shared.upstream.scope import Scope
from shared.upstream.status import (
    FIRST_SERVER_ERROR,
    NOT_NOW_STATUSES,
    POLICY_STATUSES,
    SUCCESSES,
)
from shared.upstream.target import UpstreamTarget
from shared.upstream.transport import UpstreamTransport

MAX_TOKEN_RESPONSE_BYTES: Final = 64 * 1024  # go-containerregistry's cap
# Tokens have 1 to 4 KiB, those of a user in many groups 8; it is one header field of each request.
MAX_TOKEN_BYTES: Final = 16 * 1024
DEFAULT_LIFETIME_SECONDS: Final = 60.0  # the specification's, if `expires_in` is missing
MAX_LIFETIME_SECONDS: Final = 12 * 3600.0  # Amazon's, the longest known; none is believed longer

_TOKEN: Final = re.compile(r"[!-~]+", re.ASCII)  # visible, so that it cannot end a header


@frozen
class AccessToken:
    """A Bearer token and how long it may be used from now, on a monotonic clock."""

    secret: Secret
    lifetime_seconds: float


async def exchange(
    transport: UpstreamTransport,
    challenge: BearerChallenge,
    scope: Scope | None,
    basic: BasicCredential | None,
) -> AccessToken:
    """Return a token from the challenge's realm; anonymously without a credential.

    Without a scope the endpoint judges the credential alone, as when a login is tried.

    The realm is checked against the connection's rule first. Nothing is sent to a realm outside the
    rule, nor to one that a redirect leads to. Raises `RealmNotAllowedError`,
    `RedirectRefusedError`, `CredentialRefusedError`, `PolicyDeniedError`, `RateLimitedError`,
    `NotNowError`, `ServerError` (all of the step `exchange`), `TokenExchangeError`, or what the
    transport raises.
    """
    realm = transport.target.require_realm(challenge.realm)
    url = _with_parameters(realm.url, challenge.service, scope)
    try:
        async with within(transport.timeouts.chain_seconds):
            response = await _follow(transport, url, basic)
        try:
            return await _read_answer(transport, response)
        finally:
            close_response(response)
    except (UpstreamTimeoutError, UnexpectedAnswerError, RedirectRefusedError) as error:
        error.step = Step.EXCHANGE  # the transport only knows that it sent a request
        raise


async def _follow(
    transport: UpstreamTransport, url: URL, basic: BasicCredential | None
) -> ClientResponse:
    """Return the answer at the end of the redirects; each hop is shown the credential.

    So each must be one that may see it. skopeo and containerd follow these redirects too.
    """
    authorization = basic.authorization() if basic else None
    followed = 0
    while True:
        response = await transport.send(
            "GET", url, headers={"Accept": "application/json"}, authorization=authorization
        )
        if response.status not in REDIRECT_STATUSES:
            return response
        await leave(response)
        url = next_realm(url, response.headers.get("Location"), transport.target, followed)
        followed += 1


def next_realm(current: URL, location: str | None, target: UpstreamTarget, followed: int) -> URL:
    """Return where a token endpoint's redirect leads, verbatim.

    That is the same origin, or a realm that the connection's rule allows; never from https to http.
    Raises `RedirectRefusedError` and `RealmNotAllowedError`. The query is the endpoint's own: the
    endpoint decides which of our parameters it repeats.
    """
    following = next_hop(current, location, rule=target.egress_rule, followed=followed)
    if current.scheme == "https" and following.scheme != "https":
        raise RedirectRefusedError("the token endpoint redirects from https to http")
    if origin(following) != origin(current):
        realm = str(following.with_query(None))  # a query may hold what nobody is to be shown
        try:
            target.require_realm(realm)
        except RealmNotAllowedError as error:
            message = "the token endpoint redirects to one that is not allowed to the registry"
            raise RealmNotAllowedError(error.realm, entry=error.entry, message=message) from None
    return following


@reads_bytes_of(Party.REGISTRY)
def access_token(body: bytes | None, status: int) -> AccessToken:
    """Return the token of a token endpoint's answer; a body of None was longer than the bound.

    Raises `TokenExchangeError`, which quotes nothing of the body.
    """
    if body is None:
        raise _no_token("the token endpoint answers more than a token", status)
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _no_token("the token endpoint does not answer in JSON", status) from None
    token = answer.get("token") or answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise _no_token("the token endpoint answers without a token", status)
    if len(token) > MAX_TOKEN_BYTES:
        raise _no_token("the token endpoint gives a token of more than 16 KiB", status)
    return AccessToken(Secret(token), token_lifetime(answer, datetime.now(UTC)))


def token_lifetime(body: dict[str, Any], now: datetime) -> float:
    """Return for how many seconds from `now` a token answer holds; always more than 0.

    No or no sensible `expires_in` means 60 s. `issued_at` shortens that only if it makes sense. If
    it is missing, in the future, or so old that the new token would have expired, it means now
    (goharbor/harbor#23753: a token that was taken for expired caused a login for every request).
    """
    lifetime = _expires_in(body.get("expires_in"))
    age = (now - _issued_at(body.get("issued_at"), now)).total_seconds()
    remaining = lifetime - age if 0 < age < lifetime else lifetime
    return min(remaining, MAX_LIFETIME_SECONDS)


def _with_parameters(realm: URL, service: str | None, scope: Scope | None) -> URL:
    """Return the realm with our parameters behind its own query."""
    parameters = {"service": service, "scope": scope.parameter if scope else None}
    return realm.extend_query([(name, value) for name, value in parameters.items() if value])


async def _read_answer(transport: UpstreamTransport, response: ClientResponse) -> AccessToken:
    _require_success(response)
    timeouts = transport.timeouts
    patience = Deadline(timeouts.token_seconds, timeouts.stall_seconds)
    body = await read_bounded(response, MAX_TOKEN_RESPONSE_BYTES, patience, transport.clock)
    return access_token(body, response.status)


def _require_success(response: ClientResponse) -> None:
    retry_after = retry_after_seconds(response.headers)
    match response.status:
        case status if status in SUCCESSES:
            return
        case 401 | 403 as status:
            raise CredentialRefusedError(
                "the token endpoint refuses the credential", status=status, step=Step.EXCHANGE
            )
        case status if status in POLICY_STATUSES:
            raise PolicyDeniedError(status, step=Step.EXCHANGE)
        case HTTPStatus.TOO_MANY_REQUESTS:
            raise RateLimitedError(retry_after=retry_after, step=Step.EXCHANGE)
        case status if status in NOT_NOW_STATUSES:
            raise NotNowError(status, retry_after=retry_after, step=Step.EXCHANGE)
        case status if status >= FIRST_SERVER_ERROR:
            raise ServerError(status, retry_after=retry_after, step=Step.EXCHANGE)
        case status:  # 404 and 410 too: the endpoint is not there; that says nothing of the content
            raise _no_token(f"the token endpoint answers {status}", status)


def _expires_in(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return DEFAULT_LIFETIME_SECONDS
    return float(value) if math.isfinite(value) and value > 0 else DEFAULT_LIFETIME_SECONDS


def _issued_at(value: object, now: datetime) -> datetime:
    try:
        issued_at = datetime.fromisoformat(value) if isinstance(value, str) else now
    except ValueError:
        return now
    return issued_at if issued_at.tzinfo else issued_at.replace(tzinfo=UTC)


def _no_token(message: str, status: int) -> TokenExchangeError:
    return TokenExchangeError(message, status=status)
