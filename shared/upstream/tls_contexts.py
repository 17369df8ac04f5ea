"""TLS contexts of one process: one for each set of authorities, shared by all who believe it.

A context with the system's authorities takes some 0.8 MiB, and 20 ms of a processor to make
(docs/decisions/registries.md). It holds authorities, but no hosts, connections or secrets, and no
session is resumed through it. So everybody who believes the same authorities can share it.

When the system's files change, new connections get new contexts. A kept connection belongs to the
context that it was made with, and is not used again.
"""

import asyncio
import hashlib
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self
from weakref import WeakValueDictionary

from attrs import define, field, frozen
from cryptography.hazmat.primitives.serialization import Encoding

from shared.bounded_map import BoundedMap
from shared.pem import load_certificates
from shared.structured_log import get_logger
from shared.upstream.tls import client_tls
from shared.upstream.tls_failure import unreadable_ca
from shared.watched_files import Stamp, any_is_young, stamp_of

# Sets of authorities, 0.8 MiB each. One more than that is made again each time it is needed, which
# takes 20 ms, unless an open connection still holds it.
MAX_KEPT_CONTEXTS: Final = 64
SYSTEM_LOOKED_AT_SECONDS: Final = 30.0  # two calls of `stat`; a CA that is gone is believed so long

_log = get_logger("shared.tls")


@frozen
class Authorities:
    """The system's authorities, and a connection's own."""

    _own: str | None = field(default=None, repr=False)  # PEM
    key: bytes = b""  # the same for the same own certificates, in whatever order

    @classmethod
    def beside(cls, own: str | None) -> Self:
        """Return the system's and these (PEM); raise `TlsError` if they cannot be read."""
        if own is None:
            return cls()
        try:
            found = {each.public_bytes(Encoding.DER) for each in load_certificates(own)}
        except ValueError:
            raise unreadable_ca() from None
        return cls(own, hashlib.sha256(b"".join(sorted(found))).digest())

    def context(self) -> ssl.SSLContext:
        """Return a new context with what the files hold now. It blocks, and raises `TlsError`."""
        try:
            return client_tls(load_certificates(self._own) if self._own is not None else ())
        except (ssl.SSLError, ValueError):
            raise unreadable_ca() from None


SYSTEM: Final = Authorities()


@define(eq=False)
class TlsContexts:
    """The contexts of one process. For one event loop."""

    _most: int = MAX_KEPT_CONTEXTS
    _clock: Callable[[], float] = time.monotonic
    _kept: BoundedMap[bytes, ssl.SSLContext] = field(init=False)
    # Contexts that an open connection holds are found here, even if they are no longer kept.
    _known: WeakValueDictionary[bytes, ssl.SSLContext] = field(
        factory=WeakValueDictionary, init=False
    )
    _making: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    _stamps: tuple[Stamp, ...] | None = field(default=None, init=False)  # of the system's files
    _look_at: float = field(default=float("-inf"), init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with none."""
        self._kept = BoundedMap(self._most)

    @property
    def count(self) -> int:
        """How many there are, including those that only connections hold."""
        return len(self._known)

    async def of(self, authorities: Authorities) -> ssl.SSLContext:
        """Return the context that believes these authorities; raise `TlsError`."""
        if self._clock() >= self._look_at:
            self._look_at = self._clock() + SYSTEM_LOOKED_AT_SECONDS  # meanwhile others go on
            await self._look()
        context = self._kept.get(authorities.key) or self._known.get(authorities.key)
        if context is None:
            context = await self._made(authorities)
        if authorities.key not in self._kept:
            self._keep(authorities, context)
        return context

    async def _made(self, authorities: Authorities) -> ssl.SSLContext:
        """Make it once for all who wait, off the loop, because it takes tens of milliseconds."""
        async with self._making:
            context = self._known.get(authorities.key)
            return context or self._keep(authorities, await asyncio.to_thread(authorities.context))

    def _keep(self, authorities: Authorities, context: ssl.SSLContext) -> ssl.SSLContext:
        self._kept.set(authorities.key, context)
        self._known[authorities.key] = context
        return context

    async def _look(self) -> None:
        """Have contexts made anew if the system's files have changed.

        Files without any authority change nothing: they are just being written.
        """
        async with self._making:  # a context that is being made of old files is not kept
            before, self._stamps = self._stamps, await asyncio.to_thread(_stamps_of_system)
            if before is None or before == self._stamps:
                return
            context = await asyncio.to_thread(SYSTEM.context)
            known = self._known.get(SYSTEM.key)
            if known is not None and _is_empty(context) and not _is_empty(known):
                _log.warning("the system's authorities are gone, those of before are used")
                return
            _log.info("the system's authorities have changed")
            self._kept.clear()
            self._known.clear()
            self._keep(SYSTEM, context)


def _stamps_of_system() -> tuple[Stamp, ...]:
    """Return stamps of the files; a young file's stamp never counts as unchanged."""
    paths = ssl.get_default_verify_paths()
    stamps = tuple(stamp_of(Path(path)) for path in (paths.cafile, paths.capath) if path)
    return (*stamps, None) if any_is_young(stamps) else stamps


def _is_empty(context: ssl.SSLContext) -> bool:
    """Tell whether nothing is loaded. Files of a folder are loaded when they are first needed."""
    return context.cert_store_stats()["x509"] == 0
