"""A TUF repository whose delegations are fleets, and whose keys have thresholds.

    root (offline, n of m) -> targets (offline, n of m) -> one role for each fleet (n of m)
    snapshot, timestamp: online; they tell which versions belong together, and that they are fresh

An edit makes a draft. People sign drafts, each with a key of his own. `publish` takes every draft
that has its threshold, and writes snapshot and timestamp with the online key.
"""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen
from securesystemslib.signer import Key, Signer
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from device_repository.files import RepositoryFolder

# How long what is signed counts: a device that is shown nothing newer refuses it after that. The
# offline ones are as long as people may be away, the timestamp as short as its renewal is certain.
LIFETIMES: Final[Mapping[str, dt.timedelta]] = {
    Root.type: dt.timedelta(days=365),
    Targets.type: dt.timedelta(days=180),
    Snapshot.type: dt.timedelta(days=14),
    Timestamp.type: dt.timedelta(days=2),
}
FLEET_LIFETIME: Final = dt.timedelta(days=90)
# A fleet's name is a role's, a file's, and a part of patterns: no glob may fit it.
FLEET: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
TOP_ROLES: Final = (Root.type, Targets.type, Snapshot.type, Timestamp.type)


class RepositoryError(Exception):
    """What was asked for cannot be; the message says why."""


@frozen
class RoleKeys:
    """Who signs a role: so many of these keys."""

    keys: tuple[Key, ...]
    threshold: int

    def __attrs_post_init__(self) -> None:
        """A threshold that nobody reaches, or that nobody needs, is a mistake."""
        if not 0 < self.threshold <= len({key.keyid for key in self.keys}):
            raise RepositoryError("a threshold is at least 1, and at most the number of keys")


@frozen
class DeviceRepository:
    """See the module's docstring."""

    files: RepositoryFolder
    lifetimes: Mapping[str, dt.timedelta] = LIFETIMES
    clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)

    def begin(self, keys: Mapping[str, RoleKeys]) -> None:
        """Make drafts of the first root and the first targets. `keys`: of the four top roles."""
        if self.files.root() is not None:
            raise RepositoryError("there is a repository already")
        root = Root(expires=self._expiry(Root.type), consistent_snapshot=True)
        for role in TOP_ROLES:
            _set_root_keys(root, role, keys[role])
        self.files.save_draft(Root.type, Metadata(root))
        targets = Targets(expires=self._expiry(Targets.type), delegations=Delegations({}, {}))
        self.files.save_draft(Targets.type, Metadata(targets))

    def set_keys(self, role: str, keys: RoleKeys) -> None:
        """Change who signs a role; a fleet that is new is delegated to."""
        if role in TOP_ROLES:
            root = self._edited(Root.type)
            _set_root_keys(root.signed, role, keys)
            self.files.save_draft(Root.type, root)
            again = () if role == Root.type else (role,)
        elif not FLEET.fullmatch(role):
            raise RepositoryError("a fleet's name is letters, digits, '.', '_', '-'")
        else:
            targets = self._edited(Targets.type)
            _delegate(targets.signed, role, keys)
            self.files.save_draft(Targets.type, targets)
            again = (role,)
        for each in again:  # what the old keys have signed, the new ones sign again
            if each not in {Snapshot.type, Timestamp.type}:
                self.files.save_draft(each, self._edited(each))

    def assign(self, fleet: str, target: TargetFile) -> None:
        """Have a fleet, or one device of it, run this."""
        draft = self._edited(fleet)
        draft.signed.targets[target.path] = target
        self.files.save_draft(fleet, draft)

    def withdraw(self, fleet: str, path: str) -> None:
        """Name nothing any more for this path."""
        draft = self._edited(fleet)
        if draft.signed.targets.pop(path, None) is None:
            raise RepositoryError(f"{fleet} names nothing for {path}")
        self.files.save_draft(fleet, draft)

    def sign(self, role: str, signer: Signer) -> int:
        """Add a signature to a draft; return how many it still lacks."""
        draft = self.files.draft(role)
        if draft is None:
            raise RepositoryError(f"{role} has no draft")
        draft.sign(signer, append=True)
        self.files.save_draft(role, draft)
        return self.missing(role)

    def missing(self, role: str) -> int:
        """Return how many signatures a draft lacks."""
        draft = self.files.draft(role)
        if draft is None:
            return 0
        results = [
            parent.get_verification_result(role, draft.signed_bytes, draft.signatures)
            for parent in self._delegators(role)
        ]
        return max(result.missing for result in results)

    def publish(self, online: Sequence[Signer]) -> list[str]:
        """Show devices every draft that is signed, and a fresh timestamp; return what was shown."""
        roles = self.files.draft_names()
        if lacking := [
            f"{role} lacks {self.missing(role)}" for role in roles if self.missing(role)
        ]:
            raise RepositoryError(f"signatures are missing: {', '.join(lacking)}")
        drafts = {role: self.files.draft(role) for role in roles}
        root = drafts.get(Root.type) or self.files.root()
        if root is None:
            raise RepositoryError("there is no repository yet: begin with init")
        for role in sorted(drafts, key=lambda role: role != Root.type):
            self.files.publish(role, _there(drafts[role]))
        self._publish_online({r: _there(m) for r, m in drafts.items()}, root.signed, online)
        for role in roles:
            self.files.forget_draft(role)
        return roles

    def _publish_online(
        self, drafts: Mapping[str, "Metadata[Any]"], root: Root, online: Sequence[Signer]
    ) -> None:
        before = self.files.snapshot()
        snapshot = Snapshot(
            version=1 + (before.signed.version if before else 0),
            expires=self._expiry(Snapshot.type),
            meta=dict(before.signed.meta) if before else {},
        )
        for role, metadata in drafts.items():
            if role != Root.type:
                content = self.files.content(role, metadata.signed.version)
                snapshot.meta[f"{role}.json"] = _described(metadata.signed.version, content)
        content = self.files.publish(Snapshot.type, _signed(Metadata(snapshot), root, online))
        last = self.files.timestamp()
        timestamp = Timestamp(
            version=1 + (last.signed.version if last else 0),
            expires=self._expiry(Timestamp.type),
            snapshot_meta=_described(snapshot.version, content),
        )
        self.files.publish(Timestamp.type, _signed(Metadata(timestamp), root, online))

    def _edited(self, role: str) -> "Metadata[Any]":
        """Return a role's draft, or a new one of what is published; nobody has signed it yet."""
        draft = self.files.draft(role)
        if draft is None:
            published = self.files.root() if role == Root.type else self.files.targets(role)
            draft = published or Metadata[Any](Targets(expires=self._expiry(role)))
            draft.signed.version += 1 if published else 0
        draft.signatures.clear()
        draft.signed.expires = self._expiry(role)
        return draft

    def _delegators(self, role: str) -> Iterable[Root | Targets]:
        """Give whoever says which keys sign a role; of a root the one before it as well."""
        root, draft = self.files.root(), self.files.draft(Root.type)
        if role == Root.type:
            return [each.signed for each in (root, draft) if each is not None]
        if role in TOP_ROLES:
            return [_there(draft or root).signed]
        targets = self.files.draft(Targets.type) or self.files.targets(Targets.type)
        return [_there(targets).signed]

    def _expiry(self, role: str) -> dt.datetime:
        lifetime = self.lifetimes.get(role, FLEET_LIFETIME)
        return (self.clock() + lifetime).replace(microsecond=0)


def target_of(
    fleet: str, slot: str, *, device: str | None, repository: str, manifest: bytes, media_type: str
) -> TargetFile:
    """Return what a fleet names for a slot: an artifact by its manifest's bytes."""
    path = "/".join(each for each in (fleet, device, slot) if each is not None)
    target = TargetFile.from_data(path, manifest, ["sha256"])
    target.unrecognized_fields["custom"] = {"repository": repository, "media_type": media_type}
    return target


def _set_root_keys(root: Root, role: str, keys: RoleKeys) -> None:
    for keyid in list(root.roles[role].keyids):
        root.revoke_key(keyid, role)
    for key in keys.keys:
        root.add_key(key, role)
    root.roles[role].threshold = keys.threshold


def _delegate(targets: Targets, fleet: str, keys: RoleKeys) -> None:
    """Give a fleet's keys its own paths, and nobody else's; nobody after it is asked for them."""
    delegations = targets.delegations or Delegations({}, {})
    targets.delegations = delegations
    roles = delegations.roles if delegations.roles is not None else {}
    delegations.roles = roles
    paths = [f"{fleet}/*", f"{fleet}/*/*"]
    if fleet in roles:
        for keyid in list(roles[fleet].keyids):
            targets.revoke_key(keyid, fleet)
    roles[fleet] = DelegatedRole(fleet, [], keys.threshold, terminating=True, paths=paths)
    for key in keys.keys:
        targets.add_key(key, fleet)


def _signed(metadata: "Metadata[Any]", root: Root, online: Sequence[Signer]) -> "Metadata[Any]":
    for signer in online:
        metadata.sign(signer, append=True)
    try:
        root.verify_delegate(metadata.signed.type, metadata.signed_bytes, metadata.signatures)
    except UnsignedMetadataError as error:
        raise RepositoryError(f"the online keys do not sign {metadata.signed.type}") from error
    return metadata


def _described(version: int, content: bytes) -> MetaFile:
    return MetaFile.from_data(version, content, ["sha256"])


def _there(metadata: "Metadata[Any] | None") -> "Metadata[Any]":
    if metadata is None:
        raise RepositoryError("there is no repository yet: begin with init")
    return metadata
