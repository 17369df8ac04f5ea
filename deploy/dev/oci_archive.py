"""An image of `deploy.dev.image` as a file that podman loads: an OCI image layout in a tar."""

import tarfile
from io import BytesIO
from pathlib import Path

import orjson

from deploy.dev.image import INDEX, Image

_NAME = "org.opencontainers.image.ref.name"


def oci_archive(image: Image, name: str, folder: Path) -> Path:
    """Write the archive into `folder`; `podman load` calls the image `name`."""
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [{**image.manifest.descriptor, "annotations": {_NAME: name}}],
    }
    files = {
        "oci-layout": orjson.dumps({"imageLayoutVersion": "1.0.0"}),
        "index.json": orjson.dumps(index),
    }
    for content in (image.manifest, *image.blobs):
        files[f"blobs/{content.digest.replace(':', '/')}"] = content.body
    path = folder / "image.tar"
    with tarfile.open(path, "w") as archive:
        for member, body in files.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(body)
            archive.addfile(entry, BytesIO(body))
    return path
