"""Reloads the TLS pair when its files change, unless the new one is broken.

It looks every few seconds, and at once on SIGHUP. Open connections go on; handshakes that begin
from then on show the new certificate. If half of the new pair is missing, or a file holds no
certificate, the old pair stays in use, and a warning, a metric and `/readyz` say so.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol, Self

from attrs import define, field

from control_plane.http.server_tls import CERTIFICATE, KEY, ServerTls, TlsFilesError
from control_plane.troubles import ControlPlanePart, Trouble
from shared.stopping import is_set_within
from shared.structured_log import get_logger
from shared.watched_files import FoundFiles, WatchedFiles

RELOAD_SECONDS: Final = 2.0  # a look is two stats
MAX_FILE_BYTES: Final = 1024 * 1024  # a chain of some hundred certificates


class LookAgain(Protocol):
    """Looks at files again."""

    async def __call__(self, *, was_asked: bool) -> None:
        """Take over what has changed."""


Present = Callable[[ssl.SSLContext], Awaitable[None]]  # to clients; raises `OSError`

_log = get_logger("control_plane.tls_reload")


@define(eq=False)
class ReloadedTls:
    """The pair in use, and the files that it came from."""

    _files: WatchedFiles
    _used: Mapping[str, bytes] = field(repr=False)
    current: ServerTls
    refused: Mapping[str, str] = field(factory=dict, init=False)  # by setting: why
    _next: tuple[ServerTls, Mapping[str, bytes]] | None = field(default=None, init=False)

    @classmethod
    def load(cls, certificate: Path | None, key: Path | None) -> Self | None:
        """Return the configured pair; None if TLS is off. Blocks; raises `TlsFilesError`."""
        if certificate is None or key is None:
            return None
        paths = {CERTIFICATE: certificate, KEY: key}
        return cls._read(paths)

    @classmethod
    def _read(cls, paths: Mapping[str, Path]) -> Self:
        files = WatchedFiles(paths, MAX_FILE_BYTES)
        found = files.read()
        for setting, why in sorted(found.unreadable.items()):
            raise TlsFilesError(setting, why)
        return cls(files, found.contents, ServerTls.of(found.contents))

    async def look(self, present: Present) -> None:
        """Take over a changed pair, once `present` shows it to clients."""
        found = await asyncio.to_thread(self._files.read_if_changed)
        if found is not None:
            self._next = await asyncio.to_thread(self._newer_pair, found)
        if self._next is None:
            return
        pair, contents = self._next
        try:
            await present(pair.context)
        except OSError as error:  # no descriptor for one more socket: tried again the next time
            _log.warning("certificate not reloaded", variable=CERTIFICATE, exc_info=error)
            return
        self.current, self._used, self._next = pair, contents, None
        _log.info("certificate reloaded", variable=CERTIFICATE, expires_at=str(pair.expires_at))

    def _newer_pair(self, found: FoundFiles) -> tuple[ServerTls, Mapping[str, bytes]] | None:
        """Return a new pair with its contents; None if it is unusable or the same."""
        self.refused = found.unreadable
        if self.refused or found.contents == self._used:
            return None
        try:
            return ServerTls.of(found.contents), found.contents
        except TlsFilesError as error:
            self.refused = {error.setting: str(error)}
            return None

    def troubles(self, now: datetime) -> Iterator[Trouble]:
        """Yield what is wrong with the files, and with the certificate in use."""
        if self.refused:
            said = "; ".join(f"{setting}: {words}" for setting, words in self.refused.items())
            words = f"{said}; the pair before it is in use"
            yield Trouble(ControlPlanePart.FILES, words, stops=False, kind=said)
        yield from self.current.troubles(now)


async def keep_reloading(
    tls: ReloadedTls | None,
    at_once: asyncio.Event,
    present: Present,
    after_each: Callable[[], None],
    asked: Callable[[], AbstractContextManager[None]] = nullcontext,
    others: Sequence[LookAgain] = (),
) -> None:
    """Look for changes until cancelled. `asked` surrounds a round that was asked for.

    `others` look at their files in the same rounds, and are told whether somebody asked.
    """
    while True:
        was_asked = await is_set_within(at_once, RELOAD_SECONDS)
        at_once.clear()
        with asked() if was_asked else nullcontext():
            if was_asked and tls is None and not others:
                _log.info("nothing to reload", reason="TLS is not configured")
            if tls is not None:
                await tls.look(present)
            for look in others:
                await look(was_asked=was_asked)
            after_each()
