"""One connection's way to its registry: manifests and blobs, with the credential where it belongs.

Each request is built from an allow-list of headers, logs in once if the registry asks for it, and
follows redirects by hand (`redirect_chain`).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final, Self, assert_never

import aiohttp
from attrs import evolve
from yarl import URL

from shared.oci import MANIFEST_MEDIA_TYPES, OCI_INDEX, TAG, Digest, Kind, RepositoryName
from shared.secret import Secret
from shared.upstream.answer import (
    UpstreamAnswer,
    partial_answer,
    probed_answer,
    refused_range,
    require_identity,
    suffix_answer,
    whole_answer,
    whole_partial_answer,
    whole_total,
)
from shared.upstream.asked_range import WHOLE, AskedRange
from shared.upstream.authorization import Authorizer, OneShotAuthorizer
from shared.upstream.body_reading import close_response, read_bounded, read_rest
from shared.upstream.challenge import BasicChallenge, BearerChallenge, preferred
from shared.upstream.errors import (
    ChallengeError,
    CredentialRefusedError,
    GoneError,
    NotInRegistryError,
    PolicyDeniedError,
    RealmNotAllowedError,
    UnexpectedAnswerError,
    UpstreamError,
)
from shared.upstream.hosts import upstream_repository
from shared.upstream.login import Login, asks_for_login, challenges_of
from shared.upstream.ping_answer import PingAnswer
from shared.upstream.redirect_chain import Hop, follow
from shared.upstream.referrers import ListAnswer, UnknownRouteError, is_unknown_route
from shared.upstream.scope import Scope
from shared.upstream.status import SUCCESSES
from shared.upstream.tags import MAX_TAG_PAGE_BYTES, TAGS_OF_A_PAGE, TagPage, read_tag_page
from shared.upstream.target import UpstreamTarget
from shared.upstream.transport import Method, Timeouts, UpstreamTransport, leave_connection

FIRST_BYTE: Final = {"Range": "bytes=0-0"}  # asks for the size of what has no HEAD

# A store may refuse a HEAD and still give the content: its link is signed for GET, or it has no
# HEAD.
_DOUBTFUL_HEAD_STATUSES: Final = frozenset({401, 403, 404, 405})


class RegistryClient:
    """Fetches from one registry. Its transport and authorizer belong to one connection."""

    def __init__(self, transport: UpstreamTransport, authorizer: Authorizer) -> None:
        self._transport = transport
        self._authorizer: Authorizer = authorizer

    @classmethod
    async def create(
        cls,
        target: UpstreamTarget,
        authorizer: Authorizer,
        *,
        transport: UpstreamTransport | None = None,
        timeouts: Timeouts | None = None,
    ) -> Self:
        """Return a client; an authorizer that mints through the same session brings `transport`."""
        if transport is None:
            transport = await UpstreamTransport.open(target, timeouts=timeouts)
        return cls(transport, authorizer)

    async def close(self) -> None:
        """Close the session and end what is being minted; bodies that are being read break."""
        authorizer = self._authorizer
        # One that mints through this client would hold it, and be held, until the garbage collector
        # has looked at everything.
        self._authorizer = OneShotAuthorizer(self._transport, None)
        authorizer.close()
        await self._transport.close()

    @asynccontextmanager
    async def fetch(
        self,
        kind: Kind,
        repository: RepositoryName,
        reference: str | Digest,
        asked: AskedRange = WHOLE,
        *,
        method: Method = "GET",
    ) -> AsyncIterator[UpstreamAnswer]:
        """Give the answer for a manifest or blob, or for a range of it.

        If less than the whole is asked for, a registry may still answer 200 with the whole, or give
        only the beginning of the range. If the body was not read to its end, leaving closes its
        connection.
        Raises `UpstreamError`; `RangeRefusedError` if only the range is in the way.
        """
        name = upstream_repository(self._transport.target.host, repository)
        url = self._url(f"/v2/{name}/{kind.value}/{_reference(reference)}")
        headers = {"Accept": _accept(kind)}
        if (byte_range := asked.header) is not None:
            headers["Range"] = byte_range
        with Login(self._authorizer, Scope.pull(name)) as login:
            hop = await self._send(method, url, headers, login, kind)
        try:
            answer = _read_answer(hop.response, method, asked)
            if method == "HEAD":
                answer.require_claim()
            patience = self._transport.timeouts.patience(kind)
            yield evolve(answer, patience=patience, clock=self._transport.clock)
        finally:
            close_response(hop.response)

    def first_tag_page(self, repository: RepositoryName) -> URL:
        """Return where the list of a repository's tags begins."""
        name = upstream_repository(self._transport.target.host, repository)
        return self._url(f"/v2/{name}/tags/list").with_query(n=TAGS_OF_A_PAGE)

    async def tag_page(self, repository: RepositoryName, page: URL | None = None) -> TagPage:
        """Return the first page of a repository's tags, or one that another page named.

        Raises `UpstreamError`.
        """
        name = upstream_repository(self._transport.target.host, repository)
        url = page or self.first_tag_page(repository)
        accept = {"Accept": "application/json"}
        with Login(self._authorizer, Scope.pull(name)) as login:
            hop = await self._send("GET", url, accept, login, Kind.MANIFEST)
        try:
            require_identity(hop.response.headers)
            patience = self._transport.timeouts.patience(Kind.MANIFEST)
            body = await read_bounded(
                hop.response, MAX_TAG_PAGE_BYTES, patience, self._transport.clock
            )
            links = hop.response.headers.getall("Link", ())
            return read_tag_page(body, hop.response.url, links, registry=url)
        finally:
            close_response(hop.response)

    @asynccontextmanager
    async def fetch_referrers(
        self, repository: RepositoryName, subject: Digest, page: URL | None = None
    ) -> AsyncIterator[ListAnswer]:
        """Give the answer with the first page of what refers to a digest, or with another page.

        Raises `UpstreamError`; `UnknownRouteError` if the registry has no such route.
        """
        name = upstream_repository(self._transport.target.host, repository)
        url = page or self._url(f"/v2/{name}/referrers/{subject}")
        with Login(self._authorizer, Scope.pull(name)) as login:
            try:
                hop = await self._send("GET", url, {"Accept": OCI_INDEX}, login, Kind.MANIFEST)
            except UpstreamError as error:
                if page is None and is_unknown_route(error):
                    raise _unknown_route(error) from None
                raise
        try:
            response = hop.response
            answer = _read_answer(response, "GET", WHOLE)
            patience = self._transport.timeouts.patience(Kind.MANIFEST)
            yield ListAnswer(
                evolve(answer, patience=patience, clock=self._transport.clock),
                url,
                response.url,
                tuple(response.headers.getall("Link", ())),
            )
        finally:
            close_response(hop.response)

    async def ping(self, authorization: Secret | None = None) -> PingAnswer:
        """Ask `GET /v2/` with what is given, and nothing else; a refusal is an answer too."""
        hop = await follow(
            self._transport, "GET", self._url("/v2/"), {"Accept": "*/*"}, authorization
        )
        try:
            return PingAnswer.of(hop)
        finally:
            close_response(hop.response)

    async def prove(self, authorization: Secret) -> None:
        """Show a credential to `GET /v2/`; raise `CredentialRefusedError` if it is a wrong one.

        A registry that answers in any other way than one that wants Basic proves nothing.
        """
        try:
            ping = await self.ping(authorization)
        except (
            CredentialRefusedError,
            GoneError,
            NotInRegistryError,
            PolicyDeniedError,
            UnexpectedAnswerError,
        ):
            return  # a 403 is about rights
        wants_a_token = isinstance(preferred(ping.challenges), BearerChallenge)
        if not ping.is_open and not wants_a_token:
            raise CredentialRefusedError("the registry refuses the credential", status=401)

    async def login_of_strangers(self) -> BearerChallenge | None:
        """Return the token endpoint that `GET /v2/` names to a stranger; None if it names none.

        Raises `UpstreamError`.
        """
        challenge = preferred((await self.ping()).challenges)
        return challenge if isinstance(challenge, BearerChallenge) else None

    async def is_closed_to_strangers(self) -> bool:
        """Tell whether `GET /v2/` without a credential is answered with a challenge for Basic.

        If so, a credential that `prove` accepted is right.
        """
        try:
            ping = await self.ping()
        except UpstreamError:
            return False
        return not ping.is_open and isinstance(preferred(ping.challenges), BasicChallenge)

    def _url(self, path: str) -> URL:
        return self._transport.target.endpoint.with_path(path, encoded=True)

    async def _send(
        self, method: Method, url: URL, headers: dict[str, str], login: Login, kind: Kind
    ) -> Hop:
        """Return an answer of success; log in once if the registry asks for it."""
        hop = await follow(self._transport, method, url, headers, await login.authorization())
        self._leave_a_bad_node(hop)
        try:
            probes = method == "HEAD" and kind is Kind.BLOB
            if not (probes and _is_doubtful(hop, login)) and await _may_log_in(hop, login):
                close_response(hop.response)
                await login.answer(hop.response)
                hop = await follow(
                    self._transport, method, url, headers, await login.authorization()
                )
            if probes and _is_doubtful(hop, login):
                close_response(hop.response)
                return await self._send("GET", url, headers | FIRST_BYTE, login, kind)
            if not _is_success(hop.response, headers.get("Range")):
                await read_rest(hop.response)
                raise hop.refusal()
            login.worked()
        except BaseException:  # whatever ends this, cancellation included, ends the response too
            close_response(hop.response)
            raise
        return hop

    def _leave_a_bad_node(self, hop: Hop) -> None:
        """Keep no connection to a node whose login leads nowhere.

        The next request makes another, which a load balancer may give to another node.
        """
        is_refusal = hop.is_registry and hop.response.status == HTTPStatus.UNAUTHORIZED
        if is_refusal and not _leads_somewhere(hop.response, self._transport.target):
            leave_connection(hop.response)


def _reference(reference: str | Digest) -> str:
    if isinstance(reference, str) and not TAG.fullmatch(reference):
        raise ValueError("a reference is a digest or a tag")
    return str(reference)


def _unknown_route(answered: UpstreamError) -> UnknownRouteError:
    error = UnknownRouteError("the registry does not list referrers")
    error.at_store, error.at_registry = answered.at_store, answered.at_registry
    return error


def _accept(kind: Kind) -> str:
    match kind:
        case Kind.MANIFEST:
            return ", ".join(MANIFEST_MEDIA_TYPES)
        case Kind.BLOB:
            return "*/*"
        case _ as unreachable:
            assert_never(unreachable)


async def _may_log_in(hop: Hop, login: Login) -> bool:
    """Tell whether this is the registry's first refusal, and whether a login may mend it."""
    return not login.has_answered and hop.is_registry and await asks_for_login(hop.response)


def _leads_somewhere(response: aiohttp.ClientResponse, target: UpstreamTarget) -> bool:
    """Tell whether a 401 asks for a login that we can answer. To a HEAD it need not."""
    try:
        challenge = preferred(challenges_of(response))
        if isinstance(challenge, BearerChallenge):
            target.require_realm(challenge.realm)
    except (ChallengeError, RealmNotAllowedError):
        return False
    return challenge is not None or response.method == "HEAD"


def _is_doubtful(hop: Hop, login: Login) -> bool:
    """Tell whether the refusal of a blob's HEAD may hide a blob that GET gives.

    A store's refusal always may. So may Harbor's 404 of its proxy projects, a 401 to a token that
    was just minted (public.ecr.aws), and a 403 or 400 whose text a HEAD does not carry (Amazon's
    words for a stale token).
    """
    match hop.response.status:
        case 401 if hop.is_registry:
            return login.has_bearer
        case 400 | 403 if hop.is_registry:
            return not login.has_answered
        case status:
            return status in _DOUBTFUL_HEAD_STATUSES


def _is_success(response: aiohttp.ClientResponse, byte_range: str | None) -> bool:
    match response.status:
        case status if status in SUCCESSES:
            return True
        case 206 if whole_total(response.headers) is not None:
            return True
        case 206 | 416:  # the latter is an answer, too: it is there, but not that range of it
            return byte_range is not None
        case _:
            return False


def _read_answer(
    response: aiohttp.ClientResponse, method: Method, asked: AskedRange
) -> UpstreamAnswer:
    if method == "HEAD" and response.method == "GET":
        return probed_answer(response)
    match response.status:
        case HTTPStatus.PARTIAL_CONTENT if asked.last_bytes is not None:
            return suffix_answer(response, asked.last_bytes)
        case HTTPStatus.PARTIAL_CONTENT if not asked.is_whole:
            return partial_answer(response, asked.first_byte, asked.last_byte)
        case HTTPStatus.PARTIAL_CONTENT:  # as some proxies answer, whatever they are asked
            return whole_partial_answer(response, with_body=method == "GET")
        case HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise refused_range(response)
        case _:
            return whole_answer(response, with_body=method == "GET")
