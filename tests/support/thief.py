"""Whoever has stolen keys of a fleet: he signs what he likes with those that he has."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen
from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Timestamp

from device_repository.files import RepositoryFolder
from device_repository.repository import target_of
from tests.support.fleet_keys import FLEET

A_YEAR = dt.timedelta(days=365)


@frozen
class Thief:
    """`stolen`: the signers that he has, by role. For every other role he has keys of his own."""

    files: RepositoryFolder
    stolen: Mapping[str, tuple[Signer, ...]]
    own: Signer

    @classmethod
    def of(cls, files: RepositoryFolder, **stolen: Iterable[Signer]) -> "Thief":
        """Make one."""
        have = {role.replace("_", "-"): tuple(keys) for role, keys in stolen.items()}
        return cls(files, have, CryptoSigner.generate_ed25519())

    def forge_target(self, slot: str, **fields: Any) -> dict[str, bytes]:
        """Return files in which the fleet names another artifact: whole, and one fits the other."""
        fleet = self._read(FLEET)
        target = target_of(FLEET, slot, device=None, **fields)
        fleet.signed.targets[target.path] = target
        return self._chain({FLEET: fleet})

    def forge_root(self) -> dict[str, bytes]:
        """Return a next root in which every role is the thief's."""
        root = self._root()
        root.signed.version += 1
        for role in root.signed.roles:
            root.signed.add_key(self.own.public_key, role)
            root.signed.roles[role].threshold = 1
        name = f"{root.signed.version}.root.json"
        return {name: self._signed(root, Root.type)}

    def forge_online(self, *, versions: Mapping[str, int]) -> dict[str, bytes]:
        """Return a snapshot and a timestamp that bring back files of before, by their versions."""
        changed = {
            role: (self.files.published / f"{version}.{role}.json").read_bytes()
            for role, version in versions.items()
        }
        return self._online(changed, versions)

    def _chain(self, roles: Mapping[str, "Metadata[Any]"]) -> dict[str, bytes]:
        files, contents, versions = {}, {}, {}
        for role, metadata in roles.items():
            metadata.signed.version += 1
            metadata.signed.expires = _now() + A_YEAR
            versions[role] = metadata.signed.version
            contents[role] = self._signed(metadata, role)
            files[f"{versions[role]}.{role}.json"] = contents[role]
        return {**files, **self._online(contents, versions)}

    def _online(
        self, contents: Mapping[str, bytes], versions: Mapping[str, int]
    ) -> dict[str, bytes]:
        snapshot, timestamp = self.files.snapshot(), self.files.timestamp()
        assert snapshot is not None
        assert timestamp is not None
        for role, content in contents.items():
            described = MetaFile.from_data(versions[role], content, ["sha256"])
            snapshot.signed.meta[f"{role}.json"] = described
        snapshot.signed.version += 1
        shown = self._signed(snapshot, Snapshot.type)
        timestamp.signed.snapshot_meta = MetaFile.from_data(
            snapshot.signed.version, shown, ["sha256"]
        )
        timestamp.signed.version += 1
        return {
            f"{snapshot.signed.version}.snapshot.json": shown,
            "timestamp.json": self._signed(timestamp, Timestamp.type),
        }

    def _signed(self, metadata: "Metadata[Any]", role: str) -> bytes:
        metadata.signatures.clear()
        for signer in (*self.stolen.get(role, ()), self.own):
            metadata.sign(signer, append=True)
        return metadata.to_bytes()

    def _read(self, role: str) -> "Metadata[Any]":
        metadata = self.files.targets(role)
        assert metadata is not None
        return metadata

    def _root(self) -> "Metadata[Root]":
        root = self.files.root()
        assert root is not None
        return root


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)
