"""The file of targets: YAML or JSON, read again when it changes; a wrong one changes nothing.

targets:
  - name: pager
    url: https://hooks.example/registry
    secrets: [whsec_…]            # two while one is rotated: both sign
    events: [connection.draft_waits, audit.problem]   # without this line: all
    allowed_networks: [10.0.0.0/8]                    # beside public addresses
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from attrs import define, field

from control_plane.clock import now
from control_plane.errors import ControlPlaneError, InvalidRequestError
from control_plane.prefix import PREFIX
from control_plane.reading.field_reader import FieldReader
from control_plane.webhooks.webhook_target import WebhookTarget, parse_target
from shared.outside_bytes import Party, reads_bytes_of
from shared.plain_yaml import PlainYamlError, read_plain_yaml
from shared.structured_log import get_logger
from shared.watched_files import WatchedFiles

SETTING: Final = f"{PREFIX}_WEBHOOKS_FILE"
MAX_FILE_BYTES: Final = 128 * 1024  # sixteen targets, some with a bundle of CAs
MAX_TARGETS: Final = 16  # each has a task, connections and series of metrics
MAX_DEPTH: Final = 8  # a list in a target is the fourth
MAX_NAMED_PROBLEMS: Final = 20  # enough to see what is wrong

_log = get_logger(__name__)


class TargetsFileError(ControlPlaneError):
    """The file names no targets that can be used; the message quotes nothing of it."""


@reads_bytes_of(Party.FILE)
def parse_targets(content: bytes) -> tuple[WebhookTarget, ...]:
    """Return the targets of a file; raise `TargetsFileError`."""
    document = _loaded(content)
    if not isinstance(document, dict) or not all(isinstance(name, str) for name in document):
        raise TargetsFileError("expected `targets:` and a list of them")
    fields = FieldReader(document)
    objects = fields.objects("targets", at_most=MAX_TARGETS)
    problems = [*_problems(fields.refusal(), "")]
    targets = list[WebhookTarget]()
    for number, each in enumerate(objects):
        try:
            targets.append(parse_target(_named(each)))
        except InvalidRequestError as error:
            problems += _problems(error, f"/targets/{number}")
    names = Counter(target.name for target in targets)
    problems += (f"/targets: {name} is named twice" for name, count in names.items() if count > 1)
    if problems:
        raise TargetsFileError("; ".join(problems[:MAX_NAMED_PROBLEMS]))
    return tuple(targets)


def _loaded(content: bytes) -> object:
    try:
        return read_plain_yaml(content, max_bytes=MAX_FILE_BYTES, max_depth=MAX_DEPTH)
    except PlainYamlError as error:
        raise TargetsFileError(str(error)) from None


def _named(body: Mapping[Any, object]) -> Mapping[str, object]:
    """Return the target's fields; YAML may name one by a number or a truth value."""
    return {
        name if isinstance(name, str) else repr(type(name)): each for name, each in body.items()
    }


def _problems(error: InvalidRequestError, place: str) -> Iterator[str]:
    return (f"{place}{each.pointer}: {each.detail}" for each in error.errors)


@define(eq=False)
class TargetsFile:
    """The targets in use, and the file that they came from."""

    _files: WatchedFiles
    current: tuple[WebhookTarget, ...]
    turned_on_at: datetime  # what was off before then is tried again
    refused: str | None = field(default=None, init=False)  # why the file is not used as it is now
    changes: int = field(default=0, init=False)  # counts what may turn a target on again

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the configured targets. Blocks; raises `TargetsFileError`."""
        files = WatchedFiles({SETTING: path}, MAX_FILE_BYTES)
        found = files.read()
        for why in found.unreadable.values():
            raise TargetsFileError(why)
        targets = parse_targets(found.contents[SETTING])
        return cls(files, targets, datetime.fromtimestamp(path.stat().st_mtime, UTC))

    async def look(self) -> None:
        """Take over a changed file, if it can be used."""
        found = await asyncio.to_thread(self._files.read_if_changed)
        if found is None:
            return
        try:
            for why in found.unreadable.values():
                raise TargetsFileError(why)
            targets = await asyncio.to_thread(parse_targets, found.contents[SETTING])
        except TargetsFileError as error:
            if self.refused != str(error):
                _log.warning("webhook targets not reloaded", variable=SETTING, reason=str(error))
            self.refused = str(error)
            return
        self.refused = None
        if targets != self.current:
            self.current = targets
            self.turn_on()
            _log.info("webhook targets reloaded", variable=SETTING, count=len(targets))

    def turn_on(self) -> None:
        """Have targets that are off tried again: somebody asked for it, or changed the file."""
        self.turned_on_at, self.changes = now(), self.changes + 1
