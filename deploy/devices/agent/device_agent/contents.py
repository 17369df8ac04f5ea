"""The bytes of a release: brought, held against what was signed, and read again."""

import platform
import shutil
from collections.abc import Iterator, Mapping

from attrs import frozen

from device_agent.config import Configuration, ModelSlot
from device_agent.download import Downloads
from device_agent.errors import RefusedError
from device_agent.layers import unpacked_digest
from device_agent.manifest import (
    MAX_CONFIG_BYTES,
    MAX_MANIFEST_BYTES,
    Descriptor,
    Manifest,
    diff_ids_of,
    expect_model,
    expect_readable_layer,
    read_manifest,
)
from device_agent.release import Artifact, Release
from device_agent.store import Store


@frozen
class Contents:
    """What a release's slots are filled with."""

    configuration: Configuration
    store: Store

    def bring(self, release: Release, downloads: Downloads) -> None:
        """Have every byte of a release in the store, and know that it hangs together."""
        manifests = {each: self._manifest(each, downloads) for each in release.artifacts}
        self._forget_others(release, manifests)
        self.store.expect_room(
            self.store.missing(blob for each in manifests.values() for blob in each.blobs),
            self.configuration.limits.keep_free_bytes,
        )
        for artifact, manifest in manifests.items():
            for blob in manifest.blobs:
                downloads.blob(artifact.repository, blob)
            self._expect_one_piece(artifact, manifest)

    def manifest_of(self, artifact: Artifact) -> Manifest:
        """Return the manifest of an artifact that is in the store."""
        content = self.store.read(artifact.digest, MAX_MANIFEST_BYTES)
        limit = self.configuration.limits.max_blob_bytes
        return read_manifest(content, artifact.media_type, limit)

    def digests(self, release: Release) -> Iterator[str]:
        """Give the digests of all that a release in the store is made of."""
        for artifact in release.artifacts:
            yield artifact.digest
            yield from (blob.digest for blob in self.manifest_of(artifact).blobs)

    def name_images(self, release: Release, names: Mapping[Artifact, str]) -> None:
        """Name the release's manifests in the store's index."""
        self.store.name_images(
            {
                names[each]: Descriptor(each.digest, each.length, each.media_type)
                for each in release.artifacts
            }
        )

    def _manifest(self, artifact: Artifact, downloads: Downloads) -> Manifest:
        content = downloads.manifest(artifact)
        limit = self.configuration.limits.max_blob_bytes
        manifest = read_manifest(content, artifact.media_type, limit)
        if isinstance(self.configuration.slots[artifact.slot], ModelSlot):
            expect_model(manifest)
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
        for layer, diff_id in zip(
            manifest.layers, diff_ids_of(manifest, config, platform.machine()), strict=True
        ):
            compressed = expect_readable_layer(layer)
            path = self.store.place(layer.digest)
            digest, size = unpacked_digest(path, compressed=compressed, limit=room)
            room -= size
            if digest != diff_id:
                raise RefusedError(f"{artifact.slot}: a layer is not what the image's config says")
