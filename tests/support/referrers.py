"""Manifests that refer to others, and the lists that registries and facades give of them."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson
from attrs import frozen

from shared.oci import OCI_INDEX, OCI_MANIFEST, Digest
from tests.support.simulators.registry import RegistrySimulator

SIGNATURE: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
SBOM: Final = "application/spdx+json"
EMPTY_CONFIG: Final = {
    "mediaType": "application/vnd.oci.empty.v1+json",
    "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    "size": 2,
}


@frozen
class Attached:
    """A manifest that refers to another one, or says so."""

    content: bytes
    media_type: str = OCI_MANIFEST

    @property
    def digest(self) -> str:
        """What names it."""
        return str(Digest.of(self.content))

    @property
    def claimed(self) -> dict[str, Any]:
        """What an honest registry's list says of it, in part."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content)}


def attached(subject_digest: str, artifact_type: str | None = SIGNATURE, **fields: Any) -> Attached:
    """Return an image manifest that refers to a subject; a field of None is left out."""
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": EMPTY_CONFIG,
        "layers": [EMPTY_CONFIG],
        "subject": {"mediaType": OCI_MANIFEST, "digest": subject_digest, "size": 7},
        **fields,
    }
    given = {name: value for name, value in manifest.items() if value is not None}
    return Attached(orjson.dumps(given), given.get("mediaType", OCI_MANIFEST))


def index_with(entries: Iterable[object]) -> bytes:
    """Return an image index with these entries."""
    return orjson.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*entries]})


def serve(registry: RegistrySimulator, manifests: Sequence[Attached], **how: Any) -> None:
    """Have a registry give manifests."""
    for each in manifests:
        registry.manifest(each.content, media_type=each.media_type, **how)


def list_them(registry: RegistrySimulator, subject: str, manifests: Sequence[Attached]) -> None:
    """Have a registry give manifests, and list them as an honest one does."""
    serve(registry, manifests)
    registry.listing(subject, index_with(each.claimed for each in manifests))


def digests_of(body: bytes) -> list[str]:
    """Return the digests on a list."""
    return [each["digest"] for each in orjson.loads(body)["manifests"]]
