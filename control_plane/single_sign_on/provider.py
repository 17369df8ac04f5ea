"""The provider, as this process knows it: its metadata and keys, kept fresh and fetched with care.

- Both are fetched at the start, and again every `REFRESH_SECONDS`, so that a key that the provider
  withdrew is not believed for long. If the provider is away, what was fetched is used for
  `STALE_SECONDS`, and persons are answered 503 after that. Operators with tokens never notice.
- A token may be signed with a key that came meanwhile. Then the keys are fetched once more, for all
  who wait together, and at most once in `PACE_SECONDS`: a stranger who invents ids of keys causes
  no more requests than that.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import define, field, frozen

from control_plane.errors import SignOnUnavailableError
from control_plane.single_sign_on.presented_token import PresentedToken, TokenRefusedError
from control_plane.single_sign_on.provider_http import (
    ProviderAnswer,
    ProviderHttp,
    ProviderUnreachableError,
)
from control_plane.single_sign_on.provider_keys import ProviderKeys, UnknownProviderKeyError
from control_plane.single_sign_on.provider_metadata import (
    WELL_KNOWN,
    ProviderAnswerError,
    ProviderMetadata,
    parse_keys,
)
from control_plane.troubles import ControlPlanePart, Trouble
from shared.jitter import jittered
from shared.structured_log import get_logger
from shared.upstream.basic_credential import BasicCredential

REFRESH_SECONDS: Final = 300.0  # two requests; a withdrawn key is believed so long, jittered
STALE_SECONDS: Final = 3600.0  # a provider that is away for longer is as good as none
PACE_SECONDS: Final = 15.0  # between fetches that tokens cause
RETRY_SECONDS: Final = 15.0  # jittered; between tries in the background while it is away

_log = get_logger("control_plane.single_sign_on")


@frozen
class Published:
    """What the provider published when it was last asked."""

    metadata: ProviderMetadata
    keys: ProviderKeys
    at: float  # monotonic


@define(eq=False)
class OpenIdProvider:
    """Knows one issuer. For one event loop."""

    issuer: str
    http: ProviderHttp
    _clock: Callable[[], float] = time.monotonic
    _published: Published | None = field(default=None, init=False)
    _fetching: asyncio.Task[None] | None = field(default=None, init=False)
    _asked_at: float = field(default=float("-inf"), init=False)
    _problem: str | None = field(default=None, init=False)

    async def run(self) -> None:
        """Keep metadata and keys fresh until cancelled."""
        while True:
            await self._fetch()
            seconds = REFRESH_SECONDS if self._problem is None else RETRY_SECONDS
            await asyncio.sleep(jittered(seconds))

    async def metadata(self) -> ProviderMetadata:
        """Return the provider's endpoints; raise `SignOnUnavailableError`."""
        return (await self._fresh()).metadata

    async def verified_claims(self, token: PresentedToken) -> Mapping[str, Any]:
        """Return the claims of a token that a key of the provider signed.

        Raises `TokenRefusedError` and `SignOnUnavailableError`.
        """
        published = await self._fresh()
        try:
            return published.keys.verified_claims(token)
        except UnknownProviderKeyError:
            if self._seconds_to_wait() > 0:
                raise self._unknown_key() from None
        await self._fetch()
        try:
            return (await self._fresh()).keys.verified_claims(token)
        except UnknownProviderKeyError:
            raise self._unknown_key() from None

    async def post(
        self, url: str, form: Mapping[str, str], basic: BasicCredential | None = None
    ) -> ProviderAnswer:
        """Return the provider's answer to a form; raise `SignOnUnavailableError`."""
        try:
            return await self.http.post(url, form, basic)
        except (ProviderUnreachableError, ProviderAnswerError) as error:
            _log.warning("provider does not answer", reason=str(error))
            raise SignOnUnavailableError(str(error)) from None

    def trouble(self) -> Trouble | None:
        """Return why the provider cannot be asked, if it cannot."""
        if self._problem is None:
            return None
        until = "persons cannot log in"
        if self._is_usable():
            until = f"its keys of before are used for up to {STALE_SECONDS / 60:.0f} minutes"
        words = (
            f"the provider of single sign-on cannot be asked: {self._problem}; {until}, operators"
            " with tokens can"
        )
        return Trouble(ControlPlanePart.SINGLE_SIGN_ON, words, stops=False, kind=self._problem)

    async def _fresh(self) -> Published:
        """Return what is known; if that is nothing, or old, it is fetched first."""
        if not self._is_usable() and self._seconds_to_wait() <= 0:
            await self._fetch()
        if self._published is None or not self._is_usable():
            raise SignOnUnavailableError(self._problem or "it was not asked yet")
        return self._published

    def _is_usable(self) -> bool:
        return self._published is not None and self._clock() - self._published.at < STALE_SECONDS

    def _seconds_to_wait(self) -> float:
        return 0.0 if self._fetching else self._asked_at + PACE_SECONDS - self._clock()

    def _unknown_key(self) -> TokenRefusedError:
        return TokenRefusedError(
            "the provider publishes no key of the id that it names; if the provider has just"
            f" changed its keys, try again in {PACE_SECONDS:.0f} seconds"
        )

    async def _fetch(self) -> None:
        """Ask the provider, once for all who wait; what came of it is noted, and never raised."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch_once())
            self._fetching.add_done_callback(self._has_fetched)
        await asyncio.shield(self._fetching)

    def _has_fetched(self, _: object) -> None:
        self._fetching = None

    async def _fetch_once(self) -> None:
        self._asked_at = self._clock()
        try:
            url = f"{self.issuer.removesuffix('/')}{WELL_KNOWN}"
            metadata = ProviderMetadata.parse(await self.http.get(url), self.issuer)
            keys = ProviderKeys(parse_keys(await self.http.get(metadata.jwks_uri)))
        except (ProviderUnreachableError, ProviderAnswerError) as error:
            self._problem = str(error)
            return
        self._published, self._problem = Published(metadata, keys, self._clock()), None
