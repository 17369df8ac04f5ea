"""Every registry that customers run, simulated, and one table of them.

    estate = Estate.create(folder)                      # a CA, and a certificate for every name
    async with estate.started("Docker Hub") as hub:
        hub.lead(names)                                 # a `NameService`, or a proxy's `leads_to`
        ...  # connect to hub.host with hub.fields, pull hub.repository's hub.manifest and hub.blob
        assert hub.minted == 1

They listen on loopback and are spoken to under their own names, so that everything that depends on
a name (aliases, namespaces, realms on other hosts, `Host`) is as it really is. What they do comes
from public reports on the real registries, which a test cannot reach.
"""

import hashlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

import orjson
from attrs import define, field, frozen

from deploy.dev.device_ca import CertificateAuthority
from shared.oci import OCI_MANIFEST
from tests.support.simulators import registry_kinds as kinds
from tests.support.simulators import registry_logins as logins
from tests.support.simulators.login import BasicLogin, BearerLogin
from tests.support.simulators.name_service import NameService
from tests.support.simulators.registry import RegistrySimulator
from tests.support.simulators.registry_logins import BasicOrToken, TokenEndpoint
from tests.support.simulators.signed_store import SignedStore
from tests.support.simulators.wire import WireServer

LOOPBACK: Final = "127.0.0.1"
BLOB: Final = hashlib.shake_128(b"layer").digest(150_000)
CONFIG: Final = b'{"architecture":"amd64","os":"linux"}'
CANARY_PASSWORD: Final = "canary-registry-password"

ECR_HOST: Final = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
GAR_HOST: Final = "europe-west3-docker.pkg.dev"


@define
class SimulatedRegistry:
    """One registry with an image in it, and the servers that it is made of."""

    host: str  # what an operator connects
    username: str
    repository: str  # as a device asks for it
    registry: RegistrySimulator
    servers: dict[str, WireServer]  # by the `name:port` that URLs mean
    upstream_repository: str
    password: str = CANARY_PASSWORD
    store: SignedStore | None = None
    ca_certificate: str = ""
    manifest: str = field(default="", init=False)
    blob: str = field(default="", init=False)

    def __attrs_post_init__(self) -> None:
        """Put the image in."""
        self.blob = self.registry.blob(BLOB, repository=self.upstream_repository)
        config = self.registry.blob(CONFIG, repository=self.upstream_repository)
        content = orjson.dumps(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": _descriptor("application/vnd.oci.image.config.v1+json", config, CONFIG),
                "layers": [_descriptor("application/octet-stream", self.blob, BLOB)],
            }
        )
        self.manifest = self.registry.manifest(content, repository=self.upstream_repository)

    @property
    def fields(self) -> dict[str, Any]:
        """The fields that a connection to it needs beside the host."""
        return {
            "username": self.username,
            "token": self.password,
            "ca_certificate": self.ca_certificate,
        }

    @property
    def minted(self) -> int:
        """How many tokens its token endpoint gave out."""
        return self.registry.login.minted if isinstance(self.registry.login, BearerLogin) else 0

    @property
    def endpoint(self) -> TokenEndpoint:
        """Its token endpoint; `AssertionError` if it has none."""
        assert isinstance(self.registry.login, TokenEndpoint)
        return self.registry.login

    def lead(self, names: NameService | dict[str, tuple[str, int]]) -> None:
        """Have its names lead here: those of a name service, or of a proxy."""
        for authority, server in self.servers.items():
            if isinstance(names, NameService):
                names.answer(authority.rpartition(":")[0], [(LOOPBACK, server.port)])
            else:
                names[authority] = (LOOPBACK, server.port)


def _descriptor(media_type: str, digest: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def _of(
    registry: kinds.WellKnownRegistry,
    username: str,
    repository: str,
    *,
    host: str | None = None,
    upstream_repository: str | None = None,
    **others: WireServer,
) -> SimulatedRegistry:
    """Return the registry with its store, and with other servers by their names."""
    store = registry.store
    servers: dict[str, WireServer] = {f"{registry.authority}:443": registry}
    if store is not None:
        servers[f"{store.authority}:443"] = store
    servers |= {f"{name.replace('_', '.')}:443": server for name, server in others.items()}
    return SimulatedRegistry(
        host or registry.authority,
        username,
        repository,
        registry,
        servers,
        upstream_repository or repository,
        store=store,
    )


def _docker_hub(tls: ssl.SSLContext) -> SimulatedRegistry:
    login = TokenEndpoint(
        "robot",
        CANARY_PASSWORD,
        realm="https://auth.docker.io/token",
        service="registry.docker.io",
        shape=logins.docker_hub_fields,
    )
    hub = kinds.DockerHub(
        "registry-1.docker.io",
        tls=tls,
        login=login,
        store=kinds.WellKnownStore(tls=tls, name="production.cloudflare.docker.com"),
    )
    return _of(
        hub,
        "robot",
        "busybox",
        host="docker.io",
        upstream_repository="library/busybox",
        auth_docker_io=kinds.TokenServer(login, tls=tls),
    )


def _ghcr(tls: ssl.SSLContext) -> SimulatedRegistry:
    login = TokenEndpoint("octocat", CANARY_PASSWORD, service="ghcr.io")
    store = kinds.WellKnownStore(tls=tls, name="pkg-containers.githubusercontent.com")
    registry = kinds.WellKnownRegistry("ghcr.io", tls=tls, login=login, store=store)
    return _of(registry, "octocat", "octocat/app")


def _quay(tls: ssl.SSLContext) -> SimulatedRegistry:
    login = TokenEndpoint("team+robot", CANARY_PASSWORD, service="quay.io", path="/v2/auth")
    registry = kinds.WellKnownRegistry(
        "quay.io",
        tls=tls,
        login=login,
        store=kinds.WellKnownStore(tls=tls, name="cdn01.quay.io"),
        redirect_status=302,
    )
    registry.ping = kinds.quays_ping()
    return _of(registry, "team+robot", "team/app")


def _acr(tls: ssl.SSLContext) -> SimulatedRegistry:
    name = "factory.azurecr.io"
    login = TokenEndpoint(
        "pull-token",
        CANARY_PASSWORD,
        service=name,
        path="/oauth2/token",
        shape=logins.access_token_alone,
    )
    store = kinds.WellKnownStore(tls=tls, name="weumanaged1.blob.core.windows.net")
    registry = kinds.AzureRegistry(name, tls=tls, login=login, store=store)
    return _of(registry, "pull-token", "team/app")


def _harbor(tls: ssl.SSLContext) -> SimulatedRegistry:
    username = "robot$factory+puller"
    login = TokenEndpoint(
        username,
        CANARY_PASSWORD,
        service="harbor-registry",
        path="/service/token",
        shape=logins.harbor_fields,
    )
    registry = kinds.Harbor("harbor.example.com", tls=tls, login=login)
    return _of(registry, username, "proxy/library/app")


def _artifactory(tls: ssl.SSLContext) -> SimulatedRegistry:
    name = "company.jfrog.io"
    login = TokenEndpoint("puller@example.com", CANARY_PASSWORD, service=f"{name}:443")
    login.path = "/artifactory/api/docker/null/v2/token"
    registry = kinds.Artifactory(
        name,
        tls=tls,
        login=login,
        store=kinds.WellKnownStore(tls=tls, name="jfrog-prod.s3.amazonaws.com"),
        redirect_status=302,
    )
    return _of(registry, "puller@example.com", "docker-local/team/app")


def _ecr(tls: ssl.SSLContext) -> SimulatedRegistry:
    challenge = f'Basic realm="https://{ECR_HOST}/",service="ecr.amazonaws.com"'
    login = BasicLogin("AWS", CANARY_PASSWORD, challenge)
    bucket = "prod-eu-central-1-starport-layer-bucket.s3.eu-central-1.amazonaws.com"
    store = kinds.WellKnownStore(tls=tls, name=bucket)
    registry = kinds.ElasticContainerRegistry(ECR_HOST, tls=tls, login=login, store=store)
    return _of(registry, "AWS", "team/app")


def _public_ecr(tls: ssl.SSLContext) -> SimulatedRegistry:
    login = TokenEndpoint("AWS", CANARY_PASSWORD, service="public.ecr.aws", path="/token/")
    store = kinds.WellKnownStore(tls=tls, name="d2glxqk2uabbnd.cloudfront.net")
    registry = kinds.PublicElasticContainerRegistry(
        "public.ecr.aws", tls=tls, login=login, store=store
    )
    return _of(registry, "AWS", "a1b2c3d4/app")


def _artifact_registry(tls: ssl.SSLContext) -> SimulatedRegistry:
    login = BasicOrToken(
        "oauth2accesstoken",
        CANARY_PASSWORD,
        service=GAR_HOST,
        path="/v2/token",
        shape=logins.google_fields,
    )
    registry = kinds.GoogleArtifactRegistry(GAR_HOST, tls=tls, login=login)
    return _of(registry, "oauth2accesstoken", "project/repository/app")


def _google_container_registry(tls: ssl.SSLContext) -> SimulatedRegistry:
    login = BasicOrToken(
        "oauth2accesstoken",
        CANARY_PASSWORD,
        service="gcr.io",
        path="/v2/token",
        shape=logins.google_fields,
    )
    registry = kinds.WellKnownRegistry(
        "gcr.io",
        tls=tls,
        login=login,
        store=kinds.WellKnownStore(tls=tls, name="storage.googleapis.com"),
        redirect_status=302,
    )
    return _of(registry, "oauth2accesstoken", "project/app")


TABLE: Final[dict[str, Callable[[ssl.SSLContext], SimulatedRegistry]]] = {
    "Docker Hub": _docker_hub,
    "GHCR": _ghcr,
    "Quay": _quay,
    "ACR": _acr,
    "Harbor": _harbor,
    "Artifactory": _artifactory,
    "Amazon ECR": _ecr,
    "Amazon ECR Public": _public_ecr,
    "Google Artifact Registry": _artifact_registry,
    "Google Container Registry": _google_container_registry,
}
TITLES: Final = tuple(TABLE)


@frozen
class Estate:
    """The CA that every simulated registry's certificate is from."""

    ca_certificate: str
    tls: ssl.SSLContext

    @classmethod
    def create(cls, folder: Path) -> Self:
        """Return a new CA, with one certificate for every name there is."""
        authority = CertificateAuthority.create("CA of the simulated registries")
        unbound = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        names = {
            name.rpartition(":")[0] for make in TABLE.values() for name in make(unbound).servers
        }
        files = authority.issue_server(dns=(*sorted(names), "localhost")).write(folder, "estate")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(files.certificate, files.key)
        return cls(authority.pem.decode(), tls)

    @asynccontextmanager
    async def started(self, title: str) -> AsyncIterator[SimulatedRegistry]:
        """Give the registry of the table, listening."""
        simulated = TABLE[title](self.tls)
        simulated.ca_certificate = self.ca_certificate
        async with AsyncExitStack() as stack:
            for server in simulated.servers.values():
                await stack.enter_async_context(server)
            yield simulated
