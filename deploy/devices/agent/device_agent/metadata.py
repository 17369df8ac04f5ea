"""What the fleet has signed, by python-tuf, and what is said when it is not to be believed.

A target's name is `FLEET/DEVICE/SLOT`, or `FLEET/SLOT` for every device of the fleet; its digest
and length are those of the artifact's manifest or index, and its `custom` says where that lies:

    {"repository": "registry.local_5000/team/app", "media_type": "application/vnd.oci...+json"}

A slot for which the fleet names nothing makes the release incomplete, and nothing of it is taken.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

from attrs import frozen
from tuf.api import exceptions
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Timestamp
from tuf.ngclient.config import UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface
from tuf.ngclient.updater import Updater

from device_agent.config import Configuration
from device_agent.durable import read_bounded
from device_agent.errors import LinkError, RefusedError, StorageError, in_one_line
from device_agent.floors import ROOT, SNAPSHOT, TIMESTAMP, Floor, below
from device_agent.grammar import hex_of, is_repository
from device_agent.https import Client
from device_agent.index import INDEX_TYPES
from device_agent.manifest import MANIFEST_TYPES, MAX_MANIFEST_BYTES
from device_agent.release import Artifact, Release
from device_agent.state_folder import MAX_ROOT_BYTES

# A snapshot has some 100 bytes for each fleet, a fleet's targets some 400 for each artifact.
MAX_TIMESTAMP_BYTES: Final = 16 * 1024
MAX_SNAPSHOT_BYTES: Final = 1024 * 1024
MAX_TARGETS_BYTES: Final = 4 * 1024 * 1024  # parsed it takes ten times as much memory
MAX_ROOT_ROTATIONS: Final = 1024  # since the pinned root; each is signed by the one before
MAX_DELEGATIONS: Final = 8  # roles that are read for one target

_WORDS: Final[dict[type[Exception], str]] = {
    exceptions.ExpiredMetadataError: "frozen: the mirror shows metadata that has expired",
    exceptions.BadVersionNumberError: "rolled back or mixed: the mirror shows another version",
    exceptions.LengthOrHashMismatchError: "mixed: the mirror's files do not belong together",
    exceptions.UnsignedMetadataError: "not signed by enough keys of the fleet",
    exceptions.DownloadLengthMismatchError: "endless: the mirror sends more than is allowed",
}


_Signed = TypeVar("_Signed", Root, Snapshot, Timestamp)


class MirrorFetcher(FetcherInterface):
    """Brings metadata from the mirror, at a pace."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._base = client.peer.url.rstrip("/")

    def _fetch(self, url: str) -> Iterator[bytes]:
        with self._client.get(url.removeprefix(self._base), {}) as answer:
            if answer.status != 200:  # noqa: PLR2004 OK
                raise exceptions.DownloadHTTPError(answer.refusal(), answer.status)
            came = 0
            for piece in answer.pieces():
                came += len(piece)
                yield piece
            if answer.length is not None and came < answer.length:
                raise LinkError(f"the mirror's link broke at {came} of {answer.length} bytes")


@frozen
class Believed:
    """What signed metadata says now, and the versions that it has."""

    release: Release
    floors: tuple[Floor, ...]


def refresh(
    configuration: Configuration, root: bytes, remembered: Sequence[Floor], folder: Path
) -> Believed:
    """Ask the mirror; RefusedError if it lies, LinkError if it is away.

    `root`: the pinned one. `folder`: python-tuf's own, in which it looks for what it had.
    """
    try:
        updater = _updater(configuration, root, folder)
        updater.refresh()
        targets = {slot: _target(updater, configuration, slot) for slot in configuration.slots}
    except exceptions.DownloadLengthMismatchError as error:
        raise _refusal(error) from error
    except exceptions.DownloadError as error:
        raise _of_link(error) from error
    except exceptions.RepositoryError as error:
        raise _refusal(error) from error
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror}") from error
    floors = tuple(_seen(folder))
    if sentences := below(remembered, floors):
        raise RefusedError(f"rolled back: {'; '.join(sentences)}")
    return Believed(_release(targets), floors)


def _updater(configuration: Configuration, root: bytes, folder: Path) -> Updater:
    client = Client.of(configuration.metadata, configuration.limits)
    limits = UpdaterConfig(
        max_root_rotations=MAX_ROOT_ROTATIONS,
        max_delegations=MAX_DELEGATIONS,
        root_max_length=MAX_ROOT_BYTES,
        timestamp_max_length=MAX_TIMESTAMP_BYTES,
        snapshot_max_length=MAX_SNAPSHOT_BYTES,
        targets_max_length=MAX_TARGETS_BYTES,
    )
    return Updater(
        str(folder),
        configuration.metadata.url,
        fetcher=MirrorFetcher(client),
        config=limits,
        bootstrap=root,
    )


def _target(updater: Updater, configuration: Configuration, slot: str) -> TargetFile | None:
    fleet, device = configuration.fleet, configuration.device
    own = updater.get_targetinfo(f"{fleet}/{device}/{slot}")
    return own or updater.get_targetinfo(f"{fleet}/{slot}")


def _release(targets: dict[str, TargetFile | None]) -> Release:
    """Return the whole release; RefusedError if a slot is missing or is nothing to pull."""
    if missing := [slot for slot, target in targets.items() if target is None]:
        raise RefusedError(f"incomplete: the fleet names nothing for {', '.join(missing)}")
    return Release(
        tuple(_artifact(slot, target) for slot, target in sorted(targets.items()) if target)
    )


def _artifact(slot: str, target: TargetFile) -> Artifact:
    match (target.custom, target.hashes):
        case (
            {"repository": str(repository), "media_type": str(media_type)},
            {"sha256": str(hex_)},
        ):
            artifact = Artifact(slot, repository, f"sha256:{hex_}", target.length, media_type)
        case _:
            raise RefusedError(f"{slot}: the target names no repository, media type and sha256")
    if not _is_pullable(artifact):
        raise RefusedError(f"{slot}: the target's repository, digest, length or type is none")
    return artifact


def _is_pullable(artifact: Artifact) -> bool:
    try:
        hex_of(artifact.digest)
    except ValueError:
        return False
    return (
        is_repository(artifact.repository)
        and artifact.media_type in {*MANIFEST_TYPES, *INDEX_TYPES}
        and 0 < artifact.length <= MAX_MANIFEST_BYTES
    )


def _seen(folder: Path) -> Iterator[Floor]:
    """Give the version of each role that was believed, with the keys that it counts for."""
    root = _read(folder, ROOT, Root, MAX_ROOT_BYTES)
    snapshot = _read(folder, SNAPSHOT, Snapshot, MAX_SNAPSHOT_BYTES)
    keys = {role: tuple(sorted(root.roles[role].keyids)) for role in (TIMESTAMP, SNAPSHOT)}
    yield Floor(ROOT, root.version, ())
    yield Floor(SNAPSHOT, snapshot.version, keys[SNAPSHOT])
    timestamp = _read(folder, TIMESTAMP, Timestamp, MAX_TIMESTAMP_BYTES)
    yield Floor(TIMESTAMP, timestamp.version, keys[TIMESTAMP])
    for name, meta in snapshot.meta.items():
        if "/" not in name and (folder / name).is_file():  # of other fleets nothing was read
            yield Floor(name.removesuffix(".json"), meta.version, keys[SNAPSHOT])


def _read(folder: Path, role: str, kind: type[_Signed], limit: int) -> _Signed:
    """Return metadata that python-tuf has just believed and kept."""
    content = read_bounded(folder / f"{role}.json", limit)
    signed = Metadata.from_bytes(content).signed
    if not isinstance(signed, kind):
        raise RefusedError(f"{role}.json is none")
    return signed


def _refusal(error: Exception) -> RefusedError:
    """Say which attack it looks like; python-tuf's own words say where."""
    kinds = [word for kind, word in _WORDS.items() if isinstance(error, kind)]
    word = kinds[0] if kinds else "the mirror's metadata is not to be believed"
    return RefusedError(f"{word}: {in_one_line(error)}")


def _of_link(error: exceptions.DownloadError) -> LinkError:
    """Say what the mirror answered in place of metadata."""
    return LinkError(f"the mirror of the metadata: {in_one_line(error)}")
