"""The bytes of a release: brought, held against what was signed, and read again."""

import platform
import shutil
from collections.abc import Iterator, Mapping

from attrs import field, frozen

from device_agent.config import Configuration, ModelSlot
from device_agent.descriptor import Descriptor
from device_agent.device_platform import Platform
from device_agent.download import Downloads
from device_agent.errors import RefusedError
from device_agent.index import INDEX_TYPES, choose_manifest
from device_agent.layers import unpacked_digest
from device_agent.manifest import (
    MAX_CONFIG_BYTES,
    MAX_MANIFEST_BYTES,
    Manifest,
    diff_ids_of,
    expect_model,
    packing_of,
    read_manifest,
)
from device_agent.release import Artifact, Release
from device_agent.store import Store


def _this_device() -> Platform:
    return Platform.of_machine(platform.machine())


@frozen
class Contents:
    """What a release's slots are filled with."""

    configuration: Configuration
    store: Store
    platform: Platform = field(factory=_this_device)

    def bring(self, release: Release, downloads: Downloads) -> None:
        """Have every byte of a release in the store, and know that it hangs together."""
        manifests = {each: self._bring_manifest(each, downloads) for each in release.artifacts}
        self._forget_others(release, manifests)
        self.store.expect_room(
            self.store.missing(blob for each in manifests.values() for blob in each.blobs),
            self.configuration.limits.keep_free_bytes,
        )
        for artifact, manifest in manifests.items():
            for blob in manifest.blobs:
                downloads.blob(artifact.repository, blob)
            self._expect_one_piece(artifact, manifest)

    def named_manifest(self, artifact: Artifact) -> Descriptor:
        """Return the manifest that was signed, or that the signed index names for this device.

        An index is in the store.
        """
        signed = artifact.descriptor
        if signed.media_type not in INDEX_TYPES:
            return signed
        index = self.store.read(signed.digest, MAX_MANIFEST_BYTES)
        return choose_manifest(index, signed.media_type, self.platform)

    def manifest_of(self, artifact: Artifact) -> Manifest:
        """Return the manifest of an artifact that is in the store."""
        named = self.named_manifest(artifact)
        content = self.store.read(named.digest, MAX_MANIFEST_BYTES)
        return read_manifest(content, named.media_type, self.configuration.limits.max_blob_bytes)

    def digests(self, release: Release) -> Iterator[str]:
        """Give the digests of all that a release in the store is made of."""
        for artifact in release.artifacts:
            yield from {artifact.digest, self.named_manifest(artifact).digest}
            yield from (blob.digest for blob in self.manifest_of(artifact).blobs)

    def name_images(self, release: Release, names: Mapping[Artifact, str]) -> None:
        """Name the release's manifests in the store's index."""
        self.store.name_images(
            {names[each]: self.named_manifest(each) for each in release.artifacts}
        )

    def _bring_manifest(self, artifact: Artifact, downloads: Downloads) -> Manifest:
        downloads.manifest(artifact.repository, artifact.descriptor)
        downloads.manifest(artifact.repository, self.named_manifest(artifact))
        manifest = self.manifest_of(artifact)
        if isinstance(self.configuration.slots[artifact.slot], ModelSlot):
            expect_model(manifest)
        else:  # a layer that cannot be looked into is not even asked for
            for layer in manifest.layers:
                packing_of(layer)
        return manifest

    def _forget_others(self, release: Release, manifests: Mapping[Artifact, Manifest]) -> None:
        """Give room: what came of another release that nobody wants any more goes."""
        digests = [blob.digest for each in manifests.values() for blob in each.blobs]
        digests += [each.digest for each in release.artifacts]
        self.store.forget_arriving_but(digests)

    def _expect_one_piece(self, artifact: Artifact, manifest: Manifest) -> None:
        """Raise RefusedError unless manifest, config and layers hang together."""
        if isinstance(self.configuration.slots[artifact.slot], ModelSlot):
            return
        config = self.store.read(manifest.config.digest, MAX_CONFIG_BYTES)
        room = shutil.disk_usage(self.store.folder).free
        diff_ids = diff_ids_of(manifest, config, self.platform)
        for layer, diff_id in zip(manifest.layers, diff_ids, strict=True):
            path = self.store.place(layer.digest)
            digest, size = unpacked_digest(path, packing_of(layer), limit=room)
            room -= size
            if digest != diff_id:
                raise RefusedError(f"{artifact.slot}: a layer is not what the image's config says")
