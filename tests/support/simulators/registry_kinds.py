"""Simulated registries: a class for each that does something in its own way.

They have their well-known names: a test's name service or proxy leads there.
"""

import re
import ssl

from typing_extensions import override

from tests.support.simulators.behaviour import Answers
from tests.support.simulators.body import StoredContent, write_plain
from tests.support.simulators.login import BasicLogin, BearerLogin, Login, basic_header
from tests.support.simulators.registry import RegistrySimulator
from tests.support.simulators.registry_logins import TokenEndpoint, repository_of
from tests.support.simulators.signed_store import SignedStore
from tests.support.simulators.wire import RecordedRequest, Wire, WireServer

JSON = ("Content-Type", "application/json; charset=utf-8")
API_VERSION = ("Docker-Distribution-API-Version", "registry/2.0")


class WellKnownRegistry(RegistrySimulator):
    """A registry whose URLs name no port. With a `store`, it redirects there for blobs."""

    def __init__(
        self,
        name: str,
        *,
        tls: ssl.SSLContext,
        login: Login | None = None,
        store: SignedStore | None = None,
        redirect_status: int = 307,
    ) -> None:
        super().__init__(login=login, tls=tls, name=name)
        self.store = store
        self._redirect_status = redirect_status

    @property
    @override
    def authority(self) -> str:
        """The name alone."""
        return self._name

    @override
    async def give(self, stored: StoredContent, request: RecordedRequest, wire: Wire) -> None:
        """Redirect for a blob, if there is a store."""
        if self.store is None or "/blobs/" not in request.path:
            await super().give(stored, request, wire)
            return
        location = ("Location", self.store.sign(stored.content, get=stored.get))
        cookie = ("Set-Cookie", "SESSION=canary-cookie; Secure; HttpOnly")
        page = b"<a>Temporary Redirect</a>"
        await self.answer(request, wire, self._redirect_status, page, location, cookie)


class WellKnownStore(SignedStore):
    """A store whose URLs name no port."""

    @property
    @override
    def authority(self) -> str:
        """The name alone."""
        return self._name


class TokenServer(WireServer):
    """A token endpoint on a host of its own, as `auth.docker.io` is."""

    def __init__(self, login: BearerLogin, *, tls: ssl.SSLContext) -> None:
        super().__init__(tls=tls)
        self.login = login

    @override
    async def respond(self, request: RecordedRequest, wire: Wire) -> None:
        """Give tokens."""
        if request.path != self.login.path:
            await write_plain(wire, 404)
            return
        status, headers, body = self.login.token_answer(request)
        await write_plain(wire, status, body, headers)


class DockerHub(WellKnownRegistry):
    """`registry-1.docker.io`: a manifest's GET counts against a limit, its HEAD does not.

    `omits_challenge`: a stale token is a 401 with nothing besides (docker/hub-feedback#2530).
    A Host with a port in it is answered 503 (docker/hub-feedback#1956).
    """

    limit = 10_000
    pulled = 0
    omits_challenge = False

    @override
    async def respond(self, request: RecordedRequest, wire: Wire) -> None:
        """Be unavailable under another Host."""
        if request.header("Host") != self._name:
            await self.answer(request, wire, 503, b"upstream text")
        else:
            await super().respond(request, wire)

    @override
    async def give(self, stored: StoredContent, request: RecordedRequest, wire: Wire) -> None:
        """Count manifests."""
        if "/manifests/" not in request.path:
            await super().give(stored, request, wire)
            return
        self.pulled += request.method == "GET"
        left = self.limit - self.pulled
        told = (
            ("ratelimit-limit", f"{self.limit};w=21600"),
            ("ratelimit-remaining", f"{max(left, 0)};w=21600"),
            ("docker-ratelimit-source", "203.0.113.7"),
        )
        if left < 0:
            body = b'{"errors":[{"code":"TOOMANYREQUESTS","message":"upstream text"}]}'
            await self.answer(request, wire, 429, body, *told, ("Retry-After", "17"))
            return
        described = (("Content-Type", stored.media_type), ("Docker-Content-Digest", stored.digest))
        await self.answer(request, wire, 200, stored.content, *described, *told)

    @override
    def challenges(self, request: RecordedRequest) -> tuple[str, ...]:
        """Name the realm, with the scope that the request needs."""
        if self.omits_challenge and request.header("Authorization"):
            return ()
        return tuple(
            f'{value},scope="repository:{repository_of(request.path)}:pull"'
            for value in super().challenges(request)
        )


class AzureRegistry(WellKnownRegistry):
    """`<name>.azurecr.io`: says beside the challenge what was wrong with the token."""

    @override
    def challenges(self, request: RecordedRequest) -> tuple[str, ...]:
        """Add the error."""
        error = ',error="invalid_token"' if request.header("Authorization") else ""
        return tuple(f"{value}{error}" for value in super().challenges(request))


class Harbor(WellKnownRegistry):
    """A missing repository is 401, and a blob of a proxy project has no HEAD until it came once."""

    @override
    async def give(self, stored: StoredContent, request: RecordedRequest, wire: Wire) -> None:
        """Deny a proxy project's blob to HEAD (goharbor/harbor#22609)."""
        if request.method == "HEAD" and "/blobs/" in request.path:
            await self.answer(request, wire, 404, b"")
        else:
            await super().give(stored, request, wire)

    @override
    async def miss(self, request: RecordedRequest, wire: Wire) -> None:
        """Call a missing repository unauthorized (goharbor/harbor#22363)."""
        known = {repository_of(path) for path in self._contents}
        if repository_of(request.path) in known:
            await super().miss(request, wire)
        else:
            await self.refuse(request, wire)


class Artifactory(WellKnownRegistry):
    """One host, several repositories, each with a token endpoint of its own.

    Tokens of one repository's endpoint are worth nothing at another.
    """

    _REALM = re.compile(r"/artifactory/api/docker/(?P<key>[a-z0-9-]+)/v2/token")

    @override
    async def respond(self, request: RecordedRequest, wire: Wire) -> None:
        """Give tokens under every repository's key."""
        assert isinstance(self.login, TokenEndpoint)
        match = self._REALM.fullmatch(request.path)
        if match is None:
            await super().respond(request, wire)
            return
        known = set(self.login.tokens)
        status, headers, body = self.login.token_answer(request)
        for token in self.login.tokens.keys() - known:
            expiry, scopes = self.login.tokens[token]
            own = tuple(s for s in scopes if s.startswith(f"repository:{match['key']}/"))
            self.login.tokens[token] = (expiry, own)
        await write_plain(wire, status, body, headers)

    @override
    def challenges(self, request: RecordedRequest) -> tuple[str, ...]:
        """Name the repository's endpoint with its port; `null` if no repository is asked for."""
        key = (repository_of(request.path) or "null").partition("/")[0]
        realm = f"https://{self._name}:443/artifactory/api/docker/{key}/v2/token"
        return (f'Bearer realm="{realm}",service="{self._name}:443"',)


class ElasticContainerRegistry(WellKnownRegistry):
    """Amazon ECR: an expired token is 403 in plain text."""

    def __init__(
        self, name: str, *, tls: ssl.SSLContext, login: BasicLogin, store: SignedStore
    ) -> None:
        super().__init__(name, tls=tls, login=login, store=store)
        self._expired: set[str] = set()

    def expire(self, new_password: str) -> None:
        """Let the token expire; another is good from now on."""
        assert isinstance(self.login, BasicLogin)
        self._expired.add(basic_header(self.login.username, self.login.password))
        self.login = BasicLogin(self.login.username, new_password, self.login.challenge)

    @override
    async def refuse(self, request: RecordedRequest, wire: Wire) -> None:
        """Tell an expired token so (awslabs/amazon-ecr-credential-helper#7)."""
        if request.header("Authorization") not in self._expired:
            await super().refuse(request, wire)
            return
        text = (
            b"Your Authorization Token has expired. Please run 'aws ecr get-login"
            b" --no-include-email' to fetch a new one."
        )
        await self.answer(request, wire, 403, text, ("Content-Type", "text/plain; charset=utf-8"))


class PublicElasticContainerRegistry(WellKnownRegistry):
    """`public.ecr.aws`: no HEAD of blobs, and 400 for a token that it does not know."""

    @override
    async def give(self, stored: StoredContent, request: RecordedRequest, wire: Wire) -> None:
        """Refuse the HEAD of a blob (distribution/distribution#4383)."""
        if request.method == "HEAD" and "/blobs/" in request.path:
            await super().refuse(request, wire)
        else:
            await super().give(stored, request, wire)

    @override
    async def refuse(self, request: RecordedRequest, wire: Wire) -> None:
        """Call an unknown token a bad request, without a challenge (oras-project/oras-go#1227)."""
        if request.header("Authorization") is None:
            await super().refuse(request, wire)
            return
        body = b'{"errors":[{"code":"DENIED","message":"Your Authorization Token is invalid."}]}'
        await self.answer(request, wire, 400, body, JSON, API_VERSION)

    @override
    def challenges(self, request: RecordedRequest) -> tuple[str, ...]:
        """Name a scope that is none."""
        return tuple(f'{value},scope="aws"' for value in super().challenges(request))


class GoogleArtifactRegistry(WellKnownRegistry):
    """`<region>-docker.pkg.dev`: redirects for blobs to another path of its own."""

    _DOWNLOADS = "/artifacts-downloads/namespaces/project/"

    @override
    async def respond(self, request: RecordedRequest, wire: Wire) -> None:
        """Serve downloads to whoever is logged in."""
        accepted = self.login is None or self.login.accepts(request)
        if request.path.startswith(self._DOWNLOADS) and accepted:
            path = request.path.removeprefix(self._DOWNLOADS.rstrip("/"))
            await RegistrySimulator.give(self, self._contents[path], request, wire)
        else:
            await super().respond(request, wire)

    @override
    async def give(self, stored: StoredContent, request: RecordedRequest, wire: Wire) -> None:
        """Redirect for a blob."""
        if "/blobs/" not in request.path:
            await super().give(stored, request, wire)
            return
        location = ("Location", f"{self._DOWNLOADS.rstrip('/')}{request.path}")
        await self.answer(request, wire, 302, b"", location)


def quays_ping() -> Answers:
    """Quay's `GET /v2/`: `true`, as a web page."""
    return Answers(200, (("Content-Type", "text/html; charset=utf-8"), API_VERSION), b"true")
