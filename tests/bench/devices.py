"""As many devices as a measure wants, each with a certificate of its own."""

from pathlib import Path

from attrs import define, field

from deploy.dev.device_ca import CertificateAuthority
from tests.bench.load.jobs import Identity


@define
class Devices:
    """Issues certificates, each device's once."""

    authority: CertificateAuthority
    folder: Path
    _issued: list[Identity] = field(factory=list)

    def first(self, count: int) -> list[Identity]:
        """Return the first `count` devices."""
        while len(self._issued) < count:
            name = f"device-{len(self._issued)}"
            files = self.authority.issue_device(device=name).write(self.folder, name)
            self._issued.append(Identity(str(files.certificate), str(files.key)))
        return self._issued[:count]

    def groups(self, count: int, size: int) -> list[list[Identity]]:
        """Return as many groups of devices, no device in two of them."""
        devices = self.first(count * size)
        return [devices[start : start + size] for start in range(0, len(devices), size)]
