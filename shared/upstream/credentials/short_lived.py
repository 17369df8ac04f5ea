"""What a provider's stored credential becomes at pull time."""

from typing import Protocol

from attrs import frozen

from shared.upstream.basic_credential import BasicCredential


@frozen
class ShortLivedCredential:
    """What a registry is shown, and for how long from now; None: as long as the connection."""

    basic: BasicCredential
    lifetime_seconds: float | None


class CredentialProvider(Protocol):
    """Mints the credential of one connection. Its caller may cache it."""

    async def mint(self) -> ShortLivedCredential:
        """Return a new credential; raise `UpstreamError` naming the step that failed."""
