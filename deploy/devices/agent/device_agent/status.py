"""What the agent knows, for people and for programs; and whether the device is what it believes."""

import json
from typing import Any

from attrs import frozen

from device_agent import journal as journals
from device_agent.applying import Slots
from device_agent.config import Configuration
from device_agent.contents import Contents
from device_agent.errors import ApplyError, RefusedError
from device_agent.health import Health
from device_agent.journal import Journal
from device_agent.state_folder import StateFolder
from device_agent.store import Store, digest_of


@frozen
class Status:
    """The journal, as it is shown."""

    journal: Journal

    def as_json(self) -> str:
        """As one JSON object."""
        return json.dumps(self._fields(), indent=2)

    def as_text(self) -> str:
        """As lines `name: value`."""
        shown = {**self._fields(), "versions": _versions(self.journal)}
        return "\n".join(f"{name}: {_words(value)}" for name, value in shown.items())

    def _fields(self) -> dict[str, Any]:
        journal = self.journal
        believed = journal.believed_at
        return {
            "phase": str(journal.phase),
            "applied": _artifacts(journal.applied),
            "wanted": _artifacts(journal.wanted),
            "problem": journal.problem,
            "believed_at": believed.isoformat(timespec="seconds") if believed else None,
            "versions": {floor.role: floor.version for floor in journal.floors},
        }


def _artifacts(release: Any) -> dict[str, str] | None:
    if release is None:
        return None
    return {each.slot: f"{each.repository}@{each.digest}" for each in release.artifacts}


def _versions(journal: Journal) -> str:
    return ", ".join(f"{floor.role} {floor.version}" for floor in journal.floors)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(f"\n  {name} {each}" for name, each in value.items()) or "nothing"
    return "nothing" if value in {None, ""} else str(value)


def read_status(configuration: Configuration) -> Status:
    """Return what the journal says."""
    return Status(journals.load(StateFolder(configuration.state).journal))


def verify(configuration: Configuration) -> list[str]:
    """Read all that was applied once more, without a network; return what is wrong with it."""
    state = StateFolder(configuration.state)
    applied = journals.load(state.journal).applied
    if applied is None:
        return ["nothing is applied"]
    store = Store(state.store)
    contents = Contents(configuration, store)
    try:
        stored = [each for each in contents.digests(applied) if not _is_whole(store, each)]
    except (OSError, RefusedError, ApplyError) as error:
        return [f"the stored manifests cannot be read: {error}"]
    found = [f"{digest}: its stored bytes are others" for digest in stored]
    return found + Slots(configuration, store, contents, Health()).problems(applied)


def _is_whole(store: Store, digest: str) -> bool:
    path = store.place(digest)
    return path.is_file() and digest_of(path) == digest
