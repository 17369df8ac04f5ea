"""The files of a release, by what they are."""

import hashlib
from pathlib import Path
from typing import Any

import orjson
from attrs import frozen


@frozen
class Release:
    """The folder that `make release` wrote."""

    folder: Path

    @property
    def version(self) -> str:
        """Of the product."""
        return self.wheel.name.split("-")[1]

    @property
    def wheel(self) -> Path:
        """The product alone."""
        return self._only("registry_facade-*.whl")

    @property
    def images(self) -> Path:
        """Both images, in one archive."""
        return self._only("registry-backends-image-*.tar")

    @property
    def device_package(self) -> Path:
        """The device agent, for Debian."""
        return self._only("device-agent_*.deb")

    @property
    def machine_folder(self) -> Path:
        """Where the machine is that the packages are installed on; it is no part of the release."""
        return self.folder.with_name(f"{self.folder.name}-machine")

    def bill_of_materials(self, name: str) -> dict[str, Any]:
        """Return what an image is made of, as CycloneDX says it."""
        document: dict[str, Any] = orjson.loads(self.bill_of_materials_text(name))
        return document

    def bill_of_materials_text(self, name: str) -> str:
        """Return the document itself."""
        return self._only(f"{name}-image-*.cdx.json").read_text()

    def sums(self) -> dict[str, str]:
        """Return the digest that the release says of each file."""
        lines = (self.folder / "SHA256SUMS").read_text().splitlines()
        return {name: digest for digest, name in (line.split("  ") for line in lines)}

    def digests(self) -> dict[str, str]:
        """Return the digest of each file as it is."""
        files = [path for path in self.folder.iterdir() if path.name != "SHA256SUMS"]
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def _only(self, pattern: str) -> Path:
        (found,) = self.folder.glob(pattern)
        return found
