"""The folder of a repository: what is published, and what is being signed.

`published/` is what any web server shows to devices. Its files bear their version and never change,
but for `timestamp.json`, which is renamed into place last: a device sees a whole repository, either
the old one or the new one. `drafts/` holds what waits for signatures.
"""

from pathlib import Path
from typing import Any

from attrs import frozen
from tuf.api.metadata import Metadata, Root, Snapshot, Timestamp


class NothingPublishedError(Exception):
    """The repository has not been published yet."""


@frozen
class RepositoryFolder:
    """See the module's docstring."""

    folder: Path

    @property
    def published(self) -> Path:
        """What devices are shown."""
        return self.folder / "published"

    @property
    def drafts(self) -> Path:
        """What waits for signatures."""
        return self.folder / "drafts"

    def draft_names(self) -> list[str]:
        """Return the roles that have a draft."""
        return sorted(path.stem for path in self.drafts.glob("*.json"))

    def draft(self, role: str) -> "Metadata[Any] | None":
        """Return a role's draft."""
        path = self.drafts / f"{role}.json"
        return Metadata[Any].from_bytes(path.read_bytes()) if path.is_file() else None

    def save_draft(self, role: str, metadata: "Metadata[Any]") -> None:
        """Keep a draft."""
        self.drafts.mkdir(parents=True, exist_ok=True)
        _write_whole(self.drafts / f"{role}.json", metadata.to_bytes())

    def forget_draft(self, role: str) -> None:
        """It is published."""
        (self.drafts / f"{role}.json").unlink(missing_ok=True)

    def publish(self, role: str, metadata: "Metadata[Any]") -> bytes:
        """Write a role's file for devices; its bytes."""
        self.published.mkdir(parents=True, exist_ok=True)
        content = metadata.to_bytes()
        version = "" if role == Timestamp.type else f"{metadata.signed.version}."
        _write_whole(self.published / f"{version}{role}.json", content)
        return content

    def root(self) -> "Metadata[Root] | None":
        """Return the newest root."""
        versions = [int(path.name.split(".")[0]) for path in self.published.glob("*.root.json")]
        return self._read(f"{max(versions)}.root.json") if versions else None

    def timestamp(self) -> "Metadata[Timestamp] | None":
        """Return what devices read first."""
        path = self.published / "timestamp.json"
        return self._read(path.name) if path.is_file() else None

    def snapshot(self) -> "Metadata[Snapshot] | None":
        """Return the snapshot that the timestamp names."""
        timestamp = self.timestamp()
        if timestamp is None:
            return None
        return self._read(f"{timestamp.signed.snapshot_meta.version}.snapshot.json")

    def targets(self, role: str) -> "Metadata[Any] | None":
        """Return a targets role as the snapshot names it."""
        snapshot = self.snapshot()
        meta = snapshot.signed.meta.get(f"{role}.json") if snapshot is not None else None
        return self._read(f"{meta.version}.{role}.json") if meta is not None else None

    def content(self, role: str, version: int) -> bytes:
        """Return the bytes of a published file."""
        return (self.published / f"{version}.{role}.json").read_bytes()

    def _read(self, name: str) -> "Metadata[Any]":
        return Metadata[Any].from_bytes((self.published / name).read_bytes())


def _write_whole(path: Path, content: bytes) -> None:
    """Write beside the place, then rename: a web server shows one file or the other."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(path)
