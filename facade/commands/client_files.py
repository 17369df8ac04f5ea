"""The files by which each client asks the facade, and where they belong. Pure.

A client goes on with the registry's own names where it can be told so: then it asks the facade, and
never the registry itself, not even for what the facade refuses. That is why nothing is written as a
mirror: what a mirror refuses, clients ask the registry. Certificate, key and CA are linked to or
named by their paths, so that whoever renews them has nothing else to do.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final

import orjson
from attrs import field, frozen

from facade.errors import MalformedError
from shared.registry_host import InvalidRegistryHostError, RegistryHost
from shared.safe_message import SafeMessage
from shared.yaml_text import yaml_text

KEY_MODE: Final = 0o600  # of a file with a private key in it
FILE_MODE: Final = 0o644
MARK: Final = "# Written by `facade device-config`, which also removes it."
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._@+-]+)+", re.ASCII)
_LOOPBACK: Final = re.compile(r"localhost|127(?:\.[0-9]+){3}", re.ASCII)


class UnusableSetUpError(SafeMessage, MalformedError, ValueError):
    """A client cannot be set up so; the message says what to give."""


class Client(StrEnum):
    """What pulls on a device."""

    CONTAINERD = "containerd"
    DOCKER = "docker"
    PODMAN = "podman"
    SKOPEO = "skopeo"
    BUILDKIT = "buildkit"
    ORAS = "oras"
    REGCTL = "regctl"
    K3S = "k3s"
    CRI_O = "cri-o"

    @property
    def record(self) -> str:
        """The name of the record of its files. Three clients read the same ones."""
        shared = {Client.PODMAN, Client.SKOPEO, Client.CRI_O}
        return "containers" if self in shared else self.value


@frozen
class PemTexts:
    """What the three files hold, for the one client that reads no paths."""

    ca: str
    certificate: str
    key: str = field(repr=False)


@frozen
class DeviceSetUp:
    """What a device asks, and with what it shows who it is."""

    facade: RegistryHost
    certificate: PurePosixPath  # with its chain
    key: PurePosixPath
    ca: PurePosixPath  # who signed the facade's certificate
    registries: tuple[RegistryHost, ...]
    home: PurePosixPath
    texts: PemTexts

    @property
    def places(self) -> Iterator[tuple[str, str]]:
        """Give each registry's own name, and where the facade has it."""
        return ((str(each), f"{self.facade}/{each.path_form}") for each in self.registries)


@frozen
class ClientFile:
    """A file, or a link to one."""

    path: PurePosixPath
    content: bytes = field(default=b"", repr=False)
    link_to: PurePosixPath | None = None
    mode: int = FILE_MODE


@frozen
class ClientFiles:
    """All files of a client, and what else there is to do or to know."""

    files: tuple[ClientFile, ...]
    notes: tuple[str, ...]


def parse_facade(text: str) -> RegistryHost:
    """Return the facade's `HOST:PORT`; `:443` is left out as clients do. Raises as below."""
    try:
        return RegistryHost.parse(text.removesuffix(":443"))
    except InvalidRegistryHostError as error:
        raise UnusableSetUpError(f"--facade: expected HOST:PORT: {error}") from None


def parse_device_path(option: str, text: str) -> PurePosixPath:
    """Return an absolute path that every client reads as it stands; raise `UnusableSetUpError`."""
    if not _PATH.fullmatch(text) or {".", ".."} & set(text.split("/")):
        raise UnusableSetUpError(
            f"{option}: expected an absolute path of letters, digits, '.', '_', '-', '@' and '+'"
        )
    return PurePosixPath(text)


def files_of(client: Client, device: DeviceSetUp) -> ClientFiles:
    """Return a client's files; raise `UnusableSetUpError` if it cannot ask this facade."""
    files, notes = _FILES[client](device)
    return ClientFiles(tuple(files), (*notes, _BY_DIGEST))


_Made = tuple[Sequence[ClientFile], Sequence[str]]
_BY_DIGEST: Final = (
    "the facade serves digests alone: `facade resolve HOST/REPOSITORY:TAG` gives the one to pin"
)


def _containerd(device: DeviceSetUp) -> _Made:
    folder = PurePosixPath("/etc/containerd/certs.d")
    return [*_hosts(folder, device)], (
        f'/etc/containerd/config.toml needs config_path = "{folder}", for Kubernetes and for ctr',
        "containerd reads the files at the next pull",
    )


def _docker(device: DeviceSetUp) -> _Made:
    if _LOOPBACK.fullmatch(device.facade.name):
        raise UnusableSetUpError(
            "--facade: Docker shows no certificate to a facade on this machine's loopback"
        )
    folder = PurePosixPath("/etc/docker/certs.d")
    return [*_three_links(folder, device), *_hosts(folder, device)], (
        f"images are pulled as {device.facade}/{_example(device)}@sha256:…",
        "by the registry's own name only with containerd's image store (Docker 29)",
    )


def _containers(device: DeviceSetUp) -> _Made:
    folder = PurePosixPath("/etc/containers")
    registries = "\n".join(
        f'[[registry]]\nprefix = "{name}"\nlocation = "{place}"\n' for name, place in device.places
    )
    file = folder / "registries.conf.d" / "registry-facade.conf"
    named = ClientFile(file, _marked(registries))
    return [*_three_links(folder / "certs.d", device), named], (
        "podman, skopeo, buildah and CRI-O all read these files; CRI-O after a reload",
        "bootc pulls as a user that cannot read a key of root's alone",
    )


def _buildkit(device: DeviceSetUp) -> _Made:
    names = "\n".join(
        f'[registry."{name}"]\n  mirrors = ["{place}"]\n' for name, place in device.places
    )
    text = (
        # Otherwise BuildKit speaks plain HTTP to whatever is on the loopback.
        f'[registry."{device.facade}"]\n  http = false\n  ca = ["{device.ca}"]\n\n'
        f'  [[registry."{device.facade}".keypair]]\n'
        f'    cert = "{device.certificate}"\n    key = "{device.key}"\n\n{names}'
    )
    return [ClientFile(PurePosixPath("/etc/buildkit/buildkitd.toml"), _marked(text))], (
        "buildkitd reads it when it starts",
        "BuildKit has mirrors alone: what the facade refuses, it asks the registry itself",
    )


def _oras(device: DeviceSetUp) -> _Made:
    plain = " --plain-http=false" if device.facade.name == "localhost" else ""
    options = f"--ca-file {device.ca} --cert-file {device.certificate} --key-file {device.key}"
    return [], (
        f"oras reads no file: give it {options}{plain}",
        f"what it pulls is {device.facade}/{_example(device)}@sha256:…",
    )


def _regctl(device: DeviceSetUp) -> _Made:
    tls = {
        "tls": "enabled",
        "regcert": device.texts.ca,
        "clientCert": device.texts.certificate,
        "clientKey": device.texts.key,
    }
    own = {
        str(each): {"hostname": str(device.facade), "pathPrefix": each.path_form, **tls}
        for each in device.registries
    }
    content = orjson.dumps({"hosts": {str(device.facade): tls, **own}}, option=orjson.OPT_INDENT_2)
    path = device.home / ".regctl" / "config.json"
    return [ClientFile(path, content + b"\n", mode=KEY_MODE)], (
        "the file holds the private key: write it again when the certificate is renewed",
    )


def _k3s(device: DeviceSetUp) -> _Made:
    folder = PurePosixPath("/etc/rancher/k3s")
    registries = {
        "mirrors": {
            str(each): {
                "endpoint": [f"https://{device.facade}"],
                "rewrite": {"^(.*)$": f"{each.path_form}/$1"},
            }
            for each in device.registries
        },
        "configs": {
            str(device.facade): {
                "tls": {
                    "ca_file": str(device.ca),
                    "cert_file": str(device.certificate),
                    "key_file": str(device.key),
                }
            }
        },
    }
    alone = {"disable-default-registry-endpoint": True}
    return [
        ClientFile(folder / "registries.yaml", _marked(yaml_text(registries))),
        ClientFile(folder / "config.yaml.d" / "registry-facade.yaml", _marked(yaml_text(alone))),
    ], (
        "k3s reads them when it starts",
        "k3s before v1.29.1 and v1.28.6 ignores disable-default-registry-endpoint",
        "such a k3s asks the registry itself for what the facade refuses",
    )


_FILES: Final[Mapping[Client, Callable[[DeviceSetUp], _Made]]] = {
    Client.CONTAINERD: _containerd,
    Client.DOCKER: _docker,
    Client.PODMAN: _containers,
    Client.SKOPEO: _containers,
    Client.CRI_O: _containers,
    Client.BUILDKIT: _buildkit,
    Client.ORAS: _oras,
    Client.REGCTL: _regctl,
    Client.K3S: _k3s,
}


def _hosts(folder: PurePosixPath, device: DeviceSetUp) -> Iterator[ClientFile]:
    """Yield containerd's file for each registry by its own name, and for the facade by its own."""
    urls = {str(each): f"https://{device.facade}/v2/{each.path_form}" for each in device.registries}
    for name, url in {**urls, str(device.facade): f"https://{device.facade}/v2"}.items():
        text = (
            f'server = "{url}"\n\n[host."{url}"]\n  capabilities = ["pull", "resolve"]\n'
            f'  override_path = true\n  ca = "{device.ca}"\n'
            f'  client = [["{device.certificate}", "{device.key}"]]\n'
        )
        yield ClientFile(folder / name / "hosts.toml", _marked(text))


def _three_links(folder: PurePosixPath, device: DeviceSetUp) -> list[ClientFile]:
    """Return the three files that Docker and podman find by their names."""
    own = folder / str(device.facade)
    named = {"ca.crt": device.ca, "client.cert": device.certificate, "client.key": device.key}
    return [ClientFile(own / name, link_to=target) for name, target in named.items()]


def _marked(text: str) -> bytes:
    return f"{MARK}\n{text.rstrip()}\n".encode()


def _example(device: DeviceSetUp) -> str:
    return f"{device.registries[0].path_form}/team/app"
