"""A fleet as it is for real: keys, a repository, a mirror, a registry, a facade, and a device."""

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from attrs import define, evolve

from deploy.dev.image import (
    ARCHITECTURES,
    EMPTY,
    MANIFEST,
    MODEL,
    Content,
    Image,
    ImageIndex,
    make_index,
)
from device_repository.files import RepositoryFolder
from device_repository.repository import DeviceRepository, target_of
from tests.support.agent_device import MODEL_SLOT, AgentDevice
from tests.support.facade_process import Device
from tests.support.fleet_keys import FLEET, FleetKeys
from tests.support.hostile_facade import HostileFacade
from tests.support.simulators.behaviour import Behaviour
from tests.support.simulators.registry import DEFAULT_REPOSITORY, RegistrySimulator
from tests.support.tuf_mirror import TufMirror

GOOD, BETTER, EVIL = b"good model " * 9000, b"better model " * 9000, b"evil model!! " * 9000


def model_of(content: bytes) -> Image:
    """Return a model as an OCI artifact: one layer, which is the file."""
    config = Content(EMPTY, b"{}")
    layer = Content(MODEL, content)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/vnd.example.model",
        "config": config.descriptor,
        "layers": [layer.descriptor],
    }
    return Image(Content(MANIFEST, orjson.dumps(manifest)), config, (layer,))


def index_of(content: bytes) -> ImageIndex:
    """Return an index of a model for this machine, behind one for another machine."""
    other = evolve(model_of(EVIL), architecture="s390x")
    this = evolve(model_of(content), architecture=ARCHITECTURES[platform.machine()])
    return make_index([other, this])


@define
class SignedFleet:
    """What a test acts on. The device asks `front`, and that asks the facade and the registry."""

    keys: FleetKeys
    repository: DeviceRepository
    mirror: TufMirror
    registry: RegistrySimulator
    front: HostileFacade
    facade: Device
    device: AgentDevice

    @property
    def path(self) -> str:
        """The repository, as the facade's paths have it."""
        return f"{self.registry.host.path_form}/{DEFAULT_REPOSITORY}"

    def begin(self) -> None:
        """Make the repository with one fleet, and show it."""
        self.repository.begin(self.keys.top)
        for fleet in self.keys.signers.keys() - self.keys.top.keys():
            self.repository.set_keys(fleet, self.keys.role_keys(fleet))
        self.keys.sign_all(self.repository)

    @property
    def root(self) -> Path:
        """The first root, which devices pin."""
        return self.repository.files.published / "1.root.json"

    def push(self, artifact: Image | ImageIndex, **gets: Behaviour) -> None:
        """Have the registry hold an artifact; `layer`, `config`, `manifest`: how it answers."""
        if isinstance(artifact, ImageIndex):
            for image in artifact.images:
                self.push(image)
        else:
            for blob in artifact.layers:
                self.registry.blob(blob.body, get=gets.get("layer"))
            self.registry.blob(artifact.config.body, get=gets.get("config"))
        self.registry.manifest(
            artifact.manifest.body,
            media_type=artifact.manifest.media_type,
            get=gets.get("manifest"),
        )

    def name(self, artifact: Image | ImageIndex, slot: str = MODEL_SLOT, **fields: Any) -> None:
        """Have the fleet name an artifact, in a draft."""
        wanted: Mapping[str, Any] = {
            "device": None,
            "repository": self.path,
            "manifest": artifact.manifest.body,
            "media_type": artifact.manifest.media_type,
            **fields,
        }
        fleet = wanted.get("fleet", FLEET)
        rest = {name: value for name, value in wanted.items() if name != "fleet"}
        self.repository.assign(fleet, target_of(fleet, slot, **rest))

    def release(self, artifact: Image | ImageIndex, slot: str = MODEL_SLOT, **fields: Any) -> None:
        """Push an artifact, name it, sign it, show it."""
        self.push(artifact)
        self.name(artifact, slot, **fields)
        self.keys.sign_all(self.repository)

    def lie_blob(self, content: bytes, **lie: Any) -> None:
        """Have the facade serve a blob itself, in a way of its own (`get`, `digest`)."""
        self.front.blob(content, repository=self.path, **lie)

    def lie_manifest(self, content: bytes, **lie: Any) -> None:
        """Have the facade serve a manifest itself, in a way of its own (`get`, `digest`)."""
        self.front.manifest(content, repository=self.path, **lie)

    async def is_well(self, wanted: bytes) -> bool:
        """Tell whether everybody being honest again brings this model to the device."""
        self.mirror.lies.clear()
        self.mirror.others.clear()
        self.front.forget()
        done = await self.device.update()
        return done.status == 0 and self.device.holds == wanted


def repository_in(folder: Path, **fields: Any) -> DeviceRepository:
    """Return a repository in a folder."""
    return DeviceRepository(RepositoryFolder(folder), **fields)
