"""The keys of a fleet's repository, and of whoever has stolen some of them."""

from collections.abc import Mapping
from typing import Self

from attrs import frozen
from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import Root, Snapshot, Targets, Timestamp

from device_repository.repository import DeviceRepository, RoleKeys

FLEET = "line-a"
TOP_ROLES = (Root.type, Targets.type, Snapshot.type, Timestamp.type)


@frozen
class FleetKeys:
    """For each role its signers. Every role has a threshold of two, the online ones too."""

    signers: Mapping[str, tuple[Signer, ...]]
    threshold: int = 2

    @classmethod
    def make(cls, *roles: str, count: int = 3) -> Self:
        """Make as many keys for each role."""
        return cls(
            {
                role: tuple(CryptoSigner.generate_ed25519() for _ in range(count))
                for role in (*TOP_ROLES, *(roles or (FLEET,)))
            }
        )

    def role_keys(self, role: str) -> RoleKeys:
        """Return what is delegated to."""
        return RoleKeys(tuple(each.public_key for each in self.signers[role]), self.threshold)

    @property
    def top(self) -> dict[str, RoleKeys]:
        """Return the keys of the four top roles."""
        return {role: self.role_keys(role) for role in TOP_ROLES}

    @property
    def online(self) -> tuple[Signer, ...]:
        """What signs snapshot and timestamp: each is signed by all, and its own count."""
        return (*self.signers[Snapshot.type], *self.signers[Timestamp.type])

    def sign_all(self, repository: DeviceRepository) -> None:
        """Have as many people as are needed sign every draft, and show it to devices."""
        for role in repository.files.draft_names():
            for signer in self.signers[role][: self.threshold]:
                repository.sign(role, signer)
        repository.publish(self.online)
