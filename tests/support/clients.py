"""Real clients as children: skopeo, podman, buildah, and containerd with its own daemon.

Each is given a device's certificate and the facade's CA, writes into folders of its own, and is
asked for images by digest. Calls block, so nothing else of the test runs meanwhile. A missing
program fails the test; `make test` installs it.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson
from attrs import frozen

from deploy.dev.processes import Child
from tests.support.facade_process import Device

CLIENT_SECONDS = 120  # a pull takes less than one; this is for a loaded machine
SHORT_PATH_CHARACTERS = 30  # of a temporary folder in which podman's run folder has its place
ANY_IMAGE = {"default": [{"type": "insecureAcceptAnything"}]}  # no signatures: digests decide
# Plugins that containerd cannot use without root and the kernel's help, and that no pull needs.
UNNEEDED_PLUGINS = [
    "io.containerd.grpc.v1.cri",
    "io.containerd.internal.v1.opt",
    "io.containerd.internal.v1.restart",
    "io.containerd.runtime.v1.linux",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.overlayfs",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.tracing.processor.v1.otlp",
]


class ClientError(Exception):
    """A client failed; the message bears what it said."""


@frozen
class ClientFolder:
    """A device's certificate in the form that clients want, and room for what they write."""

    path: Path

    @classmethod
    @contextlib.contextmanager
    def make(cls, device: Device) -> Iterator["ClientFolder"]:
        """Write `ca.crt`, `client.cert`, `client.key` and a policy; all goes with the block.

        The path is short: a socket's has at most 107 characters, and podman's run folder 50.
        """
        base = tempfile.gettempdir()
        base = base if len(base) <= SHORT_PATH_CHARACTERS else "/tmp"  # noqa: S108 - Linux's own
        with tempfile.TemporaryDirectory(prefix="c-", dir=base) as temporary:
            path = Path(temporary)
            certificates = path / "certificates"
            certificates.mkdir()
            shutil.copy(device.facade.files.folder / "server-ca.pem", certificates / "ca.crt")
            shutil.copy(device.files.certificate, certificates / "client.cert")
            shutil.copy(device.files.key, certificates / "client.key")
            (path / "policy.json").write_bytes(orjson.dumps(ANY_IMAGE))
            (path / "registries.conf").write_text("")
            # Otherwise podman reads the machine's, which only root may: it takes itself for root.
            signatures = path / ".config" / "containers" / "registries.d"
            signatures.mkdir(parents=True)
            lookaside = f"default-docker:\n  lookaside: file://{path}/signatures\n"
            (signatures / "default.yaml").write_text(lookaside)
            # Locks in shared memory would outlive the test, and belong to another user.
            (path / "containers.conf").write_text('[engine]\nlock_type = "file"\n')
            yield cls(path)

    @property
    def certificates(self) -> Path:
        """The folder of the three files."""
        return self.path / "certificates"

    def set_up(self, host: str, registries: str) -> None:
        """Let podman and skopeo find the three files of a host, and registries, by themselves.

        In the home, as containers-certs.d(5) and containers-registries.conf(5) say; podman is told
        of the latter by the environment.
        """
        home = self.path / ".config" / "containers"
        (home / "certs.d").mkdir()
        (home / "certs.d" / host).symlink_to(self.certificates)
        for file in (home / "registries.conf", self.path / "registries.conf"):
            file.write_text(registries)

    @property
    def storage(self) -> Path:
        """How podman keeps images; without this file it knows by itself."""
        return self.path / "storage.conf"

    @property
    def policy(self) -> Path:
        """Which images may be pulled: any."""
        return self.path / "policy.json"

    @property
    def environment(self) -> dict[str, str]:
        """What clients see: nothing of this machine's own configuration."""
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.path),
            "XDG_RUNTIME_DIR": str(self.path),
            "CONTAINERS_CONF": str(self.path / "containers.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(self.path / "registries.conf"),
            **(self._partial_pulls if self.storage.exists() else {}),
            "TMPDIR": str(self.path),
        }

    @property
    def _partial_pulls(self) -> dict[str, str]:
        """What lets podman ask for some files of a layer, and have them all.

        docs/clients.md: the garbage collector of podman 4.3 closes files that are not finished.
        """
        return {"CONTAINERS_STORAGE_CONF": str(self.storage), "GOGC": "off"}


def skopeo_copy(
    folder: ClientFolder,
    image: str,
    to: Path,
    *,
    every_platform: bool = False,
    is_set_up: bool = False,
) -> None:
    """Copy an image, or an index with all its images, into an OCI layout.

    `is_set_up`: it finds the certificates by itself, as on a device.
    """
    certificates: list[str | Path] = ["--src-cert-dir", folder.certificates]
    _run(
        folder,
        [
            "skopeo",
            "--policy",
            folder.policy,
            "copy",
            *(["--all"] if every_platform else []),
            "--preserve-digests",
            *([] if is_set_up else certificates),
            f"docker://{image}",
            f"oci:{to}:pulled",
        ],
    )


def skopeo_compress(folder: ClientFolder, archive: Path, to: Path) -> None:
    """Write an OCI archive's only image into a layout, with layers of `zstd:chunked`."""
    chunked = ("--dest-compress-format", "zstd:chunked")
    images = (f"oci-archive:{archive}", f"oci:{to}:chunked")
    _run(folder, ["skopeo", "--policy", folder.policy, "copy", *chunked, *images])


def podman_pull(
    folder: ClientFolder, image: str, *, is_set_up: bool = False, driver: str = "vfs"
) -> Path:
    """Pull and unpack an image; return the folder of the unpacked layers.

    `is_set_up`: it finds the certificates by itself, as on a device. The driver `overlay` may be
    told by the folder's `storage` to ask for some files of a layer alone.
    """
    root = folder.path / "podman"
    podman: list[str | Path] = [
        *_as_root(),
        "podman",
        "--root",
        root,
        "--runroot",
        folder.path / "run",
        "--tmpdir",
        folder.path / "tmp",
        "--storage-driver",
        driver,
        "--cgroup-manager",
        "cgroupfs",
        "--events-backend",
        "none",
    ]
    certificates: list[str | Path] = ["--cert-dir", folder.certificates]
    verified: list[str | Path] = [
        *([] if is_set_up else certificates),
        "--signature-policy",
        folder.policy,
    ]
    _run(folder, [*podman, "pull", "--quiet", *verified, image])
    return root / "vfs" / "dir" if driver == "vfs" else root / driver


def buildah_pull(folder: ClientFolder, image: str) -> Path:
    """Pull and unpack an image; return the folder of the unpacked layers.

    It finds the certificates by itself, as on a device.
    """
    root = folder.path / "buildah"
    places = ("--root", root, "--runroot", folder.path / "run", "--storage-driver", "vfs")
    pull = ("pull", "--quiet", "--signature-policy", folder.policy, image)
    _run(folder, [*_as_root(), "buildah", *places, *pull])
    return root / "vfs" / "dir"


@frozen
class Containerd:
    """A running containerd, asked by `ctr`."""

    folder: ClientFolder
    daemon: Child
    socket: Path

    @property
    def content(self) -> Path:
        """Where its blobs are, as files named by their digests."""
        return self.folder.path / "root" / "io.containerd.content.v1.content" / "blobs" / "sha256"

    def pull(self, image: str, *options: str, hosts_toml: str | None = None) -> None:
        """Pull and unpack an image by `ctr images pull`; its host is the facade, or is set up."""
        host = image.partition("/")[0]
        hosts = self.folder.path / "hosts"
        (hosts / host).mkdir(parents=True, exist_ok=True)
        (hosts / host / "hosts.toml").write_text(hosts_toml or self._facade_toml(host))
        self._ctr(
            "images", "pull", "--hosts-dir", hosts, "--snapshotter", "native", *options, image
        )

    def _facade_toml(self, host: str) -> str:
        certificates = self.folder.certificates
        return (
            f'server = "https://{host}"\n'
            f'[host."https://{host}"]\n'
            'capabilities = ["pull", "resolve"]\n'
            f'ca = "{certificates / "ca.crt"}"\n'
            f'client = [["{certificates / "client.cert"}", "{certificates / "client.key"}"]]\n'
        )

    def _ctr(self, *arguments: str | Path) -> None:
        command = ["ctr", "--address", self.socket, "--namespace", "test", *arguments]
        _run(self.folder, [*_as_root(), *command])


@contextlib.contextmanager
def containerd(folder: ClientFolder) -> Iterator[Containerd]:
    """Run a containerd of one's own until the block ends."""
    place = folder.path / "socket"
    configuration = folder.path / "containerd.toml"
    plugins = ", ".join(f'"{plugin}"' for plugin in UNNEEDED_PLUGINS)
    configuration.write_text(
        "version = 2\n"
        f'root = "{folder.path / "root"}"\n'
        f'state = "{folder.path / "state"}"\n'
        f"disabled_plugins = [{plugins}]\n"
        f'[grpc]\naddress = "{place}"\n'
        f'[ttrpc]\naddress = "{place}.ttrpc"\n'
    )
    daemon = Child.start(
        [*_as_root(), "containerd", "--config", configuration],
        log=folder.path / "containerd.log",
        environment=folder.environment,
    )
    try:
        daemon.wait_until(lambda: _answers(place))
        yield Containerd(folder, daemon, place)
    finally:
        daemon.stop()


def _answers(path: Path) -> bool:
    """Tell whether somebody listens: a socket's file is there a moment earlier."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _as_root() -> list[str]:
    """Return the prefix that makes us root as far as unpacking layers needs it."""
    return [] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]


def _run(folder: ClientFolder, command: Sequence[str | Path]) -> None:
    try:
        answer = subprocess.run(
            [str(part) for part in command],
            env=folder.environment,
            cwd=folder.path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CLIENT_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise ClientError(f"{command[0]} is not installed; `make test` installs it") from error
    if answer.returncode != 0:
        raise ClientError(f"{answer.args} ended with {answer.returncode}:\n{answer.stderr}")
