"""All that the agent knows between two runs, in one file that appears whole or not at all."""

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import Any, Final, Self

import cattrs
from attrs import evolve, frozen

from device_agent.durable import read_bounded, write_whole
from device_agent.errors import ConfigurationError
from device_agent.floors import Floor
from device_agent.machine import Event, Phase, advance
from device_agent.release import Release

MAX_JOURNAL_BYTES: Final = 1024 * 1024  # two releases of a hundred slots are 100 KB
MAX_REFUSED: Final = 16  # releases that failed here; the newest ones count

_CONVERTER: Final = cattrs.Converter(forbid_extra_keys=True)
_CONVERTER.register_unstructure_hook(dt.datetime, dt.datetime.isoformat)
_CONVERTER.register_structure_hook(dt.datetime, lambda text, _: dt.datetime.fromisoformat(text))


@frozen
class Failure:
    """A release that was tried here and taken back, and why."""

    fingerprint: str
    reason: str


@frozen
class Journal:
    """Where the agent stands.

    `applied` is what runs, or ran before the update that is under way; `wanted` what comes.
    `believed_at` is the last time at which signed metadata was believed: no clock goes behind it.
    """

    phase: Phase = Phase.IDLE
    applied: Release | None = None
    wanted: Release | None = None
    tries: int = 0
    failures: tuple[Failure, ...] = ()
    floors: tuple[Floor, ...] = ()
    believed_at: dt.datetime | None = None
    problem: str | None = None

    def after(self, event: Event, **changed: Any) -> Self:
        """Return the journal after an event."""
        return evolve(self, phase=advance(self.phase, event), **changed)

    def failed_here(self, release: Release) -> Failure | None:
        """Return how a release failed here before."""
        known = (each for each in self.failures if each.fingerprint == release.fingerprint)
        return next(known, None)

    def with_failure(self, release: Release, reason: str) -> tuple[Failure, ...]:
        """Return the failures with one more."""
        others = [each for each in self.failures if each.fingerprint != release.fingerprint]
        return (*others, Failure(release.fingerprint, reason))[-MAX_REFUSED:]


def save(path: Path, journal: Journal) -> None:
    """Write it; after the return it is what the next process finds."""
    content = json.dumps(_CONVERTER.unstructure(journal), indent=1)
    envelope = {"journal": content, "sha256": _sum(content)}
    write_whole(path, json.dumps(envelope).encode())


def load(path: Path) -> Journal:
    """Read it; ConfigurationError if there is none, or if the disk has changed it."""
    raw = read_bounded(path, MAX_JOURNAL_BYTES)
    try:
        envelope = json.loads(raw)
        content = envelope["journal"]
        if envelope["sha256"] != _sum(content):
            raise ValueError("its sum is another")
        return _CONVERTER.structure(json.loads(content), Journal)
    except (ValueError, KeyError, TypeError, AttributeError, cattrs.BaseValidationError) as error:
        raise ConfigurationError(
            f"{path} is damaged, and with it what protects this device from old metadata: look at"
            " the disk, then install again with the newest root (`device-agent install --again`)"
        ) from error


def _sum(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
