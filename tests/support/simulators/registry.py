"""A registry on a real socket that misbehaves as it is told, per digest; it records every request.

    async with RegistrySimulator(login=BasicLogin("robot", "password")) as registry:
        digest = registry.blob(b"...", repository="team/app", get=FewerBytes())
        other = registry.manifest(b"{}", media_type=OCI_MANIFEST, head=Answers(405))
        ...  # connect to registry.host with plain_http and loopback allowed
        assert registry.requests[0].header("Authorization") is None

- `login`: None (anybody), `BasicLogin`, or `BearerLogin` (its own `/token`, or a realm elsewhere).
- `blob` and `manifest` return the digest. `get` and `head` say how it is answered: see
  `behaviour.py` for every kind (fewer, more, other bytes, gzip, HTML, no length, breaks, redirects,
  statuses, slow, stalls, raw bytes). `head` left out behaves as `get` does.
- `listing`: what refers to a digest; without one, there is no such route here (404).
- `requests`: every request as it came in; `pulls`: those for manifests and blobs.
- `paths`: how single paths are answered, before all else: `.paths["/token"] = Answers(404)`.
- `tls`: an `ssl.SSLContext` to serve with; `name`: the host name that clients use.

`StoreSimulator` stands for the store or edge that a registry redirects to, or for a foreign realm:
leaving its context raises `AssertionError` if it ever saw `Authorization` or a cookie.

    async with StoreSimulator() as store:
        url = store.put(b"...")                       # absolute, with a query like a signature
        digest = registry.blob(b"...", get=RedirectsTo(url))
        assert store.requests == []                   # for what must never arrive
"""

import hashlib
import ssl
from typing import Final

from typing_extensions import override

from shared.oci import OCI_INDEX, OCI_MANIFEST, OCTET_STREAM
from shared.registry_host import RegistryHost
from tests.support.simulators.behaviour import Behaviour, Honest
from tests.support.simulators.body import write_content
from tests.support.simulators.login import BasicLogin, BearerLogin, Login
from tests.support.simulators.stored_content import StoredContent, write_plain
from tests.support.simulators.wire import RecordedRequest, Wire, WireServer

DEFAULT_REPOSITORY: Final = "team/app"
FORBIDDEN_AT_STORES: Final = (
    "Authorization",
    "Cookie",
    "Proxy-Authorization",
    "X-JFrog-Art-Api",  # Artifactory's own, which HTTP libraries forward
)


class RegistrySimulator(WireServer):
    """See the module's docstring."""

    def __init__(
        self,
        *,
        login: Login | None = None,
        tls: ssl.SSLContext | None = None,
        address: str = "127.0.0.1",
        name: str | None = None,
        ping: Behaviour | None = None,
    ) -> None:
        super().__init__(tls=tls, address=address, name=name)
        self.login = login
        self.ping = ping
        self.paths: dict[str, Behaviour] = {}
        self._contents: dict[str, StoredContent] = {}

    @property
    def host(self) -> RegistryHost:
        """The host to connect."""
        return RegistryHost.parse(self.authority)

    @property
    def pulls(self) -> list[RecordedRequest]:
        """The requests for manifests and blobs."""
        return [
            request
            for request in self.requests
            if request.path.startswith("/v2/") and request.path != "/v2/"
        ]

    def blob(
        self,
        content: bytes,
        *,
        repository: str = DEFAULT_REPOSITORY,
        get: Behaviour | None = None,
        head: Behaviour | None = None,
        digest: str | None = None,
    ) -> str:
        """Serve a blob; return its digest, unless another is given to lie with."""
        return self._serve_at(f"/v2/{repository}/blobs/", content, OCTET_STREAM, get, head, digest)

    def manifest(
        self,
        content: bytes,
        *,
        media_type: str = OCI_MANIFEST,
        repository: str = DEFAULT_REPOSITORY,
        get: Behaviour | None = None,
        head: Behaviour | None = None,
        digest: str | None = None,
    ) -> str:
        """Serve a manifest; return its digest, unless another is given to lie with."""
        return self._serve_at(
            f"/v2/{repository}/manifests/", content, media_type, get, head, digest
        )

    def listing(
        self,
        subject: str,
        body: bytes,
        *,
        media_type: str = OCI_INDEX,
        repository: str = DEFAULT_REPOSITORY,
        get: Behaviour | None = None,
        page: str = "",
    ) -> str:
        """Serve a list of what refers to a digest, or a further page of it; return its path."""
        path = f"/v2/{repository}/referrers/{subject}{page}"
        self._contents[path] = StoredContent(body, media_type, "", get or Honest(), None)
        return path

    def forget(self) -> None:
        """Let go of every content, and of what was asked."""
        self._contents.clear()
        self.requests.clear()

    def _serve_at(
        self,
        prefix: str,
        content: bytes,
        media_type: str,
        get: Behaviour | None,
        head: Behaviour | None,
        digest: str | None,
    ) -> str:
        digest = digest or f"sha256:{hashlib.sha256(content).hexdigest()}"
        self._contents[prefix + digest] = StoredContent(
            content, media_type, digest, get or Honest(), head
        )
        return digest

    @override
    async def respond(self, request: RecordedRequest, wire: Wire) -> None:
        """Answer as a registry: token endpoint, login, ping, contents."""
        if request.path in self.paths:
            fixed = StoredContent(b"", OCTET_STREAM, "", self.paths[request.path], None)
            await write_content(fixed, request, wire)
        elif isinstance(self.login, BearerLogin) and request.path == self.login.path:
            await self._give_token(self.login, request, wire)
        elif self.login is not None and not self.login.accepts(request):
            await self.refuse(request, wire)
        elif request.path == "/v2/":
            await self._pong(request, wire)
        elif request.path in self._contents:
            await self.give(self._contents[request.path], request, wire)
        else:
            await self.miss(request, wire)

    async def give(self, stored: StoredContent, request: RecordedRequest, wire: Wire) -> None:
        """Answer for a content that is here."""
        await write_content(stored, request, wire)

    async def miss(self, request: RecordedRequest, wire: Wire) -> None:
        """Answer for what is not here."""
        await self.answer(request, wire, 404, b'{"errors":[{"code":"BLOB_UNKNOWN"}]}')

    async def refuse(self, request: RecordedRequest, wire: Wire) -> None:
        """Ask for a login, or for a better one."""
        challenges = [("WWW-Authenticate", value) for value in self.challenges(request)]
        await self.answer(request, wire, 401, b"upstream text that nobody may see", *challenges)

    async def _give_token(self, login: BearerLogin, request: RecordedRequest, wire: Wire) -> None:
        if login.is_silent:
            await wire.until_peer_left()
            return
        status, headers, body = login.token_answer(request)
        await write_plain(wire, status, body, headers)

    async def _pong(self, request: RecordedRequest, wire: Wire) -> None:
        if self.ping is not None:
            await write_content(
                StoredContent(b"{}", "application/json", "", self.ping, None), request, wire
            )
            return
        version = ("Docker-Distribution-API-Version", "registry/2.0")
        await self.answer(request, wire, 200, b"{}", version)

    def challenges(
        self,
        request: RecordedRequest,  # noqa: ARG002 - some registries' depend on it
    ) -> tuple[str, ...]:
        """Return the values of `WWW-Authenticate`."""
        match self.login:
            case BasicLogin(challenge=challenge):
                return (challenge,)
            case BearerLogin(challenges=challenges, realm=realm, service=service, path=path):
                realm = realm or f"{self.origin}{path}"
                if challenges is not None:
                    return tuple(value.replace("{realm}", realm) for value in challenges)
                described = f',service="{service}"' if service else ""
                return (f'Bearer realm="{realm}"{described}',)
            case None:
                return ()

    async def answer(
        self,
        request: RecordedRequest,
        wire: Wire,
        status: int,
        body: bytes,
        *headers: tuple[str, str],
    ) -> None:
        """Answer with a body of known length, which HEAD leaves out."""
        await wire.head(status, (*headers, ("Content-Length", str(len(body)))))
        if request.method != "HEAD":
            await wire.write(body)


class StoreSimulator(WireServer):
    """A store that a registry redirects to. It must never be shown a credential."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        address: str = "127.0.0.1",
        name: str | None = None,
    ) -> None:
        super().__init__(tls=tls, address=address, name=name)
        self._objects: dict[str, StoredContent] = {}

    def put(
        self, content: bytes, *, get: Behaviour | None = None, head: Behaviour | None = None
    ) -> str:
        """Keep an object; return its URL, whose query stands for a signature."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        path = f"/objects/{digest.removeprefix('sha256:')}"
        self._objects[path] = StoredContent(content, OCTET_STREAM, digest, get or Honest(), head)
        return f"{self.origin}{path}?X-Signature=a%2Fb%2bc%3D&X-Expires=300"

    @override
    async def respond(self, request: RecordedRequest, wire: Wire) -> None:
        """Give an object to anybody who has its URL."""
        stored = self._objects.get(request.path)
        if stored is None:
            await write_plain(wire, 404)
        else:
            await write_content(stored, request, wire)

    @override
    async def __aexit__(self, *error: object) -> None:
        """Stop, and fail the test if a credential was seen."""
        await super().__aexit__(*error)
        seen = [
            name
            for request in self.requests
            for name in FORBIDDEN_AT_STORES
            if request.header(name)
        ]
        assert not seen, f"a store was shown {seen}"
