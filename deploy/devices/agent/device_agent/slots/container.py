"""A slot that is a container: podman makes it of the verified layout, and nothing is pulled.

Every step may be done again: it first looks whether it is done. So a power cut between any two of
them is mended by the next run. The container of before stays, stopped, until the new one is well.
"""

import hashlib
import json
from typing import Final

from attrs import frozen

from device_agent.config import ContainerSlot
from device_agent.errors import ApplyError
from device_agent.grammar import hex_of
from device_agent.manifest import Manifest
from device_agent.programs import PODMAN_SECONDS, ask, run
from device_agent.release import Artifact
from device_agent.store import Store

LABEL: Final = "device-agent.slot"
_OPTION_HEX: Final = 8


@frozen
class ContainerRunner:
    """One slot, and podman."""

    name: str
    slot: ContainerSlot
    podman: tuple[str, ...]
    store: Store

    def hold(self, artifact: Artifact, manifest: Manifest) -> None:
        """Have this artifact's container run, and no other of this slot."""
        image = hex_of(manifest.config.digest)
        container = self.container_of(artifact)
        self._take_image(image, artifact)
        if not self._is("container", "exists", container):
            self._create(container, image)
        for other in self._containers("--filter=status=running"):
            if other != container:
                self._podman("stop", other)
        self._podman("start", container)

    def hold_nothing(self) -> None:
        """Have no container of this slot run."""
        for container in self._containers():
            self._podman("rm", "--force", container)

    def tidy(self, artifact: Artifact) -> None:
        """Remove the slot's other containers and their images, as far as nobody else has them."""
        kept = self.container_of(artifact)
        for container in self._containers():
            if container != kept:
                image = self._podman("container", "inspect", "--format={{.Image}}", container)
                self._podman("rm", "--force", container)
                self._is("rmi", image)  # another container may have it

    def problem(self, artifact: Artifact, manifest: Manifest) -> str | None:
        """Return why the slot does not hold the artifact; None if it does."""
        form = "--format={{.Image}} {{.State.Running}}"
        answer = ask(
            [*self.podman, "container", "inspect", form, self.container_of(artifact)],
            PODMAN_SECONDS,
        )
        wanted = f"{hex_of(manifest.config.digest)} true"
        if answer.returncode == 0 and answer.stdout.strip() == wanted:
            return None
        return f"{self.name}: the container is not there, not of this image, or not running"

    def _take_image(self, image: str, artifact: Artifact) -> None:
        """Have podman copy the image out of the layout; it compares every digest once more."""
        if not self._is("image", "exists", image):
            self._podman("pull", "--quiet", f"oci:{self.store.folder}:{layout_name(artifact)}")
        if not self._is("image", "exists", image):
            raise ApplyError(f"{self.name}: podman made another image than {image}")

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
        chosen = f"--filter=label={LABEL}={self.name}"
        return self._podman("ps", "--all", chosen, *filters, "--format={{.Names}}").split()

    def _podman(self, *arguments: str) -> str:
        return run([*self.podman, *arguments], PODMAN_SECONDS)

    def _is(self, *arguments: str) -> bool:
        return ask([*self.podman, *arguments], PODMAN_SECONDS).returncode == 0


def layout_name(artifact: Artifact) -> str:
    """Return how the layout's index calls an artifact."""
    return f"{artifact.slot.lower()}-{artifact.short}"
