"""What devices ask for."""

from attrs import frozen


@frozen
class Content:
    """A blob or a manifest of the registry behind all servers."""

    repository: str
    kind: str  # `blobs` or `manifests`
    digest: str
    length: int

    @property
    def path(self) -> str:
        """Its place in a registry, behind `/v2/`."""
        return f"{self.repository}/{self.kind}/{self.digest}"

    @property
    def sha256(self) -> str:
        """The digest's hexadecimal form."""
        return self.digest.removeprefix("sha256:")
