"""A slot that is a container: podman makes it of the verified layout, and nothing is pulled.

Every step may be done again: it first looks whether it is done. So a kill between any two of them
is mended by the next run. The container of before stays, stopped, until the new one is well.

podman syncs its lists of images and containers, and not the files that it has unpacked: after a
power cut it knows images whose files are empty. So what it has unpacked is read and compared before
it is started, and is on the disk before the journal says so.
"""

import hashlib
import json
import os
from typing import Final

from attrs import frozen

from device_agent.config import ContainerSlot
from device_agent.errors import ApplyError
from device_agent.grammar import hex_of
from device_agent.manifest import Manifest, Packing, packing_of
from device_agent.programs import PODMAN_SECONDS, ask, run
from device_agent.release import Artifact
from device_agent.store import Store

LABEL: Final = "device-agent.slot"
# A first one finds a part that a power cut has left, a second one layers without an image.
MAX_UNPACKINGS: Final = 3
_OPTION_HEX: Final = 8


@frozen
class ContainerRunner:
    """One slot, and podman."""

    name: str
    slot: ContainerSlot
    podman: tuple[str, ...]
    store: Store

    def hold(self, artifact: Artifact, manifest: Manifest, *, anew: bool) -> None:
        """Have this artifact's container run, and no other of this slot.

        `anew`: of what is there already something may be missing.
        """
        image = hex_of(manifest.config.digest)
        container = self.container_of(artifact)
        if anew:
            self._take_whole_image(image, artifact, manifest)
        else:
            self._take_image(image, artifact)
        if not self._is("container", "exists", container):
            self._create(container, image)
        for other in self._containers("--filter=status=running"):
            if other != container:
                self._podman("stop", other)
        self._start(container, image)
        if anew:
            os.sync()

    def hold_nothing(self) -> None:
        """Have no container of this slot run."""
        for container in self._containers():
            self._podman("rm", "--force", container)

    def tidy(self, artifact: Artifact) -> None:
        """Remove the slot's other containers and their images, as far as nobody else has them."""
        kept = self.container_of(artifact)
        for line in self._list("{{.Names}} {{.ImageID}}"):  # `inspect` fails if a part is lost
            container, image = line.split()
            if container != kept:
                self._podman("rm", "--force", container)
                self._is("rmi", image)  # another container may have it

    def problem(self, artifact: Artifact, manifest: Manifest) -> str | None:
        """Return why the slot does not hold the artifact; None if it does. Reads all its files."""
        form = "--format={{.Image}} {{.State.Running}}"
        answer = ask(
            [*self.podman, "container", "inspect", form, self.container_of(artifact)],
            PODMAN_SECONDS,
        )
        image = hex_of(manifest.config.digest)
        if answer.returncode != 0 or answer.stdout.strip() != f"{image} true":
            return f"{self.name}: the container is not there, not of this image, or not running"
        if not self._is_whole(manifest):
            return f"{self.name}: podman's files of the image are not what was applied"
        return None

    def _take_image(self, image: str, artifact: Artifact) -> None:
        """Have podman copy the image out of the layout; it compares every digest once more."""
        if not self._is("image", "exists", image):
            self._podman("pull", "--quiet", f"oci:{self.store.folder}:{layout_name(artifact)}")
        if not self._is("image", "exists", image):
            raise ApplyError(f"{self.name}: podman made another image than {image}")

    def _take_whole_image(self, image: str, artifact: Artifact, manifest: Manifest) -> None:
        """Have podman have an image of which nothing is missing. Others' containers stay."""
        for _ in range(MAX_UNPACKINGS):
            self._take_image(image, artifact)
            if self._is_whole(manifest):
                return
            self._podman("rm", "--force", "--ignore", self.container_of(artifact))
            self._podman("rmi", image)
        raise ApplyError(f"{self.name}: podman unpacks something else than {image}")

    def _is_whole(self, manifest: Manifest) -> bool:
        """Have podman read all that it has unpacked, by the list that it made of it.

        A Docker archive goes straight to nowhere, and knows no zstd. For the other kind podman
        writes a copy into its temporary folder first.
        """
        has_zstd = any(packing_of(each) is Packing.ZSTD for each in manifest.layers)
        form = f"--format={'oci' if has_zstd else 'docker'}-archive"
        image = hex_of(manifest.config.digest)
        return self._is("save", "--quiet", form, f"--output={os.devnull}", image)

    def _start(self, container: str, image: str) -> None:
        """Start a container; one that does not start is made once more, for a part may be lost."""
        if not self._is("start", container):
            self._podman("rm", "--force", container)
            self._create(container, image)
            self._podman("start", container)

    def _create(self, container: str, image: str) -> None:
        label = f"--label={LABEL}={self.name}"
        options = ["--pull=never", label, *self.slot.options]
        self._podman("create", f"--name={container}", *options, image, *self.slot.command)

    def container_of(self, artifact: Artifact) -> str:
        """Return a name that changes with the image and with the owner's options."""
        asked = json.dumps([self.slot.options, self.slot.command]).encode()
        options = hashlib.sha256(asked).hexdigest()[:_OPTION_HEX]
        return f"device-agent-{self.name}-{artifact.short}-{options}"

    def _containers(self, *filters: str) -> list[str]:
        return self._list("{{.Names}}", *filters)

    def _list(self, form: str, *filters: str) -> list[str]:
        chosen = f"--filter=label={LABEL}={self.name}"
        return self._podman("ps", "--all", chosen, *filters, f"--format={form}").splitlines()

    def _podman(self, *arguments: str) -> str:
        return run([*self.podman, *arguments], PODMAN_SECONDS)

    def _is(self, *arguments: str) -> bool:
        return ask([*self.podman, *arguments], PODMAN_SECONDS).returncode == 0


def layout_name(artifact: Artifact) -> str:
    """Return how the layout's index calls an artifact."""
    return f"{artifact.slot.lower()}-{artifact.short}"
