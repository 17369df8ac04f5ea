"""Hot reload: when files change, their content is taken over, unless it is broken.

It looks every few seconds, and at once on SIGHUP. If a new file is broken, the old content stays in
use; a metric and one log line for each broken content say so.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from attrs import define, field

from facade.loop.thread_work import in_access_thread
from facade.metrics.device_metrics import DeviceMetrics
from shared.stopping import is_set_within
from shared.structured_log import get_logger
from shared.supervised import report
from shared.watched_files import FoundFiles, WatchedFiles

RELOAD_SECONDS: Final = 2.0  # a look is a stat of each file; a CRL takes effect this soon

# Takes the contents by setting; returns which were not taken, and why.
Take = Callable[[Mapping[str, bytes]], Awaitable[Mapping[str, str]]]
_log = get_logger("facade.reload")


@define(eq=False)
class ReloadedFiles:
    """Files that belong together, and who takes their contents."""

    _files: WatchedFiles
    _used: dict[str, bytes] = field(repr=False)
    _take: Take
    _metrics: DeviceMetrics
    _refused: dict[str, str]  # by setting: why its newest content is not used
    _exposed: dict[str, bool] = field(factory=dict)  # by setting of a private key: all may read it
    _told: dict[str, bytes] = field(factory=dict, init=False)  # digests of what was complained of

    def __attrs_post_init__(self) -> None:
        """Begin with nothing wrong."""
        for setting in self._used:
            self._metrics.file_refused.labels(setting).set(0)
            self._show_exposed(setting)

    async def look(self) -> bool:
        """Take over what has changed; return whether anything may be different."""
        found = await in_access_thread(self._files.read_if_changed)
        if found is None:
            return False
        refused = dict(found.unreadable)
        wanted = {**self._used, **found.contents}
        if wanted != self._used:
            changed = {name for name, content in wanted.items() if content != self._used[name]}
            refused.update(await self._taken(wanted, changed))
            for name in sorted(changed - refused.keys()):
                _log.info("file reloaded", variable=name)
                self._used[name] = wanted[name]
        self._tell(found, refused)
        return True

    async def _taken(
        self, wanted: Mapping[str, bytes], changed: Collection[str]
    ) -> Mapping[str, str]:
        """Hand over the contents; return which were not taken, and why."""
        try:
            return await self._take(wanted)
        except Exception as error:  # noqa: BLE001 - whatever it was, the old content is in use, and this is tried again
            report(error)
            self._files.forget()
            return dict.fromkeys(changed, f"it cannot be used ({type(error).__name__})")

    def _tell(self, found: FoundFiles, refused: Mapping[str, str]) -> None:
        for setting in self._used:
            reason = refused.get(setting)
            if setting in self._exposed and setting in found.contents:
                self._exposed[setting] = setting in found.exposed
                self._show_exposed(setting)
            self._metrics.file_refused.labels(setting).set(reason is not None)
            if reason is None:
                self._told.pop(setting, None)
                self._refused.pop(setting, None)
                continue
            self._refused[setting] = reason
            digest = hashlib.sha256(found.contents.get(setting, b"")).digest()
            if self._told.get(setting) != digest:
                self._told[setting] = digest
                _log.error(
                    "file not reloaded, the old content is used", variable=setting, reason=reason
                )

    def _show_exposed(self, setting: str) -> None:
        if setting in self._exposed:
            self._metrics.key_exposed.labels(setting).set(self._exposed[setting])


async def keep_reloading(
    parts: list[ReloadedFiles],
    at_once: asyncio.Event,
    show: Callable[[], None],
    asked: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> None:
    """Look for changes until cancelled. A failure does not keep the other parts from their turn.

    `show` puts what is used now into metrics and log: after each round, and at once when something
    was taken over, without waiting for the files of other parts. So it is visible everywhere at the
    same time. `asked` surrounds a round that was asked for.
    """
    while True:
        was_asked = await is_set_within(at_once, RELOAD_SECONDS)
        at_once.clear()
        with asked() if was_asked else nullcontext():
            for part in parts:
                try:
                    if await part.look():
                        show()
                except Exception as error:  # noqa: BLE001 - a file of another part may be a revocation
                    report(error)
            show()
