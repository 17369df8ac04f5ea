"""The devices and certificates that are revoked, by the subjects of their statements. Pure."""

from attrs import define, field

from facade.values.device_identity import DeviceIdentity


@define
class RevokedDevices:
    """Those of one snapshot. For one event loop."""

    _subjects: set[str] = field(factory=set, init=False)

    def add(self, subject: str) -> None:
        """Count a device or a certificate as revoked."""
        self._subjects.add(subject)

    def lift(self, subject: str) -> None:
        """Count it as revoked no more."""
        self._subjects.discard(subject)

    def includes(self, device: DeviceIdentity, issuer: str) -> bool:
        """Tell whether the device, or its certificate, is revoked. The issuer is RFC 4514."""
        return bool(self._subjects) and not self._subjects.isdisjoint(
            (
                *(f"device/{name}" for name in device.names),
                f"certificate/{device.serial}/",
                f"certificate/{device.serial}/{issuer}",
            )
        )
