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

    def groups(self, count: int, groups: int) -> list[list[Identity]]:
        """Return the first `count` devices in at most so many groups, as equal as can be."""
        devices = self.first(count)
        return [group for number in range(groups) if (group := devices[number::groups])]
